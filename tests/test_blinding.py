"""Blinding: nothing that is shown before the vote, and no pace of it, tells which model is which."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from panels import CASE, CHOICES, Models, NoGrounder, model, service, store_in, wait_until, watched

from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import Endpoint
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.masking import masker_for
from medchat.paced_answer import PacedAnswer
from medchat.pacing import FRAME_S, TOP_PACE, Pacer, Progress
from medchat.panel import Choice, PanelService, PanelView
from medchat.panel_views import BlindSides, SideView
from medchat.records import Done, Request, Text
from medchat.settings import Settings
from medchat.store import Store
from medchat.turns import TurnView

SWIFT = model("swift", name="Swift 3 (Acme)", base="acme/swift-3", parameters=0.5)
SLUGGISH = model(
    "sluggish", name="Sluggish XL", parameters=70.0, answer_format="think",
    endpoint=Endpoint("https://slow.example.org/v1", "acme/sluggish-xl"), demo=True,
)  # fmt: skip
STEPS = "".join(f"{n}. Finding number {n} speaks for the lungs and against the heart.\n" for n in range(1, 5))
END = "As Swift 3, unlike sluggish-XL by Google, I say pneumonia; made by Acme/Swift-3, not by Gemma."
AS_GRPO = f"<start_reasoning>\n{STEPS}<end_reasoning><SOLUTION>{END}</SOLUTION>"
AS_THINK = f"<think>\n{STEPS}</think>\n\n{END}"
NAMES = re.compile(r"swift|sluggish|acme|gemma|google|70\.0|0\.5", re.IGNORECASE)


class Failing(ScriptedBackend):
    """A backend that cannot even begin."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        raise ModelUnavailable("Swift 3 of Acme wants 140 GB of memory.")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = store_in(tmp_path)
    yield store
    store.close()


def compared(store: Store, swift: ScriptedBackend, sluggish: ScriptedBackend, seed: int) -> list[PanelView]:
    """What was shown of a comparison, without what says no more than that it is another one, or later."""
    panels = service(store, {"swift": swift, "sluggish": sluggish}, SWIFT, SLUGGISH, draw=lambda: seed)
    try:
        views = watched(panels.ask("ada", CASE, "", CHOICES, save_key=f"key-{seed}"))
    finally:
        panels.close()
    assert len({view.comparison_id for view in views}) == 1
    return [replace(view, comparison_id="", revision=0) for view in views]


def quick(text: str = AS_GRPO) -> ScriptedBackend:
    return ScriptedBackend([text], chunk_chars=40)


def slow(text: str = AS_THINK) -> ScriptedBackend:
    return ScriptedBackend([text], chunk_chars=3, delay_s=0.012)  # 250 characters a second


def frames_of(
    *sides: tuple[str, str, float, float], stop_left_s: float = float("inf")
) -> list[tuple[SideView, SideView]]:
    """What is shown, frame by frame of a clock of its own. sides: format, raw text, seconds to its first
    character and characters a second, of each. stop_left_s: when the left one is stopped.
    """
    lives = [PacedAnswer(TurnView(str(index), 0, CASE, "", ""), side[0]) for index, side in enumerate(sides)]
    blind = BlindSides(lives, masker_for([SWIFT, SLUGGISH]))
    sent, rests = [0, 0], [live.linger() for live in lives]
    shown: list[tuple[SideView, SideView]] = []
    while not all(live.ended for live in lives):
        now = len(shown) * FRAME_S
        for index, (live, (_, text, first_s, speed)) in enumerate(zip(lives, sides, strict=True)):
            n_chars = min(len(text), max(0, int((now - first_s) * speed)))
            live.feed(Text(0, text[sent[index] : n_chars]))
            if sent[index] < n_chars == len(text):
                live.count(Done(0, "stop", 1, 1))
                next(rests[index], None)
            sent[index] = n_chars
        if now >= stop_left_s and lives[0].claim_end("stopped"):
            lives[0].publish_end()
        shown.append(blind.frame(now))
        for live, rest in zip(lives, rests, strict=True):
            if live.is_out and next(rest, "over") == "over" and live.claim_end("done"):
                live.publish_end()
    return [*shown, blind.frame(now + FRAME_S)]


SHORT = f"<think>\n{STEPS[:150]}</think>\n\nPneumonia."


@pytest.mark.parametrize("texts", [(AS_THINK, AS_THINK), (SHORT, AS_THINK), (AS_THINK, SHORT)])
@pytest.mark.parametrize("slow_speed", [40.0, 200.0])
def test_the_views_are_the_same_whichever_side_is_slow(texts: tuple[str, str], slow_speed: float) -> None:
    left, right = texts
    left_is_slow = frames_of(("think", left, 2.0, slow_speed), ("think", right, 0.1, 5000.0))
    right_is_slow = frames_of(("think", left, 0.1, 5000.0), ("think", right, 2.0, slow_speed))

    assert len(left_is_slow) > 30, "it was shown piece by piece"
    assert left_is_slow == right_is_slow


LONG_THINK = f"<think>\n{STEPS * 3}</think>\n\n{END}"


@pytest.mark.parametrize("stop_s", [0.0, 0.5, 2.0, 9.9, 10.3, 12.0, 15.0])
def test_a_stop_tells_nothing_by_the_other_column(stop_s: float) -> None:
    quick_one, slow_one = ("think", LONG_THINK, 1.0, 400.0), ("think", LONG_THINK, 10.0, 60.0)
    left_is_slow = frames_of(slow_one, quick_one, stop_left_s=stop_s)
    right_is_slow = frames_of(quick_one, slow_one, stop_left_s=stop_s)
    not_stopped = frames_of(quick_one, slow_one)

    assert left_is_slow == right_is_slow
    assert left_is_slow[-1][0].phase == "stopped"
    assert left_is_slow[-1][1].phase == "done"
    assert [right for _, right in left_is_slow] == [right for _, right in not_stopped]


def test_the_model_of_a_stopped_side_goes_on_no_longer_than_the_comparison(store: Store) -> None:
    endless = ScriptedBackend(["So. " * 5000], chunk_chars=4, delay_s=0.01)
    panels = service(store, {"swift": quick(), "sluggish": endless}, SWIFT, SLUGGISH)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    wait_until(lambda: bool(panel.view().right.solution))
    panels.stop("ada", panel.id, "b")

    assert watched(panel)[-1].left.phase == "done"
    wait_until(lambda: not any(thread.name.startswith("answer-") for thread in threading.enumerate()), 2)
    stopped = store.answers_of_comparison("ada", panel.id)[1]
    assert (stopped.status, len(stopped.solution) < 400) == ("stopped", True)
    panels.close()


def test_marks_of_the_format_take_no_time_of_their_own() -> None:
    frames = frames_of(("think", AS_THINK, 0.0, 5000.0), ("gemma-grpo", AS_GRPO, 0.0, 300.0))

    assert all(replace(left, label="B") == right for left, right in frames)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_texts_are_the_same_in_both_columns_in_every_view(store: Store, seed: int) -> None:
    views = compared(store, quick(), slow(), seed)

    assert len(views) > 15, "it was shown piece by piece"
    for view in views:
        assert replace(view.left, label="B") == view.right
    assert views[-1].left.solution == (
        "As [model], unlike [model] by [model], I say pneumonia; made by [model], not by [model]."
    )


def test_no_view_before_the_vote_holds_a_name_an_id_a_size_a_time_or_a_count(store: Store) -> None:
    views = compared(store, quick(), slow(), 0)
    answers = store.answers_of_comparison("ada", store.comparisons_of("ada")[0].id)

    fields = set(asdict(views[0].left))
    assert fields == {"label", "reasoning", "solution", "phase", "error"}, "no times, tokens, notes or marks"
    for view in views:
        assert view.revealed is None
        columns = repr((view.left, view.right))
        assert not NAMES.search(columns)
        assert not any(answer.id in repr(view) for answer in answers)


def test_the_notice_stands_above_both_and_is_the_same_for_either_draw(store: Store) -> None:
    notices = {view.notice for seed in (0, 1) for view in compared(store, quick(), quick(AS_THINK), seed)}

    (notice,) = notices
    assert "small teaching model" in notice
    assert "slow.example.org" in notice


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_side_that_fails_at_once_says_so_in_neutral_words_with_the_first_of_the_other(
    store: Store, seed: int
) -> None:
    views = compared(store, Failing([""]), slow(), seed)

    assert all(view.revealed is None for view in views[:-1]), "the other one is still being written"
    bad = [view.right if seed else view.left for view in views[:-1]]
    good = [view.left if seed else view.right for view in views]
    assert {side.error for side in bad} == {"", "This side could not answer."}
    assert not NAMES.search(repr(bad))
    told = next(index for index, side in enumerate(bad) if side.error)
    begun = next(index for index, side in enumerate(good) if side.reasoning)
    assert begun <= told + 1 <= begun + 5, "its failure comes with the first words of the other"
    assert good[-1].reasoning.startswith("1. Finding")
    assert good[-1].phase == "done"


@pytest.mark.parametrize("seed", [0, 1])
def test_where_one_side_gave_no_answer_names_and_its_reason_come_with_the_end(store: Store, seed: int) -> None:
    panels = service(store, {"swift": Failing([""]), "sluggish": quick(AS_THINK)}, SWIFT, SLUGGISH, draw=lambda: seed)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    *_, end = watched(panel)

    again = panels.view("ada", panel.id)
    for view in (end, again):
        bad, good = (view.right, view.left) if seed else (view.left, view.right)
        assert bad.error == "Swift 3 of Acme wants 140 GB of memory."
        assert good.solution == END, "nothing is masked any more"
        assert view.revealed is not None
        names = (view.revealed.b.name, view.revealed.a.name) if seed else (view.revealed.a.name, view.revealed.b.name)
        assert names == ("Swift 3 (Acme)", "Sluggish XL")
        assert not view.can_vote
    assert panels.reveal("ada", panel.id) == again.revealed
    with pytest.raises(InvalidInput, match="nothing to compare"):
        panels.vote("ada", panel.id, "b", save_key="v")
    assert store.preference_of("ada", panel.id) is None
    panels.close()


@pytest.mark.slow
def test_once_the_names_were_shown_there_is_no_vote_though_both_have_text(store: Store) -> None:
    # All that one side wrote is the beginning of a name, which is not shown: its reader sees no answer.
    broken = ScriptedBackend(["Sluggish XL"], chunk_chars=5, fail_after=1)
    panels = service(store, {"swift": quick(), "sluggish": broken}, SWIFT, SLUGGISH)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    *_, end = watched(panel)

    for view in (end, panels.view("ada", panel.id)):
        assert (view.right.solution, view.revealed is not None, view.can_vote) == ("Slugg", True, False)
    panels.close()


def test_a_side_that_breaks_off_shows_it_only_when_the_other_is_out_too(store: Store) -> None:
    def breaking(text: str, delay_s: float) -> ScriptedBackend:
        return ScriptedBackend([text], chunk_chars=5, delay_s=delay_s, fail_after=30)

    views = compared(store, breaking(AS_GRPO, 0.0), slow(), 0)

    ended = [view for view in views if view.left.phase == "failed"]
    assert len(ended) == 1, "only the last view tells"
    assert (ended[0].right.phase, ended[0].left.error) == ("done", "This side broke off before its end.")
    assert "memory" not in repr(views)


@pytest.mark.slow
def test_a_stopped_side_stands_as_it_was_shown_however_far_its_model_was(store: Store) -> None:
    shown = []
    for seed in (0, 1):
        backends = {"swift": quick(), "sluggish": slow()}
        panels = service(store, backends, SWIFT, SLUGGISH, draw=lambda seed=seed: seed)  # type: ignore[misc]
        panel = panels.ask("ada", CASE, "", CHOICES, save_key=f"stop-{seed}")
        wait_until(lambda panel=panel: len(panel.view().left.reasoning) > 60)  # type: ignore[misc]
        before = panel.view().left
        assert panels.stop("ada", panel.id, "a")
        wait_until(lambda panel=panel: panel.view().left.phase == "stopped")  # type: ignore[misc]
        after = panel.view().left
        assert len(after.reasoning) - len(before.reasoning) <= TOP_PACE * FRAME_S * 2
        assert watched(panel)[-1].left == after
        shown.append(store.answers_of_comparison("ada", panel.id)[0])
        panels.close()

    assert all(answer.status == "stopped" and len(answer.reasoning) < 150 for answer in shown)
    assert STEPS.startswith(shown[0].reasoning), "what is stored is what was seen"


def test_an_answer_that_breaks_off_within_a_name_does_not_show_its_beginning(store: Store) -> None:
    def breaking() -> ScriptedBackend:
        return ScriptedBackend(["Pneumonia, I say as Sluggish XL"], chunk_chars=5, fail_after=5)  # after "Slugg"

    panels = service(store, {"swift": breaking(), "sluggish": breaking()}, SWIFT, SLUGGISH)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    assert all("Pneumonia, I say as ".startswith(view.left.solution) for view in watched(panel))
    assert panels.view("ada", panel.id).left.solution == "Pneumonia, I say as "
    panels.close()


def test_names_are_shown_only_after_the_vote(store: Store) -> None:
    panels = service(store, {"swift": quick(), "sluggish": quick(AS_THINK)}, SWIFT, SLUGGISH, draw=lambda: 7)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    with pytest.raises(InvalidInput, match="after your vote"):
        panels.reveal("ada", panel.id)
    watched(panel)
    with pytest.raises(InvalidInput, match="after your vote"):
        panels.reveal("ada", panel.id)
    panels.vote("ada", panel.id, "tie", save_key="v")

    names = panels.reveal("ada", panel.id)
    assert (names.a.name, names.b.name) == ("Sluggish XL", "Swift 3 (Acme)"), "7 is odd: the second choice is A"
    assert (names.a.parameters, names.b.base) == (70.0, "acme/swift-3")
    assert names.a.turn.total_ms is not None
    assert names.b.turn.tokens_per_s is not None
    view = panels.view("ada", panel.id)
    assert view.left.solution == END, "nothing is masked any more"
    assert view.revealed == names
    panels.close()


def test_each_draw_is_kept_and_both_happen(store: Store) -> None:
    backends = {"swift": quick("A."), "sluggish": quick("B.")}
    panels = PanelService(
        store, Models(SWIFT, SLUGGISH), lambda spec: backends[spec.id], NoGrounder(), Settings(model="swift")
    )
    for number in range(12):
        panels.ask("ada", CASE, "", CHOICES, save_key=f"k{number}")
    panels.close()

    left_of = {}
    for comparison in store.comparisons_of("ada"):
        left, _ = store.answers_of_comparison("ada", comparison.id)
        left_of[comparison.draw_seed] = left.model_id
    assert len(left_of) == 12, "no two draws are alike"
    assert all((model_id == "sluggish") == bool(seed % 2) for seed, model_id in left_of.items())
    assert set(left_of.values()) == {"swift", "sluggish"}


# The pace, frame by frame: what two sides have at each frame, and what of it is shown.


def shown_by(
    *texts: tuple[int, float, float], stall: tuple[int, float] = (0, 0.0), stalled: int = 0
) -> tuple[list[int], int]:
    """What is shown in each frame, and how many frames until the longest text is out.

    texts: characters, seconds to the first of them, characters a second, of each side. stall: after how many
    characters the side of this number stands still, and for how long.
    """
    pacer, shown = Pacer(), []
    for frame in range(10_000):
        now = frame * FRAME_S
        sides = []
        for index, (n_chars, first_s, speed) in enumerate(texts):
            wrote_s = now - first_s
            if index == stalled and wrote_s * speed > stall[0]:
                wrote_s = max(stall[0] / speed, wrote_s - stall[1])
            so_far = min(n_chars, int(wrote_s * speed)) if now > first_s else 0
            sides.append(Progress(so_far, now > first_s and so_far == n_chars))
        shown.append(pacer.tick(now, sides))
        if all(side.over for side in sides) and shown[-1] >= max(side.chars for side in sides):
            return shown, frame
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("slow_speed", [10.0, 36.0, 106.0, 220.0])
def test_the_pace_is_that_of_the_slower_side_also_where_it_has_ended(slow_speed: float) -> None:
    short, long = 200, 1400
    slow_is_short, _ = shown_by((short, 1.0, slow_speed), (long, 0.2, 2000.0))
    slow_is_long, _ = shown_by((short, 0.2, 2000.0), (long, 1.0, slow_speed))

    assert slow_is_short == slow_is_long, "which of the two is slow cannot be told"
    most = [b - a for a, b in pairwise(slow_is_short) if a < 0.9 * long]
    assert max(most) <= slow_speed * FRAME_S + 1


@pytest.mark.parametrize("after", [3, 300, 1000, 1990])
@pytest.mark.parametrize("speed", [40.0, 100.0, 400.0, 5000.0])
def test_a_stall_is_forgotten_soon_and_both_sides_have_the_same_frames(after: int, speed: float) -> None:
    n_chars, stall_s = 2000, 5.0
    texts = (n_chars, 0.5, speed), (n_chars, 0.2, 3000.0)
    shown, frames = shown_by(*texts, stall=(after, stall_s))
    swapped, _ = shown_by(*reversed(texts), stall=(after, stall_s), stalled=1)

    written_s = 0.5 + stall_s + n_chars / speed
    assert frames * FRAME_S - written_s < 15
    assert shown == swapped


def test_the_first_words_of_both_come_when_the_slower_one_has_some() -> None:
    shown, _ = shown_by((500, 0.1, 400.0), (500, 4.0, 400.0))

    first = next(frame for frame, n in enumerate(shown) if n)
    assert 4.0 < first * FRAME_S < 5.0


def test_two_quick_sides_are_shown_at_the_top_pace_without_waiting() -> None:
    shown, frames = shown_by((900, 0.0, 1e6), (300, 0.0, 1e6))

    assert frames * FRAME_S == pytest.approx(900 / TOP_PACE, abs=0.3)
    assert max(b - a for a, b in pairwise(shown)) <= TOP_PACE * FRAME_S


def test_frames_come_by_the_clock(store: Store) -> None:
    panels = service(store, {"swift": quick(), "sluggish": slow()}, SWIFT, SLUGGISH)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    times: list[float] = []
    revision = 0
    while not panel.ended:
        revision = panel.wait(revision, 5).revision
        times.append(time.monotonic())

    between = sorted(b - a for a, b in pairwise(times[2:]))
    assert between[len(between) // 2] == pytest.approx(FRAME_S, abs=0.03)
    panels.close()


def test_other_settings_of_the_same_model_are_told_apart_only_after_the_vote(store: Store) -> None:
    warm: Any = replace(SWIFT.sampling, temperature=0.9)
    panels = service(store, {"swift": ScriptedBackend(["Rest. " * 20])}, SWIFT, draw=lambda: 1)
    panel = panels.ask("ada", CASE, "", (Choice("swift"), Choice("swift", warm)), save_key="k")

    assert "0.9" not in repr(watched(panel))
    panels.vote("ada", panel.id, "a", save_key="v")
    names = panels.reveal("ada", panel.id)
    assert names.a.sampling == warm
    assert names.b.sampling == SWIFT.sampling
    panels.close()
