"""What a server says instead of an answer, as errors in plain words: never its own text, a key or a prompt."""

import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from medchat.errors import AccessDenied, ContextTooLong, MedChatError, ModelUnavailable, RateLimited

READ_CHARS = 20_000  # of an error's body; more is a web page

# Fields of an error's JSON that say what is wrong. Others are not looked at: they may repeat the prompt.
_TELLING = frozenset("code detail error error_type message msg quotaId reason retryDelay status title type".split())
_HTML = re.compile(r"\s*<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_LIMITED = re.compile(r"resource_?exhausted|too many requests|rate.?limit|request limit reached")
_DAILY = re.compile(r"per ?day|daily|\([rt]pd\)")
_DELAY = re.compile(r"retrydelay ([\d.]+)s")
_WAIT = re.compile(r"(?:retry|try again) (?:in|after) (?:(\d+)h)? ?(?:(\d+)m(?!s))? ?(?:([\d.]+) ?(ms|s))?")


class Server(NamedTuple):
    """Who was asked: its host, the model's name there, and the variable that holds the key ("" for none)."""

    host: str
    model: str
    key_variable: str


class _Rule(NamedTuple):
    """The first that fits holds: one of the statuses (none: any) and the words (as a regular expression)."""

    statuses: tuple[int, ...]
    words: str
    error: type[MedChatError]
    message: str


_RULES = (
    _Rule(
        (), r"location is not supported|unsupported_country",
        AccessDenied, "{host} does not serve the country from which MedChat asks; choose another model.",
    ),
    _Rule(
        (), r"api_key_invalid|api key not valid|api key expired|invalid_api_key|incorrect api key",
        AccessDenied, "{host} refused the key; {check_key}.",
    ),
    _Rule(
        (), r"insufficient_quota|insufficient credit",
        AccessDenied, "The account at {host} has no credit left; add some there or choose another model.",
    ),
    _Rule((402,), "", AccessDenied, "{host} asks to be paid first; choose another model."),
    _Rule(
        (0, 400, 413, 422, 500),
        r"context_length_exceeded|context (?:length|window|size)|exceed_context_size|maximum model length"
        r"|input token count|prompt is too long|too many tokens|max_new_tokens` must be|inputs` must have less",
        ContextTooLong,
        "The question and what came before it are too long for {model} at {host}."
        " Shorten the question or start a new conversation.",
    ),
    _Rule((413,), "", ContextTooLong, "{host} finds the question too long; shorten it or start a new conversation."),
    _Rule((407,), "", ModelUnavailable, "The proxy on the way to {host} wants a sign-in; ask who runs your network."),
    _Rule(
        (200, 401, 403), "^<html>",
        ModelUnavailable,
        "A web page came in the place of an answer from {host}; check its address, and any proxy on the way.",
    ),
    _Rule(
        (401, 403, 404), r"not found for account|access to (?:the )?model|not have access|model_not_allowed",
        AccessDenied, "{host} does not let your account use {model}; choose another model.",
    ),
    _Rule((401, 403), "", AccessDenied, "{host} refused access; {check_key}."),
    _Rule(
        (410,), "",
        ModelUnavailable, "{host} has taken {model} out of service; choose another model.",
    ),
    _Rule(
        (0, 400, 404, 422), r"model_not_found|unknown model|model.{0,200}(?:not exist|not found|not supported)",
        ModelUnavailable, "{host} has no model {model}; check its name or choose another model.",
    ),
    _Rule(
        (404, 405), "",
        ModelUnavailable, "{host} offers no chat at this address; check the base URL (most end in /v1).",
    ),
    _Rule(
        (400, 422), "",
        ModelUnavailable,
        "{host} cannot take the request (status {status}); check which settings {model} accepts there.",
    ),
    _Rule(
        (301, 302, 303, 307, 308), "",
        ModelUnavailable, "{host} points to another address; write that one into the base URL.",
    ),
    _Rule((408, 504, 522, 524), "", ModelUnavailable, "{host} took too long; ask again in a minute."),
    _Rule(
        (502, 503, 520, 521, 529), "",
        ModelUnavailable, "{host} is overloaded or down for now; ask again in a minute or choose another model.",
    ),
    _Rule((0,), "", ModelUnavailable, "{host} broke off the answer with an error; ask again."),
    _Rule((200,), "", ModelUnavailable, "{host} answered, but not with a streamed chat; check its address."),
    _Rule((), "", ModelUnavailable, "{host} failed to answer (status {status}); ask again or choose another model."),
)  # fmt: skip


def error_of(server: Server, status: int, body: str, headers: Mapping[str, str]) -> MedChatError:
    """The error that a response means. status: 0 for an error inside a stream; headers: by lower-case name."""
    said = _said(body[:READ_CHARS])
    if status == 0 and (found := re.search(r"\b(?:code|status) ([45]\d\d)\b", said)):
        status = int(found[1])
    if (status == 429 or _LIMITED.search(said)) and "insufficient_quota" not in said:
        return _rate_limited(server, said, headers)
    for rule in _RULES:
        if (not rule.statuses or status in rule.statuses) and re.search(rule.words, said):
            return rule.error(_message(rule.message, server, status))
    raise AssertionError("the last rule fits everything")


def no_answer(server: Server, error: BaseException) -> ModelUnavailable:
    """The error that a failed connection means, from the library's exception and its causes."""
    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        message = "There is no way to {host}: check its name and this machine's network."
    elif any(isinstance(cause, ssl.SSLError) for cause in causes):
        message = "The encryption of {host} cannot be trusted; check its address, and any proxy on the way."
    elif "ConnectTimeout" in names:
        message = "{host} cannot be reached in time; check the network, ask again or choose another model."
    elif names & {"ReadTimeout", "WriteTimeout"}:
        message = "{host} has been silent for too long; ask again or choose another model."
    elif names & {"ConnectError", "ProxyError"}:
        message = "{host} cannot be reached; check that it runs, its address and the network."
    else:
        message = "The connection to {host} broke off; ask again."
    return ModelUnavailable(_message(message, server, 0))


def no_client(error: Exception) -> str:
    """Why nothing can be asked over the network, in a line, from what the library raised as it was set up."""
    if isinstance(error, OSError):
        return (
            "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read; correct it, or unset it, and"
            " start MedChat again."
        )
    return (
        "The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used; give one like http://host:port, or"
        " unset it, and start MedChat again."
    )


def _message(template: str, server: Server, status: int) -> str:
    key = server.key_variable
    check_key = f"check {key} and start MedChat again" if key else "name the variable with its key in the model's entry"
    return template.format(host=server.host, model=f"'{server.model}'", status=status, check_key=check_key)


def _rate_limited(server: Server, said: str, headers: Mapping[str, str]) -> RateLimited:
    if _DAILY.search(said):
        message = f"The day's quota at {server.host} is used up; ask again tomorrow or choose another model."
        return RateLimited(message, _retry_after_s(said, headers), daily=True)
    wait_s = _retry_after_s(said, headers)
    when = "in a minute" if wait_s is None else f"in {max(1, math.ceil(wait_s)):,} seconds"
    return RateLimited(
        f"{server.host} takes no more requests for now; ask again {when} or choose another model.", wait_s
    )


def _retry_after_s(said: str, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the headers, else by the body; None where neither says."""
    after = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(?:\.\d*)?", after):
        return float(after)
    if after:
        try:
            moment = parsedate_to_datetime(after)
        except ValueError:
            pass
        else:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    if (found := _DELAY.search(said)) and (seconds := _float(found[1])) is not None:
        return seconds
    if (found := _WAIT.search(said)) and any(found.groups()):
        hours, minutes, amount, unit = found.groups()
        seconds = _float(amount or "0") or 0.0
        return 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + (seconds / 1000 if unit == "ms" else seconds)
    return None


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("."))
    except ValueError:
        return None


def _said(body: str) -> str:
    """What an error's body tells, in lower case: "code 429 message ..."; "<html>" for a web page."""
    if _HTML.match(body):
        return "<html>"
    try:
        return " ".join(_tellings(json.loads(body))).casefold()
    except (ValueError, RecursionError):
        return body.casefold()


def _tellings(value: object, field: str = "error") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "input":  # what was asked
                yield from _tellings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _tellings(inner, field)
    elif field in _TELLING and value is not None:
        yield f"{field} {value}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
