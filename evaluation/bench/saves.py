"""A rating session through the real server: raters who save at once, while the server is killed on the way.

What a rater's page was not told to be saved it sends again, with the same key.
"""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from threading import Event
from typing import NamedTuple
from uuid import uuid4

from evaluation.bench import Report, Row, free_port, serving
from evaluation.bench.events import HOST, Events
from evaluation.bench.rate_page import RatePage, form_in, sign_in
from medchat.errors import InvalidInput, MedChatError, ModelUnavailable
from medchat.settings import ROOT, Settings, child_environment
from medchat.store import RatingRecord, Store

PATIENCE_S = 120.0  # a rater's, with a server that does not answer
AGAIN_S = 0.1
PASSWORD = secrets.token_urlsafe(16)


class Heard(NamedTuple):
    """How a request was answered, sent as often as it took.

    sent_at: for the last time. took_s: from then until it was answered. waited_s: from when it was sent at first.
    """

    times_sent: int
    sent_at: datetime
    took_s: float
    waited_s: float


@dataclass(frozen=True, slots=True)
class Saved:
    """A rating that the server said was saved."""

    answer_id: str
    key: str
    heard: Heard


class Kept(NamedTuple):
    """What the store has of ratings that were said to be saved.

    n_lost: are not there. n_twice: are there more than once. n_unheard: were there before they were sent for the
    last time, as what was saved while a kill cut its answer off.
    """

    n_lost: int
    n_twice: int
    n_unheard: int


@dataclass(frozen=True, slots=True)
class Session:
    """What came of a session. served_s: how long the raters were at work and the server was up."""

    saved: tuple[Saved, ...]
    served_s: float
    kept: Kept


def measure(raters: int, ratings: int, kills: int) -> Report:
    """A session with a data folder of its own, and its figures. Raises MedChatError when a part fails."""
    with tempfile.TemporaryDirectory() as folder:
        session = hold_session(Path(folder), raters, ratings, kills)
    return report_of(session, raters, kills)


def report_of(session: Session, raters: int, kills: int) -> Report:
    """The figures. Times are of saves that were heard at once; a save that met a kill waited for the restart."""
    saved = session.saved
    times_ms = sorted(1000 * one.heard.took_s for one in saved if one.heard.times_sent == 1)
    if len(times_ms) < 2:
        raise InvalidInput("Too little was saved to measure; save more with --ratings.")
    who = f"{raters} at once"
    n_again = sum(one.heard.times_sent > 1 for one in saved)
    rows = [
        Row(f"{who}: saves, each after a draft", "saves/s", len(saved) / session.served_s, ""),
        Row(f"{who}: a save, p50", "ms", median(times_ms), ""),
        Row(f"{who}: a save, p99", "ms", quantiles(times_ms, n=100, method="inclusive")[98], ""),
        Row("longest wait for a save", "s", max(one.heard.waited_s for one in saved), ""),
        Row("sent again after a kill", "saves", n_again, ""),
        Row("of these there already, untold", "saves", session.kept.n_unheard, ""),
        Row("said to be saved and lost", "ratings", session.kept.n_lost, "", aim="none", met=not session.kept.n_lost),
        Row("there more than once", "ratings", session.kept.n_twice, "", aim="none", met=not session.kept.n_twice),
    ]
    return Report("saves", {"raters": raters, "ratings": len(saved), "kills": kills}, rows)


def hold_session(folder: Path, raters: int, ratings: int, kills: int) -> Session:
    """A session in which each of the raters saves so many ratings, and the server is killed evenly on the way.

    folder: becomes the data folder. Raises MedChatError when a part fails.
    """
    names = [f"Rater {number}" for number in range(1, raters + 1)]
    _make_accounts(folder, names)
    port = free_port()
    saved: list[Saved] = []
    work: list[Future[None]] = []
    began = down_s = 0.0
    with ThreadPoolExecutor(raters) as pool, _set_at_the_end(Event()) as over:
        for number in range(1, kills + 2):
            command = ["app.py", "--port", str(port), "--data-dir", str(folder)]
            with serving(command, f"http://{HOST}:{port}/healthz") as served:
                if work:
                    down_s += served.start_s
                else:
                    pages = _open_pages(port, names, ratings)
                    began = time.monotonic()
                    work = [pool.submit(_rate, page, saved.append, over) for page in pages]
                _wait(work, saved, number * raters * ratings // (kills + 1))
                if number <= kills:
                    served.process.kill()
                    continue
                for done in work:
                    done.result()
                served_s = time.monotonic() - began - down_s
    return Session(tuple(saved), served_s, check_kept(folder, names, saved))


@contextmanager
def _set_at_the_end(over: Event) -> Iterator[Event]:
    try:
        yield over
    finally:
        over.set()


def check_kept(folder: Path, names: Sequence[str], saved: Sequence[Saved]) -> Kept:
    """What the store in the data folder has of what was said to be saved. The comment of each is its key."""
    with closing(Store(Settings(data_dir=folder).db_url)) as store:
        users = [user for user in map(store.user_named, names) if user]
        kept = [rating for user in users for rating in store.my_ratings(user.id, sys.maxsize)]
    # A rating that was stored twice has one before it, or stands beside it.
    answers = {(rating.rater, rating.answer_id) for rating in kept}
    n_twice = len(kept) - len(answers) + sum(rating.supersedes is not None for rating in kept)
    by_key: dict[str, RatingRecord] = {rating.form.comment: rating for rating in kept}
    found = [(one, by_key.get(one.key)) for one in saved]
    n_lost = sum(rating is None or rating.answer_id != one.answer_id for one, rating in found)
    n_unheard = sum(rating is not None and rating.created_at < one.heard.sent_at for one, rating in found)
    return Kept(n_lost, n_twice, n_unheard)


def _make_accounts(folder: Path, names: Sequence[str]) -> None:
    """The raters' accounts, and an admin's, without whom there may be none."""
    for name in ("Admin", *names):
        role = "rater" if name in names else "admin"
        command = ["users", "add", name, "--role", role, "--password-stdin", "--data-dir", str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "medchat", *command], input=f"{PASSWORD}\n", capture_output=True, text=True,
            cwd=ROOT, env=child_environment(), check=False,
        )  # fmt: skip
        if done.returncode:
            raise MedChatError(f"No account could be made: {done.stderr.strip()}")


def _open_pages(port: int, names: Sequence[str], ratings: int) -> list[RatePage]:
    """The Rate tab of each, with so many answers in the queue."""
    Events(port).wait_until_grounded()
    pages = [RatePage(port, sign_in(port, name, PASSWORD)) for name in names]
    for page, name in zip(pages, names, strict=True):
        page.upload("answers.jsonl", _answers(name, ratings), uuid4().hex)
    return pages


def _answers(name: str, n: int) -> bytes:
    """A file of so many answers; each rater has their own."""
    lines = (
        {
            "question": f"{name}, case {number}: a man of 54 wakes with a red, hot big toe. What is it?",
            "reasoning": "1. The joint of the big toe is inflamed.\n2. It came overnight.\n3. So it is gout.",
            "answer": "Gout: colchicine 0.5 mg twice a day, and the fluid of the joint under the microscope.",
            "model": "model-1",
        }
        for number in range(1, n + 1)
    )
    return "\n".join(map(json.dumps, lines)).encode()


def _rate(page: RatePage, tell: Callable[[Saved], None], over: Event) -> None:
    """Rates what is in the queue: a draft of each form, then the whole."""
    hear = partial(_heard, over)
    shown, _ = hear(lambda: page.act(do="enter", answer="", rubric=""))
    number = 0
    while form := form_in(shown):
        number += 1
        key = uuid4().hex
        filled = form.filled(number, comment=key)
        hear(partial(page.keep, form, filled, number))
        shown, heard = hear(partial(page.save, form, filled, key))
        tell(Saved(form.answer_id, key, heard))


def _heard(over: Event, send: Callable[[], str]) -> tuple[str, Heard]:
    """What the page shows then, however often it has to send.

    Raises ModelUnavailable when nobody answers for long, or the session is over.
    """
    began = time.monotonic()
    times_sent = 0
    while True:
        times_sent += 1
        sent_at, sent = datetime.now(UTC), time.monotonic()
        try:
            shown = send()
        except ModelUnavailable:
            if over.wait(AGAIN_S) or time.monotonic() - began > PATIENCE_S:
                raise
        else:
            now = time.monotonic()
            return shown, Heard(times_sent, sent_at, now - sent, now - began)


def _wait(work: Sequence["Future[None]"], saved: Sequence[Saved], enough: int) -> None:
    """Returns when so many are saved. Raises what a rater raised."""
    while len(saved) < enough:
        for done in work:
            if done.done():
                done.result()
        time.sleep(AGAIN_S / 10)
