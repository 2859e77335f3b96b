"""Models behind servers: what is sent, what comes back, what goes wrong, and that no key gets out."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, cast

import pytest
from openai_servers import (
    HANG,
    FakeServer,
    Reply,
    answer,
    delta,
    fake_server,
    no_secret,
    openai_subject,
    real_server,
    sse,
    usage,
)  # fmt: skip
from tiny_models import write_chain_model

from medchat.backends import openai_api
from medchat.backends.llamacpp import LlamaCppBackend
from medchat.backends.openai_api import OpenAiBackend
from medchat.catalogue import Endpoint
from medchat.errors import AccessDenied, ContextTooLong, InvalidInput, MedChatError, ModelUnavailable, RateLimited
from medchat.records import Done, Message, ModelFacts, Request, Sampling, Text
from medchat.settings import ASSETS

KEY = "nvapi-SECRET-0123456789"
PROMPT = "A patient whose name is Jane Doe has a fever."


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


def backend_at(server: FakeServer, *, n_ctx: int = 4096, silence_timeout_s: float = 20, **fields: Any) -> OpenAiBackend:
    return OpenAiBackend(
        Endpoint(server.url, "wanted", **fields), n_ctx, no_secret, silence_timeout_s=silence_timeout_s
    )


def ask(content: str = PROMPT, *, prefill: str = "", raw: bool = False, **sampling: Any) -> Request:
    return Request((Message("user", content),), Sampling(**sampling), prefill, raw)


def events_of(backend: OpenAiBackend, *requests: Request) -> list[Text | Done]:
    """What comes, without the empty texts of waiting."""
    return [e for e in backend.generate(requests or [ask()]) if isinstance(e, Done) or e.text]


def sent(server: FakeServer) -> dict[str, Any]:
    return server.asked[-1].body


def failure(backend: OpenAiBackend, *requests: Request) -> MedChatError:
    with pytest.raises(MedChatError) as caught:
        events_of(backend, *requests)
    return caught.value


# What is sent


def test_a_chat_is_sent_with_its_sampling(server: FakeServer) -> None:
    request = Request(
        (Message("system", "Be brief."), Message("user", "é?")),
        Sampling(max_new_tokens=99, temperature=0.6, top_p=0.95, top_k=20, seed=3, presence_penalty=1.5),
    )
    events_of(backend_at(server), request)
    assert server.asked[0].path == "/v1/chat/completions"
    assert sent(server) == {
        "model": "wanted",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "é?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 99,
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "seed": 3,
        "presence_penalty": 1.5,
    }


def test_what_is_off_is_not_sent(server: FakeServer) -> None:
    events_of(backend_at(server), ask(temperature=0.0, seed=5))
    assert sent(server).keys() == {"model", "messages", "stream", "stream_options", "max_tokens", "temperature"}
    assert sent(server)["temperature"] == 0


def test_no_sampling_is_sent_to_a_server_that_takes_none(server: FakeServer) -> None:
    events_of(backend_at(server, sends_sampling=False), ask(temperature=1.0, top_p=0.9, top_k=5, presence_penalty=1.0))
    assert sent(server).keys() == {"model", "messages", "stream", "stream_options", "max_tokens"}


def test_the_endpoints_own_fields_and_template_options_are_sent(server: FakeServer) -> None:
    extra = {"reasoning_effort": "low", "extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}}
    endpoint = Endpoint(server.url, "wanted", extra=extra)
    events_of(OpenAiBackend(endpoint, 4096, no_secret, {"enable_thinking": False}))
    assert sent(server)["reasoning_effort"] == "low"
    assert sent(server)["extra_body"] == {"google": {"thinking_config": {"include_thoughts": True}}}
    assert sent(server)["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_raw_prompt_goes_to_completions_with_its_prefill(server: FakeServer) -> None:
    server.reply(Reply(sse({"choices": [{"index": 0, "text": " five", "finish_reason": "stop"}]}, "[DONE]")))
    events = events_of(backend_at(server), ask("Two and two", prefill=" is", raw=True))
    assert server.asked[0].path == "/v1/completions"
    assert sent(server)["prompt"] == "Two and two is"
    assert "messages" not in sent(server)
    # 14 characters of prompt: 5 tokens; 5 of answer: 2.
    assert events == [Text(0, " five"), Done(0, "stop", 5, 2)]


def test_an_answer_goes_on_where_the_endpoint_says_so(server: FakeServer) -> None:
    backend = backend_at(server, extra={"continue_final_message": True})
    events_of(backend, ask(prefill="It is"))
    assert sent(server)["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert (sent(server)["continue_final_message"], sent(server)["add_generation_prompt"]) == (True, False)
    events_of(backend, ask())
    assert "continue_final_message" not in sent(server)


def test_elsewhere_an_answer_cannot_go_on(server: FakeServer) -> None:
    error = failure(backend_at(server), ask(prefill="It is"))
    assert isinstance(error, InvalidInput)
    assert str(error) == "This server cannot continue an answer; regenerate it."
    assert server.asked == []


def test_only_needed_headers_are_sent(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-only")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-private")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: private")
    events_of(backend_at(server))
    allowed = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent"}
    assert server.asked[0].headers.keys() <= allowed


def test_the_room_for_the_answer_is_what_the_prompt_leaves(server: FakeServer) -> None:
    # 300 characters are 100 tokens, and 4 for the message: 152 of 256 are left.
    events_of(backend_at(server, n_ctx=256), ask("x" * 300, max_new_tokens=200))
    assert sent(server)["max_tokens"] == 152


def test_a_prompt_without_room_for_an_answer_is_not_sent(server: FakeServer) -> None:
    # 723 characters are 241 tokens, and 4: 11 of 256 are left.
    error = failure(backend_at(server, n_ctx=256), ask("x" * 723))
    assert isinstance(error, ContextTooLong)
    assert "take 245 tokens" in str(error)
    assert "256 of this" in str(error)
    assert server.asked == []


@pytest.mark.parametrize(
    ("refusal", "gone", "there"),
    [
        (
            {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
            "stream_options",
            "",
        ),
        (
            {
                "error": {
                    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
                    " 'max_completion_tokens' instead.",
                    "type": "invalid_request_error",
                    "param": "max_tokens",
                    "code": "unsupported_parameter",
                }
            },
            "max_tokens",
            "max_completion_tokens",
        ),
    ],
)
def test_a_refused_field_is_left_out_once_and_for_all(server: FakeServer, refusal: Any, gone: str, there: str) -> None:
    server.reply(Reply([json.dumps(refusal)], status=422, content_type="application/json"), answer())
    backend = backend_at(server)
    assert events_of(backend)[0] == Text(0, "Yes.")
    events_of(backend)
    assert [gone in asked.body for asked in server.asked] == [True, False, False]
    assert not there or [there in asked.body for asked in server.asked] == [False, True, True]


def test_a_field_that_is_refused_again_is_an_error(server: FakeServer) -> None:
    server.reply(Reply(['{"error": "no stream_options here"}'], status=400, content_type="application/json"))
    assert "cannot take the request (status 400)" in str(failure(backend_at(server)))
    assert len(server.asked) == 2


# What comes back


GEMINI_THOUGHT: dict[str, Any] = {"extra_content": {"google": {"thought": True}}, "role": "assistant"}


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([delta(content="<think>a</think>b"), delta("stop")], [("<think>a</think>b", None)]),
        (
            [delta(content=""), delta(reasoning_content="a"), delta(content="b"), delta("stop")],
            [("a", "reasoning"), ("b", "solution")],
        ),
        ([delta(reasoning="a", content=""), delta("stop", content="b")], [("a", "reasoning"), ("b", "solution")]),
        ([delta(reasoning="a", reasoning_content="a"), delta("stop")], [("a", "reasoning")]),
        (
            [
                delta(reasoning_details=[{"type": "reasoning.text", "text": "a"}, {"summary": "b"}]),
                delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "xyz"}], content="c"),
                delta("stop"),
            ],
            [("ab", "reasoning"), ("c", "solution")],
        ),
        (
            [
                delta(content="<thought>**Weighing**", **GEMINI_THOUGHT),
                delta(content=" it", **GEMINI_THOUGHT),
                delta("stop", content="</thought>Yes: a < b", role="assistant"),
            ],
            [("**Weighing**", "reasoning"), (" it", "reasoning"), ("Yes: a < b", "solution")],
        ),
        (
            [
                delta(content="<thou", **GEMINI_THOUGHT),
                delta(content="ght>a", **GEMINI_THOUGHT),
                delta(content="</thou"),
                delta("stop", content="ght>b"),
            ],
            [("a", "reasoning"), ("b", "solution")],
        ),
        (
            [delta(content="<thought>a", **GEMINI_THOUGHT), delta("stop", content="<")],
            [("a", "reasoning"), ("<", "solution")],
        ),
        ([delta(content=None, refusal="I cannot say."), delta("stop")], [("I cannot say.", None)]),
        ([{"choices": [], "prompt_filter_results": []}, delta(content="a"), delta("stop")], [("a", None)]),
    ],
    ids=[
        "none", "DeepSeek", "OpenRouter", "both names", "details", "Gemini", "Gemini in pieces", "Gemini, odd end",
        "refusal", "Azure",
    ],
)  # fmt: skip
def test_reasoning_is_told_from_the_solution(server: FakeServer, chunks: list[Any], expected: list[Any]) -> None:
    server.reply(Reply(sse(*chunks, "[DONE]")))
    texts = [(event.text, event.kind) for event in events_of(backend_at(server)) if isinstance(event, Text)]
    assert texts == expected


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("length", "length"), ("end_turn", "stop"), ("max_tokens", "length")],
)
def test_the_end_has_its_reason_and_the_servers_count(server: FakeServer, said: str, reason: str) -> None:
    server.reply(Reply(sse(delta(said, content="é"), usage(11, 5), "[DONE]")))
    assert events_of(backend_at(server))[-1] == Done(0, cast(Any, reason), 11, 5)


def test_without_a_count_the_tokens_are_estimated(server: FakeServer) -> None:
    server.reply(Reply(sse(delta(content="four"), delta("stop", content="teen chars"), "[DONE]")))
    backend = backend_at(server)
    # 14 characters: 5 tokens; the prompt's 45 characters: 15, and 4.
    assert events_of(backend)[-1] == Done(0, "stop", 19, 5)
    assert backend.count_tokens(ask()) == 19


def test_without_a_count_an_answer_at_its_limit_has_as_many_tokens_as_it_may(server: FakeServer) -> None:
    server.reply(Reply(sse(delta("length", content="fourteen chars"), "[DONE]")))
    assert events_of(backend_at(server), ask(max_new_tokens=9))[-1] == Done(0, "length", 19, 9)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("content_filter", "127.0.0.1 withheld the answer (content filter); word the question in another way."),
        ("tool_calls", "127.0.0.1 wanted to call a tool instead of answering; ask again."),
        ("error", "127.0.0.1 broke off the answer; ask again."),
        (None, "127.0.0.1 broke off the answer; ask again."),
    ],
)
def test_an_answer_that_came_to_no_good_end_says_so(server: FakeServer, reason: str | None, message: str) -> None:
    server.reply(Reply(sse(delta(content="a"), delta(reason), "[DONE]")))
    assert str(failure(backend_at(server))) == message


def test_a_batch_comes_in_the_order_of_arrival_with_its_indices(server: FakeServer) -> None:
    backend = backend_at(server)
    events = events_of(backend, *[ask(f"Question {number}") for number in range(40)])
    for number in range(40):
        own = [event for event in events if event.index == number]
        assert own == [Text(number, "Yes."), Done(number, "stop", 7, 2)]
    questions = {asked.body["messages"][0]["content"] for asked in server.asked}
    assert questions == {f"Question {number}" for number in range(40)}


def test_an_error_of_one_request_ends_all(server: FakeServer) -> None:
    server.reply(Reply(sse(delta(content="a"), HANG)), Reply([], status=500))
    started = time.monotonic()
    assert isinstance(failure(backend_at(server), ask(), ask()), ModelUnavailable)
    assert server.gone.get(timeout=1) == "gone"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "reply", [Reply(sse(delta(content="a"), HANG)), Reply(silent=True)], ids=["in mid-answer", "before a word"]
)
def test_closing_the_iterator_ends_the_connections_at_once(server: FakeServer, reply: Reply) -> None:
    server.reply(reply)
    with closing(cast(Any, backend_at(server).generate([ask(), ask()]))) as events:
        waits = 0
        while waits < 3:  # an empty text comes while nothing else does
            waits += not next(events).text
        assert len(server.asked) == 2
        closed_at = time.monotonic()
    assert [server.gone.get(timeout=1) for _ in range(2)] == ["gone", "gone"]
    assert time.monotonic() - closed_at < 1


def test_closing_the_backend_ends_what_runs(server: FakeServer) -> None:
    server.reply(Reply(sse(delta(content="a"), HANG)))
    backend = backend_at(server)
    events = backend.generate([ask()])
    next(events)
    threading.Timer(0.3, backend.close).start()
    with pytest.raises(ModelUnavailable, match="shut down"):
        list(events)
    backend.close()
    assert "shut down" in str(failure(backend))


# What goes wrong


def test_silence_ends_after_its_time(server: FakeServer) -> None:
    server.reply(Reply(sse(delta(content="a"), HANG)))
    error = failure(backend_at(server, silence_timeout_s=0.4))
    assert str(error) == "127.0.0.1 has been silent for too long; ask again or choose another model."


def test_a_stream_that_is_cut_says_so(server: FakeServer) -> None:
    server.reply(Reply(sse(delta(content="a")), cut=True))
    assert str(failure(backend_at(server))) == "The connection to 127.0.0.1 broke off; ask again."


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("http://127.0.0.1:{free}/v1", "127.0.0.1 cannot be reached; check that it runs, its address and the network."),
        ("https://127.0.0.1:{fake}/v1", "The encryption of 127.0.0.1 cannot be trusted; check its address"),
        ("https://no-such-host.invalid/v1", "There is no way to no-such-host.invalid: check its name"),
        ("ftp://example.org/v1", "The base URL must begin with https:// (on this machine http:// will do)."),
        ("example.org", "The base URL must begin with https:// (on this machine http:// will do)."),
        ("https:///v1", "The base URL must begin with https:// (on this machine http:// will do)."),
    ],
)
def test_a_server_that_cannot_be_reached(server: FakeServer, base_url: str, message: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = base_url.format(free=unused.getsockname()[1], fake=server.url.split(":")[2].removesuffix("/v1"))
        backend = OpenAiBackend(Endpoint(url, "m"), 4096, no_secret)
        assert message in str(failure(backend))
        with pytest.raises(MedChatError) as caught:
            backend.check()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "key_variable", "message"),
    [
        ("http://models.example.org/v1", "", "models.example.org is outside of your network: its address must begin"),
        ("http://10.0.0.3/v1", "OWN_KEY", "A key would travel to 10.0.0.3 for everybody to read; use https://"),
    ],
)
def test_neither_prompt_nor_key_travels_in_clear_text(base_url: str, key_variable: str, message: str) -> None:
    backend = OpenAiBackend(Endpoint(base_url, "m", key_variable), 4096, lambda _: KEY)
    assert message in str(failure(backend))
    with pytest.raises(InvalidInput, match=message):
        backend.check()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HTTPS_PROXY", "socks5://127.0.0.1:1080", "The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot"),
        ("ALL_PROXY", "socks://me:hunter2@127.0.0.1:1", "The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names"),
        ("HTTPS_PROXY", "http://[::1", "The proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names cannot be used"),
        ("SSL_CERT_FILE", "/nonexistent.pem", "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be"),
        ("SSL_CERT_FILE", "/etc/passwd", "The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read"),
    ],
)
def test_a_way_to_the_network_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    openai_api._ssl_context.cache_clear()
    backend = OpenAiBackend(Endpoint("https://no-such-host.invalid/v1", "m"), 4096, no_secret)
    error = failure(backend)
    assert str(error).startswith(message)
    assert error.__context__ is None, "the library's own may hold the proxy's password"
    with pytest.raises(ModelUnavailable, match=message):
        backend.check()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "Set GEMINI_API_KEY in the environment and start MedChat again."),
        ("  ", "Set GEMINI_API_KEY in the environment and start MedChat again."),
        ("two words", "What GEMINI_API_KEY holds cannot be a key; correct it and start MedChat again."),
        ("ключ", "What GEMINI_API_KEY holds cannot be a key; correct it and start MedChat again."),
        ("a\nb", "What GEMINI_API_KEY holds cannot be a key; correct it and start MedChat again."),
    ],
)
def test_a_missing_or_damaged_key_is_named(server: FakeServer, value: str, message: str) -> None:
    endpoint = Endpoint(server.url, "m", "GEMINI_API_KEY")
    error = failure(OpenAiBackend(endpoint, 4096, lambda _: value))
    assert isinstance(error, AccessDenied)
    assert str(error) == message
    assert server.asked == []


def test_the_key_is_asked_for_each_time(server: FakeServer) -> None:
    values = iter(["first", "second\n"])
    backend = OpenAiBackend(Endpoint(server.url, "m", "OWN_KEY"), 4096, lambda name: next(values))
    events_of(backend)
    events_of(backend)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]


def test_neither_key_nor_prompt_gets_out(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}. You asked: {PROMPT}"}})
    server.reply(Reply([body], status=401, content_type="application/json"))
    backend = OpenAiBackend(Endpoint(server.url, "m", "OWN_KEY"), 4096, lambda _: KEY)
    error = failure(backend)
    assert str(error) == "127.0.0.1 refused the key; check OWN_KEY and start MedChat again."
    assert error.__context__ is None
    assert error.__cause__ is None
    for text in (repr(backend), repr(vars(backend)), repr(error), caplog.text):
        assert KEY not in text
        assert "Jane Doe" not in text


def test_a_redirect_is_not_followed(server: FakeServer) -> None:
    server.reply(Reply([], status=307, headers={"Location": "https://elsewhere.example.org/v1"}))
    assert str(failure(backend_at(server))) == (
        "127.0.0.1 points to another address; write that one into the base URL."
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply(["<!DOCTYPE html><html>Welcome"], content_type="text/html"), ModelUnavailable, "A web page came"),
        (
            Reply(['{"choices": [{"message": {"content": "a"}}]}'], content_type="application/json"),
            ModelUnavailable,
            "127.0.0.1 answered, but not with a streamed chat",
        ),
        (Reply(sse("ResourceExhausted: Worker local total request limit reached (33/32)")), RateLimited, "no more"),
        (Reply(sse('{"choices": ')), ModelUnavailable, "127.0.0.1 broke off the answer with an error; ask again."),
        (
            Reply(sse(delta(content="a"), {"error": {"message": "CUDA out of memory", "code": 500}})),
            ModelUnavailable,
            "127.0.0.1 failed to answer (status 500)",
        ),
        (
            Reply(sse(delta(content="a"), {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})),
            RateLimited,
            "127.0.0.1 takes no more requests for now; ask again in a minute",
        ),
        (Reply(sse([{"error": {"code": 503, "message": "Overloaded"}}])), ModelUnavailable, "overloaded or down"),
        (Reply(sse({"status": 429, "title": "Too Many Requests"})), RateLimited, "no more requests"),
        (Reply(sse({"choices": ["odd"]}, "[DONE]")), ModelUnavailable, "broke off before the first word"),
        (Reply(sse(delta(content=[{"type": "text"}]))), ModelUnavailable, "in a form that MedChat cannot read"),
        (Reply(sse("[DONE]")), ModelUnavailable, "127.0.0.1 broke off before the first word"),
    ],
)  # fmt: skip
def test_odd_streams(server: FakeServer, reply: Reply, kind: type[MedChatError], message: str) -> None:
    server.reply(reply)
    error = failure(backend_at(server))
    assert isinstance(error, kind)
    assert message in str(error)


def test_headers_of_a_refusal_are_read(server: FakeServer) -> None:
    server.reply(Reply(["slow down"], status=429, content_type="text/plain", headers={"Retry-After": "7"}))
    error = failure(backend_at(server))
    assert isinstance(error, RateLimited)
    assert (error.retry_after_s, error.daily) == (7, False)
    assert str(error) == "127.0.0.1 takes no more requests for now; ask again in 7 seconds or choose another model."


# Asking what a server has


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        ("b", '{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}'),
        ("b", '{"data": [{"id": "models/b"}]}'),
        ("models/b", '{"data": [{"name": "no id"}, "odd", {"id": "b"}]}'),
        ("b", '{"data": []}'),
    ],
)
def test_a_check_finds_a_model_that_the_server_lists(server: FakeServer, wanted: str, body: str) -> None:
    server.reply(Reply([body], content_type="application/json"))
    endpoint = Endpoint(server.url, wanted, "OWN_KEY")
    assert OpenAiBackend(endpoint, 4096, lambda _: KEY).check() == ModelFacts("", 0.0, 4096, True, 0.0)
    assert server.asked[0].path == "/v1/models"
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (["a", "b"], "127.0.0.1 has no model 'wanted'; it has a or b."),
        ([f"m{number}" for number in range(20)], "it has m0, m1, m2, m3, m4, m5, m6, m7 or 12 more."),
    ],
)
def test_a_check_refuses_a_model_that_the_server_does_not_list(
    server: FakeServer, listed: list[str], message: str
) -> None:
    server.reply(Reply([json.dumps({"data": [{"id": name} for name in listed]})], content_type="application/json"))
    with pytest.raises(InvalidInput) as caught:
        backend_at(server).check()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(["{}"], status=401), "127.0.0.1 refused access"),
        (Reply(["{}"], content_type="application/json"), "127.0.0.1 does not list its models as OpenAI does"),
        (Reply(["no JSON"], content_type="application/json"), "127.0.0.1 "),
        (Reply(["<html>hello"], content_type="text/html"), "127.0.0.1 "),
    ],
)
def test_a_check_that_fails_says_why(server: FakeServer, reply: Reply, message: str) -> None:
    server.reply(reply)
    with pytest.raises(MedChatError) as caught:
        backend_at(server).check()
    assert message in str(caught.value)
    assert caught.value.__context__ is None


# Against llama_cpp.server


CUES = {"i!": "H", "é€😀x": "U", "endless": "a"}


@pytest.fixture(scope="module")
def chain_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("models") / "chain.gguf"
    with real_server(write_chain_model(path, ["Hi!<|end|>", "Ué€😀x<|end|>", "abcdefga"])) as url:
        yield url


def whole(events: Sequence[Text | Done], index: int) -> str:
    return "".join(event.text for event in events if isinstance(event, Text) and event.index == index)


def test_a_real_server_answers_a_batch(chain_server: str) -> None:
    backend, requests = openai_subject(chain_server, CUES)("i!", "é€😀x", "i!")
    events = events_of(cast(OpenAiBackend, backend), *requests)
    assert [whole(events, index) for index in range(3)] == ["i!", "é€😀x", "i!"]
    assert [event.finish_reason for event in events if isinstance(event, Done)] == ["stop"] * 3


def test_a_real_server_stops_when_the_iterator_is_closed(chain_server: str) -> None:
    make = openai_subject(chain_server, CUES)
    backend, requests = make(*["endless"] * 8, max_new_tokens=3000)
    events = cast(Any, backend.generate(requests))
    while not next(events).text:
        pass
    closed_at = time.monotonic()
    events.close()
    backend, requests = make("i!")
    assert whole(events_of(cast(OpenAiBackend, backend), *requests), 0) == "i!"
    assert time.monotonic() - closed_at < 5  # the server takes one request at a time


def test_a_real_server_cuts_at_the_limit(chain_server: str) -> None:
    backend, requests = openai_subject(chain_server, CUES)("endless", max_new_tokens=20)
    events = events_of(cast(OpenAiBackend, backend), *requests)
    assert whole(events, 0) == "bcdefgabcdefgabcdefg"[:20]
    assert cast(Done, events[-1]).finish_reason == "length"


# The bundled model behind llama_cpp.server

DEMO = ASSETS / "demo" / "demo-q8_0.gguf"
CASES = ("What is asthma?", "A 60 year old man has crushing chest pain.", "What is gout?")


@pytest.fixture(scope="module")
def bundled() -> Iterator[OpenAiBackend]:
    with real_server(DEMO, n_ctx=1024) as url:
        yield OpenAiBackend(Endpoint(url, str(DEMO)), 1024, no_secret)


def test_the_bundled_model_is_found_on_its_server(bundled: OpenAiBackend) -> None:
    assert bundled.check().n_ctx == bundled.n_ctx == 1024


def test_each_question_of_a_batch_gets_what_the_bundled_model_says_here(bundled: OpenAiBackend) -> None:
    requests = [ask(case, max_new_tokens=40) for case in CASES]
    events = events_of(bundled, *requests)
    here = LlamaCppBackend(DEMO, threads=1, n_ctx=1024)
    expected = events_of(cast(Any, here), *requests)
    here.close()

    for index in range(len(CASES)):
        # Only the beginning: where two words are nearly as likely, rounding decides.
        assert whole(events, index)[:40] == whole(expected, index)[:40]
        own = [event for event in events if event.index == index]
        [done] = [event for event in own if isinstance(event, Done)]
        assert own[-1] is done, "nothing comes after it"
        assert done.prompt_tokens == bundled.count_tokens(requests[index])
    assert len({whole(events, index)[:40] for index in range(len(CASES))}) == len(CASES)


def test_the_bundled_model_ends_its_answer_through_a_server(bundled: OpenAiBackend) -> None:
    events = events_of(bundled, ask("What is asthma?", max_new_tokens=300))
    done = cast(Done, events[-1])
    assert whole(events, 0).endswith("</SOLUTION>")
    assert done.finish_reason == "stop"
    assert 0 < done.completion_tokens < 300


def test_the_bundled_model_is_cut_at_the_limit_through_a_server(bundled: OpenAiBackend) -> None:
    events = events_of(bundled, *[ask(case, max_new_tokens=12) for case in CASES])
    dones = sorted(event for event in events if isinstance(event, Done))
    assert [(done.index, done.finish_reason, done.completion_tokens) for done in dones] == [
        (0, "length", 12), (1, "length", 12), (2, "length", 12),
    ]  # fmt: skip


def test_the_bundled_model_stops_through_a_server_and_answers_the_next_question(bundled: OpenAiBackend) -> None:
    events = cast(Any, bundled.generate([ask(case, max_new_tokens=300) for case in CASES]))
    while not next(events).text:
        pass
    closed_at = time.monotonic()
    events.close()
    assert whole(events_of(bundled, ask(CASES[1], max_new_tokens=5)), 0)
    assert time.monotonic() - closed_at < 5  # the server takes one request at a time


def test_a_question_beyond_the_bundled_models_context_is_not_sent(bundled: OpenAiBackend) -> None:
    with pytest.raises(ContextTooLong, match="more than the 1024"):
        events_of(bundled, ask("fever " * 1000))
