"""The panel: one case answered by two models side by side, and the vote on it.

A page only watches: closing or reloading it leaves both answers running. Which model is on which side is drawn
when the case is asked and leaves this module only with the names: after the vote, after the end where there is nothing
to compare, or at once in open mode.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Condition, Lock, Thread
from typing import Any

from medchat.asked_models import AskedModels, Models
from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.live import GroundingSource, LiveAnswer, Turn, check_question, checked_text
from medchat.masking import masker_for
from medchat.paced_answer import PacedAnswer
from medchat.pacing import FRAME_S
from medchat.panel_views import (
    SIDES,
    BlindSides,
    Names,
    PanelView,
    Revealed,
    Side,
    SideView,
    nothing_to_compare,
    notice_of,
    open_side,
    revealed_answer,
    stored_panel,
)
from medchat.records import Sampling
from medchat.rubrics import Rubric, shown
from medchat.settings import Settings
from medchat.store import AnswerRecord, AskedRubric, AxisVote, ComparisonRecord, PreferenceRecord, Store, Vote
from medchat.turns import ENDED, stored_view
from medchat.writing import Writing, reported

__all__ = ["Choice", "LivePanel", "Names", "PanelService", "PanelView", "Revealed", "Side", "SideView"]

CLOSE_TIMEOUT_S = 5.0
ORIGIN = "compare"
NOT_VOTED = "The names are shown after your vote."
STILL_WRITING = "The answers are still being written. Wait for their end, or stop them."
VOTE_FIRST = "Vote first: then both can be rated."
NOTHING_TO_COMPARE = "One side gave no answer, so there is nothing to compare. Go on with the next case."
SAME_TWICE = "Both sides would be the same model with the same settings. Choose another model, or other settings."


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that is to answer. sampling: None for the model's own."""

    model_id: str
    sampling: Sampling | None = None


class LivePanel:
    """A comparison that any number of pages may watch."""

    def __init__(self, view: PanelView) -> None:
        self.id = view.comparison_id
        self._view = view
        self._changed = Condition()

    def view(self) -> PanelView:
        """The comparison as it is now."""
        return self._view

    def wait(self, seen: int, timeout_s: float) -> PanelView:
        """The comparison once its revision is above `seen`, or has ended, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._view.revision > seen or self.ended, timeout_s)
            return self._view

    @property
    def ended(self) -> bool:
        """Whether both answers have ended and are saved."""
        return self._view.phase == "ended"

    def fail(self, error: str) -> None:
        """Tell everybody that nothing more comes, in the same words on both sides."""
        left, right = (
            side if side.phase in ENDED else replace(side, phase="failed", error=error)
            for side in (self._view.left, self._view.right)
        )
        self.show(left, right, None)

    def show(self, left: SideView, right: SideView, revealed: Names | None) -> None:
        """Tell everybody, if anything is new."""
        with self._changed:
            new = replace(self._view, left=left, right=right, revealed=revealed)
            if new != self._view:
                self._view = replace(new, revision=new.revision + 1)
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Running:
    """A comparison with the two answers that are being written for it, A first."""

    rater: str
    panel: LivePanel
    lives: tuple[LiveAnswer, LiveAnswer]
    frame: Callable[[float], tuple[SideView, SideView, Names | None]]


class PanelService:
    """Comparisons of any number of raters.

    backends gives a model's backend and stays the caller's to close. draw: a random number for each blinded
    comparison; where it is odd, the second choice is side A. In open mode the first choice always is.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Models,
        backends: Callable[[ModelSpec], Backend],
        grounding: GroundingSource,
        settings: Settings,
        draw: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._models = AskedModels(store, catalogue)
        self._writing = Writing(store, backends, grounding, settings.max_auto_continues)
        self._draw = draw
        self._starting = Lock()
        self._running: dict[str, _Running] = {}
        self._threads: set[Thread] = set()
        self._closed = False

    def ask(
        self,
        rater: str,
        question: str,
        context: str,
        choices: tuple[Choice, Choice],
        *,
        save_key: str,
        blinded: bool = True,
        source: Mapping[str, Any] | None = None,
    ) -> LivePanel:
        """The comparison of the two choices on this case; a save_key that came before gives the one it gave then.

        source: where the case came from, with its `criteria` if it has some. Raises InvalidInput for an empty or too
        long question and for twice the same choice, NotFound for an unknown model, ModelUnavailable for one that has
        to be fetched first.
        """
        began = time.monotonic()
        question, context = checked_text(question), checked_text(context)
        check_question(question, context)
        with self._starting:
            if self._closed:
                raise ModelUnavailable("MedChat is being closed; ask again when it runs.")
            turns = [self._turn(choice, question, context) for choice in choices]
            if (turns[0].spec.id, turns[0].sampling) == (turns[1].spec.id, turns[1].sampling):
                raise InvalidInput(SAME_TWICE)
            answers = [self._begin_answer(rater, turn, f"{save_key}-{n}") for n, turn in enumerate(turns)]
            seed = self._draw() if blinded else 0
            if seed % 2:
                answers, turns = answers[::-1], turns[::-1]
            comparison = self._store.begin_comparison(
                rater, context, question, (answers[0].id, answers[1].id),
                blinded=blinded, draw_seed=seed, source=source or {}, save_key=save_key,
            )  # fmt: skip
            if comparison.id in self._running or answers[0].status != "writing":
                return self.panel(rater, comparison.id)
            return self._start(comparison, answers, turns, began)

    def panel(self, rater: str, comparison_id: str) -> LivePanel:
        """A comparison to be watched, also one that has ended. Raises NotFound when the rater has none such."""
        running = self._running.get(comparison_id)
        if running is not None and running.rater == rater and not running.panel.ended:
            return running.panel
        return LivePanel(self._stored(rater, comparison_id))

    def view(self, rater: str, comparison_id: str) -> PanelView:
        """The comparison as it is now. Raises NotFound when the rater has none such."""
        return self.panel(rater, comparison_id).view()

    def latest(self, rater: str) -> str | None:
        """The id of the rater's newest comparison; None before the first."""
        return next((comparison.id for comparison in self._store.comparisons_of(rater, limit=1)), None)

    def stop(self, rater: str, comparison_id: str, side: Side) -> bool:
        """Whether that side was being written or shown; it stays as it was shown, the other one goes on."""
        running = self._running.get(comparison_id)
        if running is None or running.rater != rater:
            return False
        return self._writing.end(rater, running.lives[SIDES.index(side)], "stopped")

    def vote(
        self,
        rater: str,
        comparison_id: str,
        vote: Vote,
        *,
        save_key: str,
        axes: Mapping[str, AxisVote] | None = None,
        rubric: Rubric | None = None,
        reason: str = "",
        flags: Mapping[str, bool] | None = None,
        seconds: float = 0.0,
    ) -> PreferenceRecord:
        """The rater's vote from now on; the one before stays in the store. rubric: whose axes are answered, as shown.

        Raises InvalidInput before both have ended, where one of them has no text, and as store.add_preference does.
        """
        view = self.view(rater, comparison_id)
        if view.phase != "ended":
            raise InvalidInput(STILL_WRITING)
        if not view.can_vote:
            raise InvalidInput(NOTHING_TO_COMPARE)
        asked = AskedRubric(rubric.id, rubric.version, shown(rubric)) if rubric else None
        return self._store.add_preference(
            rater, comparison_id, vote, axes or {}, checked_text(reason), flags or {}, seconds, save_key, asked
        )

    def reveal(self, rater: str, comparison_id: str) -> Names:
        """Who wrote which side. Raises InvalidInput while a vote on a blinded comparison is to come."""
        view = self.view(rater, comparison_id)
        if view.revealed is None:
            raise InvalidInput(NOT_VOTED)
        return view.revealed

    def send_to_rating(self, rater: str, comparison_id: str) -> int:
        """How many of the two answers are new in the rater's queue of the Rate tab.

        Raises InvalidInput before both have ended and while their names are hidden, NotFound when the rater has no
        such comparison.
        """
        view = self.view(rater, comparison_id)
        if view.phase != "ended":
            raise InvalidInput(STILL_WRITING)
        if view.revealed is None:
            raise InvalidInput(VOTE_FIRST)
        answer_ids = self._store.comparison(rater, comparison_id).answer_ids
        return self._store.add_to_queue(rater, answer_ids, ORIGIN, self._store.criteria_of_compared(rater, answer_ids))

    def close(self) -> None:
        """Cut and save what is being written and let the threads end; calling it again does nothing."""
        with self._starting:
            self._closed = True
            threads = list(self._threads)
        self._writing.close()
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _turn(self, choice: Choice, question: str, context: str) -> Turn:
        spec = self._models.get(choice.model_id)
        return Turn(spec, choice.sampling or spec.sampling, question, context)

    def _begin_answer(self, rater: str, turn: Turn, save_key: str) -> AnswerRecord:
        spec = turn.spec
        self._models.remember(spec)
        return self._store.begin_free_answer(
            rater, turn.context, turn.question, spec.id,
            prompt=None, sampling=turn.sampling, answer_format=spec.answer_format, origin=ORIGIN, save_key=save_key,
            route={"external": spec.external} if spec.external else None,
        )  # fmt: skip

    def _start(
        self, comparison: ComparisonRecord, answers: Sequence[AnswerRecord], turns: Sequence[Turn], began: float
    ) -> LivePanel:
        """The comparison with the threads of its answers running, and the one that shows them."""
        specs = [turn.spec for turn in turns]
        stored = [stored_view(answer, spec.name) for answer, spec in zip(answers, specs, strict=True)]
        views = [replace(view, phase="waiting") for view in stored]
        empty = SideView("A"), SideView("B")
        view = PanelView(
            comparison.id, comparison.question, comparison.context, comparison.blinded, *empty, notice_of(specs)
        )
        panel = LivePanel(view)
        if comparison.blinded:
            left, right = (PacedAnswer(v, s.answer_format, began=began) for v, s in zip(views, specs, strict=True))
            blind = BlindSides((left, right), masker_for(self._catalogue.values()))
            running = _Running(
                comparison.rater, panel, (left, right),
                lambda now_s: _blind_frame(blind.frame(now_s), answers, (left, right), specs),
            )  # fmt: skip
        else:
            lives = [LiveAnswer(v, s.answer_format, began=began) for v, s in zip(views, specs, strict=True)]
            running = _Running(
                comparison.rater, panel, (lives[0], lives[1]), lambda _: _open_frame(answers, lives, specs)
            )
        self._running[comparison.id] = running
        for live, turn in zip(running.lives, turns, strict=True):
            self._writing.start(comparison.rater, live, turn)
        thread = Thread(target=self._play, args=(running,), name=f"panel-{comparison.id[:8]}", daemon=True)
        self._threads = {thread, *(thread for thread in self._threads if thread.is_alive())}
        thread.start()
        return panel

    def _play(self, running: _Running) -> None:
        """Show the comparison frame by frame until both sides have ended."""
        due = time.monotonic()
        try:
            while True:
                running.panel.show(*running.frame(due))
                if running.panel.ended:
                    break
                due = max(due + FRAME_S, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
        except Exception as bug:  # noqa: BLE001  whoever watches must learn that nothing more comes
            error = reported(bug)
            for live in running.lives:
                self._writing.end(running.rater, live, "failed", error)
            running.panel.fail(error)
        finally:
            for live in running.lives:
                if isinstance(live, PacedAnswer):
                    live.let_all_out()
            del self._running[running.panel.id]

    def _stored(self, rater: str, comparison_id: str) -> PanelView:
        comparison = self._store.comparison(rater, comparison_id)
        answers = self._store.answers_of_comparison(rater, comparison_id)
        ids = [answer.model_id for answer in answers]
        specs = {model_id: spec for model_id in ids if (spec := self._catalogue.get(model_id))}
        preference = self._store.preference_of(rater, comparison_id)
        masker = masker_for(self._catalogue.values())
        return stored_panel(comparison, answers, specs, self._models.names(ids), preference, masker)


def _blind_frame(
    sides: tuple[SideView, SideView],
    answers: Sequence[AnswerRecord],
    lives: Sequence[LiveAnswer],
    specs: Sequence[ModelSpec],
) -> tuple[SideView, SideView, Names | None]:
    """These sides without names, unless no vote will ever ask for them."""
    return _open_frame(answers, lives, specs) if nothing_to_compare(*sides) else (*sides, None)


def _open_frame(
    answers: Sequence[AnswerRecord], lives: Sequence[LiveAnswer], specs: Sequence[ModelSpec]
) -> tuple[SideView, SideView, Names]:
    turns = [live.snapshot() for live in lives]
    left, right = (open_side(index, turn) for index, turn in enumerate(turns))
    return left, right, Names(*map(revealed_answer, answers, turns, specs))
