"""What models got wrong, sent to the queue of a rater, where no name of a model is shown."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.predictions import Prediction
from medchat.accounts import LOCAL, RIGHTS, User
from medchat.errors import InvalidInput
from medchat.store import UploadedRow
from medchat.ui.common import App, counted
from medchat.ui.evaluations_data import Entry, whole_answer
from medchat.ui.evaluations_items import Found, failures

ORIGIN = "evaluation"
OWN_QUEUE = "my own queue"


@dataclass(frozen=True)
class Sent:
    """How many answers were drawn, how many of them came into the queue, and how many had no text to be rated."""

    drawn: int
    new: int
    empty: int

    def words(self, queue: str) -> str:
        """What became of it, for people."""
        before = self.drawn - self.new
        parts = [f"{counted(self.new, 'answer')} sent to {queue}."]
        if before:
            parts.append(f"{counted(before, 'answer')} {'was' if before == 1 else 'were'} in it before.")
        if self.empty:
            parts.append(f"{counted(self.empty, 'answer')} without any text left out.")
        return " ".join(parts)


def raters_of(app: App, user: User) -> dict[str, str]:
    """Whom the user can send answers to, by id: themselves first."""
    if user.id == LOCAL.id:
        return {user.id: OWN_QUEUE}
    others = [
        its for its in app.accounts.users() if not its.disabled and its.id != user.id and "rate" in RIGHTS[its.role]
    ]
    return {user.id: OWN_QUEUE, **{its.id: its.name for its in sorted(others, key=lambda its: its.name.casefold())}}


def send_failures(app: App, found: Found, of: str, most: int, rater: str) -> Sent:
    """Puts at most `most` wrong answers of one evaluation, of all for "", into the rater's queue.

    Drawn by chance and mixed, so that their order tells no model. The same answer comes into a queue once. Raises
    InvalidInput when nothing is wrong, or nothing can be rated.
    """
    entries = [entry for entry in found.chosen if of in ("", entry.id)]
    wrong = [(entry, id_) for entry in entries for id_ in failures(found, entry.id)]
    if not wrong:
        raise InvalidInput("None of these answers is wrong; there is nothing to send.")
    key = "|".join([found.query.metric, *(entry.id for entry in entries)])
    random.Random(key).shuffle(wrong)  # the same ones, when it is pressed again
    drawn = [(entry, whole_answer(entry, found.answers[entry.id][id_])) for entry, id_ in wrong[:most]]
    rows = [_row(entry, its, rater) for entry, its in drawn if its.solution.strip() or its.reasoning.strip()]
    if not rows:
        raise InvalidInput("None of these answers has any text that could be rated.")
    ids = [answer.id for answer in app.store.add_uploaded_answers(rater, rows, ORIGIN)]
    new = app.store.add_to_queue(rater, ids, f"evaluation: {found.chosen[0].suite_title}")
    return Sent(len(rows), new, len(drawn) - len(rows))


def _row(entry: Entry, its: Prediction, rater: str) -> UploadedRow:
    record = entry.record
    key = "|".join((record.run_id, record.suite, record.model_id, its.id, rater))
    save_key = f"evaluation-{hashlib.sha256(key.encode()).hexdigest()[:40]}"
    return UploadedRow(its.context, _asked(its), its.reasoning, its.solution, its.raw, record.model_id, save_key)


def _asked(its: Prediction) -> str:
    """The question with its options."""
    options: Sequence[str] = [f"{letter}. {text}" for letter, text in (its.options or {}).items()]
    return "\n".join([its.question, *([""] if options else []), *options])
