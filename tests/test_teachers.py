"""Teachers asked many questions over loopback: every row accounted for, no limit broken, nothing paid twice."""

import json
from collections import Counter, deque
from pathlib import Path

import pytest
from job_processes import until
from openai_servers import Reply, delta, sse, usage
from teacher_server import (
    GEMINI_429,
    GEMINI_DAILY_429,
    NVIDIA_429,
    Desk,
    FakeClock,
    cut_stream,
    nonsense,
    refusal,
    said,
    served,
    teacher_server,
)

from medchat.errors import AccessDenied, InvalidInput, ModelUnavailable
from medchat.keys import Limits
from medchat.records import Sampling
from train.teacher_cache import ReplyCache
from train.teacher_dealing import fault_of
from train.teacher_ledger import Ledger
from train.teachers import Asked, Replied, Stopped, Teacher


def questions(n: int) -> list[Asked]:
    return [Asked(f"row-{i}", f"Question {i}?") for i in range(n)]


def by_key(replies: list[Replied]) -> dict[str, Replied]:
    found = {reply.asked.key: reply for reply in replies}
    assert len(found) == len(replies)
    return found


def test_each_question_is_answered_once_and_a_repeated_run_asks_nothing(tmp_path: Path) -> None:
    with teacher_server() as server:
        first = by_key(list(Desk(server, tmp_path).teacher().ask(questions(20))))
        again = by_key(list(Desk(server, tmp_path).teacher().ask(questions(20))))

    assert len(server.arrivals) == 20
    assert {key: reply.solution for key, reply in first.items()} == {
        f"row-{i}": f"Answer to Question {i}?" for i in range(20)
    }
    assert all(reply.whole and not reply.cached for reply in first.values())
    assert all(reply.cached for reply in again.values())
    assert [again[key].solution for key in first] == [first[key].solution for key in first]


def test_the_same_question_twice_is_asked_once_and_answered_twice(tmp_path: Path) -> None:
    with teacher_server() as server:
        ledger = Ledger()
        replies = list(Desk(server, tmp_path).teacher(ledger).ask([Asked("a", "Why?"), Asked("b", "Why?")]))

    assert len(server.arrivals) == 1
    assert {reply.asked.key for reply in replies} == {"a", "b"}
    assert ledger.spent["teacher"].asked == 1


def test_several_answers_to_a_question_are_several_requests(tmp_path: Path) -> None:
    with teacher_server() as server:
        list(Desk(server, tmp_path).teacher().ask([Asked("a", "Why?", n=n) for n in range(3)]))
        sampled = [Asked("b", "How?", sampling=Sampling(temperature=0.7, seed=5), n=n) for n in range(2)]
        list(Desk(server, tmp_path).teacher().ask(sampled))

    assert server.times_asked("Why?") == 3
    assert sorted(asked.body["seed"] for asked in server.asked[3:]) == [5, 6]


def test_what_a_model_was_told_and_how_it_draws_decide_what_is_the_same_question(tmp_path: Path) -> None:
    with teacher_server() as server:
        cache, other = ReplyCache(tmp_path, served(server)), ReplyCache(tmp_path, served(server, answer_format="plain"))
        teacher = Desk(server, tmp_path).teacher()
        plain, told, drawn = (
            teacher._means.request(asked)
            for asked in (Asked("", "Q"), Asked("", "Q", system="Be brief."), Asked("", "Q", sampling=Sampling(64)))
        )
        keys = {cache.key_of(plain, 0), cache.key_of(plain, 1), cache.key_of(told, 0), cache.key_of(drawn, 0)}

    assert len(keys | {other.key_of(plain, 0)}) == 5


FAULTS = {
    "500": refusal(500, {"error": {"message": "boom"}}),
    "429 with Retry-After": refusal(429, {"error": {"message": "slow down"}}, {"Retry-After": "20"}),
    "429 of Gemini": refusal(429, GEMINI_429),
    "429 of Gemini in a list": refusal(429, [GEMINI_429]),
    "429 of NVIDIA": refusal(429, NVIDIA_429),
    "busy at NVIDIA": refusal(500, {"detail": "ResourceExhausted: Worker local total request limit reached (33/32)"}),
    "cut stream": cut_stream(),
    "nonsense": nonsense(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_that_fails_once_is_sent_again_and_counted_once(fault: str, tmp_path: Path) -> None:
    ledger = Ledger()
    with teacher_server(lambda prompt, earlier: said("Yes.") if earlier else FAULTS[fault]) as server:
        desk = Desk(server, tmp_path)
        replies = by_key(list(desk.teacher(ledger).ask(questions(3))))

    assert all(reply.solution == "Yes." and not reply.error for reply in replies.values())
    assert [server.times_asked(f"Question {i}?") for i in range(3)] == [2, 2, 2]
    spent = ledger.spent["teacher"]
    assert (spent.asked, spent.failed) == (3, 3)
    # 3 answers of 10 prompt tokens at $1 and 5 tokens at $2 a million
    assert spent.cost == pytest.approx(3 * (10 * 1 + 5 * 2) / 1e6)
    # Only an answer of which something had come may be charged although it was never whole.
    assert (spent.possibly > 0) == (fault == "cut stream")


@pytest.mark.parametrize(
    ("fault", "least_s"), [("429 with Retry-After", 20.0), ("429 of Gemini", 12.5), ("429 of NVIDIA", 5.0)]
)
def test_a_server_that_says_when_is_left_alone_until_then(fault: str, least_s: float, tmp_path: Path) -> None:
    clock = FakeClock()
    with teacher_server(lambda prompt, earlier: said("Yes.") if earlier else FAULTS[fault], clock) as server:
        list(Desk(server, tmp_path, clock=clock).teacher().ask([Asked("a", "Why?"), Asked("b", "How?")]))

    first, later = server.arrivals[:2], server.arrivals[2:]
    assert [arrival.at_s for arrival in first] == [0, 0]
    assert all(arrival.at_s >= least_s for arrival in later)


def test_what_fails_for_good_is_counted_with_its_reason_and_asked_again_by_the_next_run(tmp_path: Path) -> None:
    def answers(prompt: str, earlier: int) -> Reply:
        if prompt == "Question 1?" and earlier < 4:
            return refusal(500, {"error": {"message": "boom"}})
        if prompt == "Question 2?":
            return Reply(sse(delta(content=""), delta("content_filter"), "[DONE]"))
        return said("Yes.")

    ledger = Ledger()
    with teacher_server(answers) as server:
        replies = by_key(list(Desk(server, tmp_path).teacher(ledger).ask(questions(4))))
        n_first = len(server.arrivals)
        again = by_key(list(Desk(server, tmp_path).teacher().ask(questions(4))))

    assert Counter(bool(reply.error) for reply in replies.values()) == {False: 2, True: 2}
    assert replies["row-1"].error == "the server failed (status 500)"
    assert replies["row-2"].error == "withheld by a content filter"
    assert n_first == 1 + 4 + 1 + 1  # the server's fault is met four times, the filter once
    assert again["row-1"].solution == "Yes."
    assert len(server.arrivals) == n_first + 2


@pytest.mark.parametrize(
    ("said_by_backend", "reason"),
    [
        ("127.0.0.1 broke off the answer with an error; ask again.", "the server broke off"),
        ("The connection to far.example broke off; ask again.", "the server broke off"),
        ("far.example took too long; ask again in a minute.", "the server took too long"),
        ("far.example cannot be reached in time; check the network.", "the server cannot be reached"),
        ("far.example failed to answer (status 500); ask again or choose another model.",
         "the server failed (status 500)"),
        ("far.example has taken m out of service; choose another model.", "the teacher failed"),
    ],
)  # fmt: skip
def test_a_reason_names_the_fault_and_neither_the_server_nor_what_to_do(said_by_backend: str, reason: str) -> None:
    assert fault_of(ModelUnavailable(said_by_backend)) == reason


def test_a_question_that_is_too_long_is_left_and_the_others_are_answered(tmp_path: Path) -> None:
    with teacher_server() as server:
        asked = [Asked("long", "word " * 10_000), Asked("short", "Why?")]
        replies = by_key(list(Desk(server, tmp_path).teacher().ask(asked)))

    assert replies["long"].error == "too long for the teacher"
    assert replies["short"].solution == "Answer to Why?"
    assert len(server.arrivals) == 1


def test_no_key_goes_over_its_limit_and_all_are_used(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = {"A": "value-a", "B": "value-b"}
    with teacher_server(clock=clock) as server:
        desk = Desk(server, tmp_path, keys, limits=Limits(requests_per_minute=5, at_once=3), clock=clock)
        replies = list(desk.teacher().ask(questions(25)))

    assert len(replies) == 25
    assert server.most_in_a_minute("value-a") == server.most_in_a_minute("value-b") == 5
    # 10 in each of the first two minutes of 61 s, the last 5 after them
    assert 122 <= clock.now() < 123


def test_keys_of_one_project_share_its_limit(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = {"A": "value-a", "B": "value-b"}
    with teacher_server(clock=clock) as server:
        desk = Desk(server, tmp_path, keys, {"A": "one", "B": "one"}, Limits(requests_per_minute=4), clock=clock)
        list(desk.teacher().ask(questions(10)))

    assert server.most_in_a_minute("value-a", "value-b") == 4
    assert {arrival.key for arrival in server.arrivals} == {"value-a", "value-b"}


def test_no_key_has_more_under_way_than_allowed(tmp_path: Path) -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    with teacher_server() as server:
        desk = Desk(server, tmp_path, {"A": "value-a"}, limits=Limits(at_once=2))
        teacher = desk.teacher()
        pool = teacher._means.pool
        take, give_back = pool.take, pool.give_back

        def counted_take(tokens: int) -> object:
            lease = take(tokens)
            if lease:
                running[lease.key] += 1
                most[lease.key] = max(most[lease.key], running[lease.key])
            return lease

        def counted_back(lease: object, tokens: int | None = None) -> None:
            running["A"] -= 1
            give_back(lease, tokens)  # type: ignore[arg-type]

        pool.take, pool.give_back = counted_take, counted_back  # type: ignore[method-assign, assignment]
        list(teacher.ask(questions(12)))

    assert most == {"A": 2}
    assert running == {"A": 0}


def test_a_day_that_is_used_up_ends_with_the_rest_not_asked(tmp_path: Path) -> None:
    with teacher_server(
        lambda prompt, earlier: (
            said("Yes.") if prompt in ("Question 0?", "Question 1?") else refusal(429, GEMINI_DAILY_429)
        )
    ) as server:
        desk = Desk(server, tmp_path, at_once=1)
        replies = by_key(list(desk.teacher().ask(questions(10))))

    assert [bool(replies[f"row-{i}"].error) for i in range(10)] == [False, False] + [True] * 8
    assert all(reply.error == "not asked: the day's quota is used up" for reply in replies.values() if reply.error)
    assert len(server.arrivals) == 3


def test_a_key_that_is_refused_is_left_out_and_the_other_goes_on(tmp_path: Path) -> None:
    bad = {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
                     "details": [{"reason": "API_KEY_INVALID"}]}}  # fmt: skip
    with teacher_server() as server:
        right = server.next_reply
        server.next_reply = lambda asked: (  # type: ignore[method-assign]
            refusal(400, bad) if "value-bad" in asked.headers["authorization"] else right(asked)
        )
        desk = Desk(server, tmp_path, {"BAD": "value-bad", "GOOD": "value-good"}, at_once=1)
        replies = list(desk.teacher().ask(questions(6)))

    assert all(not reply.error for reply in replies)


def test_without_a_key_that_works_the_run_ends_with_one_line_that_names_it_and_not_its_value(tmp_path: Path) -> None:
    refused = refusal(401, {"error": {"message": "value-of-key is wrong"}})
    with teacher_server(lambda prompt, earlier: refused) as server, pytest.raises(AccessDenied) as caught:
        list(Desk(server, tmp_path).teacher().ask(questions(30)))

    assert "KEY" in str(caught.value)
    assert "value-of-key" not in str(caught.value)


def test_a_server_that_is_down_ends_the_run_instead_of_trying_each_question(tmp_path: Path) -> None:
    down = pytest.raises(ModelUnavailable, match="overloaded or down")
    with teacher_server(lambda prompt, earlier: refusal(503, {})) as server, down:
        list(Desk(server, tmp_path).teacher().ask(questions(500)))

    assert len(server.arrivals) <= 20 + 8  # as many in a row, and those that were under way as the last of them failed


def test_the_spending_limit_stops_before_the_request_that_might_exceed_it(tmp_path: Path) -> None:
    # A prompt of "Question 0?" (11 bytes) has at most ceil(11 / 3) + 8 = 12 tokens; with 100 new tokens a request costs
    # at most (12 * 1 + 100 * 2) / 1e6 = $0.000212, and in truth (10 + 5 * 2) / 1e6 = $0.00002.
    ledger = Ledger(budget=0.00030)
    with teacher_server() as server:
        teacher = Desk(server, tmp_path).teacher(ledger)
        replies = by_key(list(teacher.ask(questions(9))))
        more = by_key(list(Desk(server, tmp_path).teacher(Ledger(budget=1.0)).ask(questions(9))))

    # After five answers ($0.0001) a sixth may come to $0.000312.
    assert [bool(replies[f"row-{i}"].error) for i in range(9)] == [False] * 5 + [True] * 4
    assert replies["row-5"].error == "not asked: the spending limit"
    assert ledger.total == pytest.approx(0.00010)
    assert len(server.arrivals) == 9
    assert not any(reply.error for reply in more.values())


def test_a_spending_limit_without_a_price_is_refused(tmp_path: Path) -> None:
    with teacher_server() as server:
        desk = Desk(server, tmp_path, price=None)
        with pytest.raises(InvalidInput, match="--price"):
            list(desk.teacher(Ledger(budget=1.0)).ask(questions(2)))

    assert not server.arrivals


def test_a_ledger_that_was_killed_goes_on_without_counting_anything_twice(tmp_path: Path) -> None:
    file = tmp_path / "work" / "spending.jsonl"
    with teacher_server() as server:
        first = Desk(server, tmp_path).teacher(Ledger.opened(file, 1.0))
        list(first.ask(questions(3)))
        with file.open("ab") as stream:  # killed while two requests were under way: one reply had come, one had not
            come = first._means.request(Asked("", "Question 3?"))
            lost = first._means.request(Asked("", "Question 4?"))
            for request in (come, lost):
                key = first._means.cache.key_of(request, 0)
                stream.write(json.dumps({"sent": key, "model": "teacher", "bound": 0.5}).encode() + b"\n")
            stream.write(b'{"sent": "to')
        list(Desk(server, tmp_path).teacher(Ledger()).ask([Asked("", "Question 3?")]))
        n_before = len(server.arrivals)
        resumed = Ledger.opened(file, 1.0)
        assert resumed.total == pytest.approx(3 * 2e-5 + 2 * 0.5)
        replies = by_key(list(Desk(server, tmp_path).teacher(resumed).ask(questions(5))))

    assert not any(reply.error for reply in replies.values())
    assert len(server.arrivals) == n_before + 1  # the lost one alone
    spent = Ledger.opened(file, 1.0).spent["teacher"]
    assert spent.asked == 5
    assert spent.cost == pytest.approx(5 * 2e-5)
    assert spent.possibly == pytest.approx(0.5)  # what the lost one may have cost when it was first sent
    assert spent == resumed.spent["teacher"]


def test_stopping_keeps_what_came_and_asks_nothing_more(tmp_path: Path) -> None:
    with teacher_server() as server:
        desk = Desk(server, tmp_path, at_once=2)
        got: list[Replied] = []
        replies = desk.teacher(stop=lambda: len(got) >= 5).ask(questions(50))
        with pytest.raises(Stopped):
            deque(map(got.append, replies))
        n = len(server.arrivals)
        after = list(Desk(server, tmp_path).teacher().ask(questions(50)))

    assert 5 <= n <= 8
    assert len(server.arrivals) == 50
    assert len(after) == 50


def test_the_estimate_says_what_is_not_there_yet_and_by_what_it_is_measured(tmp_path: Path) -> None:
    with teacher_server() as server:
        desk = Desk(server, tmp_path, limits=Limits(requests_per_minute=2))
        before = desk.teacher().estimate(questions(4))
        list(desk.teacher().ask(questions(2)))
        after = desk.teacher().estimate([*questions(4), Asked("again", "Question 3?")])

    # Each prompt at most 12 tokens and each answer at most 100 (see above); no answer measured yet.
    assert (before.requests, before.cached, before.prompt_tokens, before.completion_tokens) == (4, 0, 48, 400)
    assert before.cost == before.most_cost == pytest.approx((48 * 1 + 400 * 2) / 1e6)
    assert before.seconds == 120.0
    # Two are kept; they had 5 tokens each.
    assert (after.requests, after.cached, after.completion_tokens, after.measured) == (2, 2, 10, 2)
    assert after.cost == pytest.approx((24 * 1 + 10 * 2) / 1e6)
    assert after.most_cost == pytest.approx((24 * 1 + 200 * 2) / 1e6)
    assert len(server.arrivals) == 2


def test_thoughts_that_only_the_total_counts_are_paid_for(tmp_path: Path) -> None:
    counted = usage(10, 5)
    counted["usage"]["total_tokens"] = 115
    reply = Reply(sse(delta(content="Yes."), delta("stop"), counted, "[DONE]"))
    with teacher_server(lambda prompt, earlier: reply) as server:
        [replied] = Desk(server, tmp_path).teacher().ask([Asked("a", "Why?")])

    assert replied.completion_tokens == 105
    assert replied.cost == pytest.approx((10 + 105 * 2) / 1e6)


def test_progress_is_told_while_waiting(tmp_path: Path) -> None:
    heard: list[int] = []
    clock = FakeClock()
    with teacher_server(clock=clock) as server:
        desk = Desk(server, tmp_path, limits=Limits(requests_per_minute=1), clock=clock)
        list(desk.teacher().ask(questions(3), heard.append))

    assert heard == sorted(heard)
    assert {1, 2} <= set(heard)
    assert len(heard) > 61 / 0.2  # also while the minute passes


def test_closing_the_answers_early_ends_what_is_under_way(tmp_path: Path) -> None:
    with teacher_server(
        lambda p, e: said("Yes.") if p == "Question 0?" else Reply(sse(delta(content="Y"), "hang"))
    ) as server:
        teacher: Teacher = Desk(server, tmp_path, at_once=3).teacher()
        replies = teacher.ask(questions(3))
        assert next(iter(replies)).solution == "Yes."
        until(lambda: len(server.arrivals) == 3)
        replies.close()  # type: ignore[attr-defined]

        assert [server.gone.get(timeout=60) for _ in range(2)] == ["gone", "gone"]
