"""The panel service: what a rater who asks two models, stops, reloads, votes and votes again gets."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from panels import CASE, CHOICES, Models, model, service, store_in, wait_until, watched

from medchat.asked_models import AskedModels
from medchat.backends.scripted import ScriptedBackend
from medchat.errors import InvalidInput, ModelUnavailable, NotFound
from medchat.panel import Choice, PanelService
from medchat.panel_views import BlindSides, SideView
from medchat.rating import RatingService
from medchat.records import Sampling
from medchat.rubrics import PAIRWISE_RUBRIC, Criterion, load_rubrics, shown
from medchat.store import AskedRubric, Store

ONE = "<start_reasoning>\nCough points to the lungs.\n<end_reasoning><SOLUTION>Pneumonia.</SOLUTION>"
TWO = "<start_reasoning>\nIt may be a cold.\n<end_reasoning><SOLUTION>A cold: rest.</SOLUTION>"
LONG = "<SOLUTION>" + "Rest, drink and wait for a while. " * 24 + "</SOLUTION>"

RUBRIC = load_rubrics()[PAIRWISE_RUBRIC]

Start = Callable[..., PanelService]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = store_in(tmp_path)
    yield store
    store.close()


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    """Starts a service whose models "swift" and "sluggish" answer so."""
    services: list[PanelService] = []

    def begin(swift: Any = ONE, sluggish: Any = TWO, **more: Any) -> PanelService:
        scripts = {"swift": swift, "sluggish": sluggish}
        backends = {
            name: ScriptedBackend([script]) if isinstance(script, str) else script for name, script in scripts.items()
        }
        services.append(service(store, backends, **more))
        return services[-1]

    yield begin
    for panels in services:
        panels.close()


def slow(text: str = LONG) -> ScriptedBackend:
    return ScriptedBackend([text], delay_s=0.05)


def test_both_answer_at_once_reasoning_and_solution_apart_and_are_saved(start: Start, store: Store) -> None:
    panel = start().ask("ada", CASE, "Smoker.", CHOICES, save_key="k", source={"kind": "typed"})

    end = watched(panel)[-1]
    assert (end.question, end.context) == (CASE, "Smoker.")
    assert (end.left.label, end.left.reasoning, end.left.solution) == ("A", "Cough points to the lungs.", "Pneumonia.")
    assert (end.right.label, end.right.reasoning, end.right.solution) == ("B", "It may be a cold.", "A cold: rest.")
    (comparison,) = store.comparisons_of("ada")
    assert (comparison.id, comparison.blinded, comparison.source) == (panel.id, True, {"kind": "typed"})
    answers = store.answers_of_comparison("ada", panel.id)
    assert [(a.status, a.complete, a.model_id) for a in answers] == [
        ("done", True, "swift"),
        ("done", True, "sluggish"),
    ]
    assert all(answer.prompt and answer.total_ms is not None and answer.total_ms < 1000 for answer in answers)


@pytest.mark.slow
def test_the_time_it_took_is_the_models_own_not_that_of_the_paced_view(start: Start, store: Store) -> None:
    panel = start(swift=LONG).ask("ada", CASE, "", CHOICES, save_key="k")
    watched(panel)

    quick, _ = store.answers_of_comparison("ada", panel.id)
    assert quick.total_ms is not None
    assert quick.total_ms < 1500, "shown at 300 characters a second it took over 2.5 s"


def test_in_open_mode_names_and_the_real_error_are_there_at_once(start: Start) -> None:
    panels = start(swift=ScriptedBackend([ONE], fail_after=1), draw=lambda: 1)
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k", blinded=False)

    end = watched(panel)[-1]
    names = panels.reveal("ada", panel.id)
    assert (names.a.name, names.b.name) == ("Swift", "Sluggish"), "the first choice is on the left"
    assert "stopped unexpectedly" in end.left.error
    assert end.right.phase == "done"
    assert end.revealed is not None
    assert end.revealed.b.turn.tokens_per_s is not None
    assert panels.view("ada", panel.id).revealed == names


def test_one_side_stopped_leaves_the_other_running(start: Start, store: Store) -> None:
    panels = start(slow(), slow(TWO))
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    wait_until(lambda: len(panel.view().left.solution) > 10)

    assert panels.stop("ada", panel.id, "a")
    end = watched(panel)[-1]
    assert (end.left.phase, end.right.phase, end.right.solution) == ("stopped", "done", "A cold: rest.")
    assert not panels.stop("ada", panel.id, "a"), "it has ended"
    answers = store.answers_of_comparison("ada", panel.id)
    assert [answer.status for answer in answers] == ["stopped", "done"]
    assert answers[0].solution.startswith(end.left.solution)


def test_the_same_request_again_gives_the_same_comparison(start: Start, store: Store) -> None:
    seeds = iter([0, 1, 1])
    panels = start(slow(ONE), draw=lambda: next(seeds))
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    assert panels.ask("ada", CASE, "", CHOICES, save_key="k") is panel
    end = watched(panel)[-1]
    again = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    assert (again.id, again.ended, again.view().left) == (panel.id, True, end.left)
    assert len(store.comparisons_of("ada")) == 1


def test_a_page_that_comes_back_finds_the_comparison_as_it_is(start: Start) -> None:
    panels = start(slow(ONE))
    assert panels.latest("ada") is None
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    assert panels.latest("ada") == panel.id
    assert panels.panel("ada", panel.id) is panel
    end = watched(panel)[-1]
    wait_until(lambda: panels.panel("ada", panel.id) is not panel)
    assert replace(panels.view("ada", panel.id), revision=end.revision) == end


def test_nobody_else_sees_stops_or_votes_on_a_comparison(start: Start) -> None:
    panels = start(slow(ONE))
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    assert panels.latest("bob") is None
    assert not panels.stop("bob", panel.id, "a")
    for running in (True, False):
        for call in (
            lambda: panels.view("bob", panel.id),
            lambda: panels.reveal("bob", panel.id),
            lambda: panels.vote("bob", panel.id, "a", save_key="v"),
            lambda: panels.send_to_rating("bob", panel.id),
        ):
            with pytest.raises(NotFound):
                call()
        if running:
            watched(panel)


def test_a_vote_can_be_changed_and_the_one_before_is_kept(start: Start) -> None:
    panels = start()
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    with pytest.raises(InvalidInput, match="still being written"):
        panels.vote("ada", panel.id, "a", save_key="early")
    watched(panel)

    first = panels.vote(
        "ada", panel.id, "a", save_key="v1", axes={"harm": "tie"}, rubric=RUBRIC, reason=" Safer. ", seconds=12.5
    )
    changed = panels.vote("ada", panel.id, "both_bad", save_key="v2", flags={"b": True})
    assert (first.reason, first.axes, first.supersedes) == ("Safer.", {"harm": "tie"}, None)
    assert first.rubric == AskedRubric(RUBRIC.id, RUBRIC.version, shown(RUBRIC))
    assert (changed.supersedes, changed.flags) == (first.id, {"a": False, "b": True})
    assert panels.view("ada", panel.id).voted == changed
    assert panels.vote("ada", panel.id, "a", save_key="v1").id == first.id, "a repeated request is stored once"


def test_where_one_side_said_nothing_there_is_no_vote(start: Start) -> None:
    panels = start(swift=ScriptedBackend([ONE], fail_after=0))
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    watched(panel)

    with pytest.raises(InvalidInput, match="nothing to compare"):
        panels.vote("ada", panel.id, "b", save_key="v")
    assert not panels.view("ada", panel.id).can_vote


def test_both_answers_go_to_the_queue_of_the_rate_tab_once(start: Start, store: Store) -> None:
    panels = start(slow(ONE))
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    with pytest.raises(InvalidInput, match="still being written"):
        panels.send_to_rating("ada", panel.id)
    watched(panel)

    with pytest.raises(InvalidInput, match="Vote first"):
        panels.send_to_rating("ada", panel.id)
    panels.vote("ada", panel.id, "tie", save_key="v")

    assert [panels.send_to_rating("ada", panel.id) for _ in range(2)] == [2, 0]
    answers = store.answers_of_comparison("ada", panel.id)
    assert [item.answer_id for item in store.queue("ada").items] == [answer.id for answer in answers]


@pytest.mark.parametrize("how", ["sent", "added"])
def test_criteria_of_the_case_come_into_the_queue_with_both_answers(
    start: Start, store: Store, tmp_path: Path, how: str
) -> None:
    panels = start()
    source = {"kind": "file", "criteria": [{"criterion": "Names pneumonia", "points": 7}]}
    with_criteria, without = (
        panels.ask("ada", CASE, "", CHOICES, save_key=key, source=given) for key, given in (("k1", source), ("k2", {}))
    )
    for panel in (with_criteria, without):
        watched(panel)
        panels.vote("ada", panel.id, "tie", save_key=f"v-{panel.id}")
        if how == "sent":
            panels.send_to_rating("ada", panel.id)
    if how == "added":
        RatingService(store, Models(model("swift")), tmp_path).add("ada", "comparisons")

    criteria = {item.answer_id: item.criteria for item in store.queue("ada").items}
    for panel, expected in ((with_criteria, (Criterion("Names pneumonia", 7),)), (without, ())):
        answers = store.answers_of_comparison("ada", panel.id)
        assert [criteria[answer.id] for answer in answers] == [expected] * 2


def test_the_same_model_counts_as_two_with_other_settings_only(start: Start) -> None:
    panels = start()
    warm = Sampling(max_new_tokens=2000, temperature=0.7)

    with pytest.raises(InvalidInput, match="the same model with the same settings"):
        panels.ask("ada", CASE, "", (Choice("swift"), Choice("swift", model("swift").sampling)), save_key="k")
    panel = panels.ask("ada", CASE, "", (Choice("swift"), Choice("swift", warm)), save_key="k")
    assert watched(panel)[-1].can_vote


@pytest.mark.parametrize(
    ("question", "choices", "error", "words"),
    [
        (" ", CHOICES, InvalidInput, "type a case"),
        ("x" * 20_001, CHOICES, InvalidInput, "shorten"),
        (CASE, (Choice("swift"), Choice("gone")), NotFound, "Choose one of: Swift, Sluggish"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_stored(
    start: Start, store: Store, question: str, choices: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        start().ask("ada", question, "", choices, save_key="k")
    assert store.comparisons_of("ada") == []


def test_closing_cuts_both_at_the_same_place_and_takes_no_more(start: Start, store: Store) -> None:
    panels = start(LONG, slow())
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
    wait_until(lambda: len(panel.view().left.solution) > 60)

    panels.close()
    left, right = store.answers_of_comparison("ada", panel.id)
    assert (left.status, right.status) == ("cut", "cut")
    assert abs(len(left.solution) - len(right.solution)) < 40, "the quick one had all of its text long ago"
    with pytest.raises(ModelUnavailable):
        panels.ask("ada", CASE, "", CHOICES, save_key="k2")


def test_after_a_kill_the_comparison_is_there_with_both_texts_cut_and_can_be_voted_on(
    start: Start, store: Store, tmp_path: Path
) -> None:
    script = f"""
        import os, signal, sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from panels import CASE, CHOICES, service
        from medchat.backends.scripted import ScriptedBackend
        from medchat.store import Store
        text = {LONG!r}
        panels = service(
            Store("sqlite:///{tmp_path / "medchat.db"}"),
            {{"swift": ScriptedBackend([text]), "sluggish": ScriptedBackend([text], delay_s=0.05)}},
        )
        panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")
        while len(panel.view().right.solution) < 500:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parent.parent, timeout=60, check=False
    )
    assert done.returncode == -9

    store.close_unfinished()  # as every start of the chat does
    panels = start()
    panel_id = panels.latest("ada")
    assert panel_id is not None
    view = panels.view("ada", panel_id)
    assert (view.left.phase, view.right.phase) == ("cut", "cut")
    assert abs(len(view.left.solution) - len(view.right.solution)) < 400, "neither side is told by its length"
    assert view.can_vote
    assert view.revealed is None
    panels.vote("ada", panel_id, "tie", save_key="v")
    assert panels.reveal("ada", panel_id).a.model_id == "swift"


def test_a_bug_in_showing_the_answers_ends_the_comparison_for_whoever_watches(
    start: Start, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = BlindSides.frame

    def breaking(sides: BlindSides, now_s: float) -> tuple[SideView, SideView]:
        if any(map(any, (live.text() for live in sides._lives))):
            raise ZeroDivisionError
        return shown(sides, now_s)

    monkeypatch.setattr(BlindSides, "frame", breaking)
    panels = start(slow(), slow())
    panel = panels.ask("ada", CASE, "", CHOICES, save_key="k")

    end = watched(panel, 5)[-1]
    assert {end.left.phase, end.right.phase} == {"failed"}
    assert "report the number" in end.left.error
    assert end.left.error == end.right.error
    assert {answer.status for answer in store.answers_of_comparison("ada", panel.id)} == {"failed"}
    assert panels.view("ada", panel.id).phase == "ended"


def test_an_adapter_is_told_to_the_store_by_what_is_in_it(store: Store, tmp_path: Path) -> None:
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter"
    base.write_bytes(b"base")
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(b"one")
    spec = model("tuned", path=base, adapter=adapter, base="acme/base")
    asked = AskedModels(store, Models(spec))

    def answered() -> Any:
        asked.remember(spec)
        return store.begin_free_answer("ada", "", CASE, "tuned", prompt=None, sampling=None, answer_format="plain")

    first = answered()
    weights.write_bytes(b"another")
    os.utime(weights, (1, 1))
    second = answered()
    assert first.base == "acme/base"
    assert len(first.adapter_hash) == 64
    assert first.adapter_hash != second.adapter_hash
