"""What servers answer instead of an answer, shape by shape, and what is made of it."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from medchat.backends.server_errors import Server, error_of
from medchat.errors import AccessDenied, ContextTooLong, MedChatError, ModelUnavailable, RateLimited

GEMINI = Server("generativelanguage.googleapis.com", "gemini-3.8-flash", "GEMINI_API_KEY")
NVIDIA = Server("integrate.api.nvidia.com", "meta/llama-3.3-70b-instruct", "NVIDIA_API_KEY")
LOCAL = Server("127.0.0.1", "demo", "")

GEMINI_QUOTA = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota, please check your plan. Please retry in 53.01s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"},
        ],
    }
}
GEMINI_DAILY = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "Quota exceeded.",
        "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}],
    }
}
GEMINI_KEY = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }
}
OPENAI_LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens. However, you sent 9000 tokens.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}


@pytest.mark.parametrize(
    ("body", "headers", "retry_after_s", "daily"),
    [
        (GEMINI_QUOTA, {}, 45.837906927, False),
        ([GEMINI_QUOTA], {}, 45.837906927, False),
        ({"error": {"message": "Please retry in 53.01s."}}, {}, 53.01, False),
        (GEMINI_DAILY, {}, None, True),
        ({"status": 429, "title": "Too Many Requests"}, {}, None, False),
        ({"status": 429, "title": "Too Many Requests"}, {"retry-after": "2.5"}, 2.5, False),
        ({"error": {"message": "Rate limit reached for m. Please try again in 6m0s."}}, {}, 360, False),
        ({"error": {"message": "Rate limit reached for m. Please try again in 850ms."}}, {}, 0.85, False),
        ({"error": {"message": "Rate limit reached on requests per day (RPD). Try again in 1h2m3s"}}, {}, 3723, True),
        ("slow down", {"retry-after": "soon"}, None, False),
        ("", {}, None, False),
    ],
)
def test_how_long_a_limit_holds(body: Any, headers: dict[str, str], retry_after_s: float | None, daily: bool) -> None:
    error = error_of(GEMINI, 429, body if isinstance(body, str) else json.dumps(body), headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == (None if retry_after_s is None else pytest.approx(retry_after_s))
    assert error.daily == daily


def test_a_date_in_retry_after() -> None:
    for offset_s, low, high in ((90, 80, 91), (-90, 0, 0)):
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=offset_s), usegmt=True)
        error = error_of(NVIDIA, 429, "", {"retry-after": date})
        assert isinstance(error, RateLimited)
        assert error.retry_after_s is not None
        assert low <= error.retry_after_s <= high


def test_the_days_quota_is_said_to_be_used_up() -> None:
    assert str(error_of(GEMINI, 429, json.dumps([GEMINI_DAILY]), {})) == (
        "The day's quota at generativelanguage.googleapis.com is used up; ask again tomorrow or choose another model."
    )


@pytest.mark.parametrize(
    ("asked", "status", "body", "kind", "words"),
    [
        (GEMINI, 400, GEMINI_KEY, AccessDenied, "refused the key; check GEMINI_API_KEY"),
        (GEMINI, 400, [GEMINI_KEY], AccessDenied, "refused the key; check GEMINI_API_KEY"),
        (
            GEMINI, 400,
            {"error": {"code": 400, "message": "User location is not supported for the API use.",
                       "status": "FAILED_PRECONDITION"}},
            AccessDenied, "does not serve the country",
        ),
        (
            GEMINI, 400,
            {"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens"
                       " allowed (1048576).", "status": "INVALID_ARGUMENT"}},
            ContextTooLong, "too long for 'gemini-3.8-flash' at generativelanguage",
        ),
        (
            GEMINI, 404,
            [{"error": {"code": 404, "message": "models/gemini-x is not found for API version v1main."}}],
            ModelUnavailable, "has no model 'gemini-3.8-flash'",
        ),
        (
            GEMINI, 503,
            {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}},
            ModelUnavailable, "overloaded or down",
        ),
        (GEMINI, 400, {"error": {"code": 400, "message": "Invalid value at 'x'"}}, ModelUnavailable, "(status 400)"),
        (
            NVIDIA, 404,
            {"status": 404, "title": "Not Found", "detail": "Function '0f': Not found for account 'a1'"},
            AccessDenied, "does not let your account use 'meta/llama-3.3-70b-instruct'",
        ),
        (
            NVIDIA, 410,
            {"type": "about:blank", "title": "Gone", "status": 410,
             "detail": "The model 'x' has reached its end of life on 2026-01-01"},
            ModelUnavailable, "has taken 'meta/llama-3.3-70b-instruct' out of service",
        ),
        (NVIDIA, 429, {"status": 429, "title": "Too Many Requests"}, RateLimited, "takes no more requests for now"),
        (
            NVIDIA, 500, "ResourceExhausted: Worker local total request limit reached (33/32)",
            RateLimited, "takes no more requests for now",
        ),
        (
            NVIDIA, 401, {"status": 401, "title": "Unauthorized", "detail": "Authentication failed"},
            AccessDenied, "refused access; check NVIDIA_API_KEY and start MedChat again",
        ),
        (NVIDIA, 403, {"status": 403, "title": "Forbidden"}, AccessDenied, "refused access"),
        (NVIDIA, 402, {"detail": "Account expired"}, AccessDenied, "asks to be paid first"),
        (NVIDIA, 400, OPENAI_LONG, ContextTooLong, "too long"),
        (
            NVIDIA, 429,
            {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
                       "code": "insufficient_quota"}},
            AccessDenied, "has no credit left",
        ),
        (
            NVIDIA, 401, {"error": {"message": "Incorrect API key provided: sk-ab*yz.", "code": "invalid_api_key"}},
            AccessDenied, "refused the key",
        ),
        (
            NVIDIA, 404, {"error": {"message": "The model `x` does not exist or you do not have access to it.",
                                    "code": "model_not_found"}},
            AccessDenied, "does not let your account use",
        ),
        (LOCAL, 401, {"detail": "Invalid API key"}, AccessDenied, "name the variable with its key"),
        (
            LOCAL, 400,
            {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested"
             " 5000 tokens", "type": "BadRequestError", "param": None, "code": 400},
            ContextTooLong, "too long for 'demo' at 127.0.0.1",
        ),
        (
            LOCAL, 400,
            {"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096.",
                       "type": "BadRequestError", "code": 400}},
            ContextTooLong, "too long",
        ),
        (
            LOCAL, 400,
            {"error": {"code": 400, "message": "request (9412 tokens) exceeds the available context size (8192 tokens)",
                       "type": "exceed_context_size_error", "n_ctx": 8192}},
            ContextTooLong, "too long",
        ),
        (
            LOCAL, 422,
            {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
             "error_type": "validation"},
            ContextTooLong, "too long",
        ),
        (LOCAL, 404, {"error": {"message": "The model `x` does not exist."}}, ModelUnavailable, "has no model"),
        (LOCAL, 404, {"error": "model 'x' not found"}, ModelUnavailable, "has no model 'demo'"),
        (LOCAL, 404, {"detail": "Not Found"}, ModelUnavailable, "check the base URL (most end in /v1)"),
        (LOCAL, 405, {"detail": "Method Not Allowed"}, ModelUnavailable, "check the base URL"),
        (LOCAL, 413, "", ContextTooLong, "finds the question too long"),
        (
            LOCAL, 422, {"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted",
                                     "input": "my rate limit and context window"}]},
            ModelUnavailable, "cannot take the request (status 422); check which settings 'demo' accepts there",
        ),
        (
            LOCAL, 500, {"error": {"message": "Boom", "type": "internal_server_error", "param": None, "code": None}},
            ModelUnavailable, "failed to answer (status 500)",
        ),
        (LOCAL, 502, "<html><body>Bad Gateway</body></html>", ModelUnavailable, "overloaded or down"),
        (LOCAL, 504, "", ModelUnavailable, "took too long"),
        (LOCAL, 529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}, ModelUnavailable, "overloaded"),
        (LOCAL, 403, "<!doctype html><title>Access denied</title>", ModelUnavailable, "A web page came"),
        (LOCAL, 407, "", ModelUnavailable, "The proxy on the way to 127.0.0.1 wants a sign-in"),
        (LOCAL, 418, "[" * 10_000, ModelUnavailable, "failed to answer (status 418)"),
    ],
)  # fmt: skip
def test_every_shape_of_an_error_becomes_one_clear_line(
    asked: Server, status: int, body: Any, kind: type[MedChatError], words: str
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    error = error_of(asked, status, text, {})
    assert type(error) is kind
    assert words in str(error)
    assert asked.host in str(error)
    assert "\n" not in str(error)
    assert text not in str(error) or not text
