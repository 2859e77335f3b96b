"""All teachers at once: each is asked its questions in a thread of its own, within its own limits."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from train.progress import Progress, Stopped
from train.teacher_records import RESTRICTED, Asked, Replied
from train.teachers import Teacher

HEARTBEAT_S = 0.2

Questions = Callable[[Teacher], Iterable[Asked]]


@dataclass
class Asking:
    """What became of the questions. errors: (teacher, key, number of the answer) -> why there is no reply."""

    errors: dict[tuple[str, str, int], str] = field(default_factory=dict)
    n: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, model: str, reply: Replied) -> None:
        """Count one."""
        self.n[model] += 1
        self.cached[model] += reply.cached
        if reply.error:
            self.failed[model] += 1
            self.errors[model, reply.asked.key, reply.asked.n] = reply.error

    @property
    def unanswered(self) -> int:
        """How many the same command asks again."""
        return sum(error != RESTRICTED for error in self.errors.values())

    @property
    def done(self) -> int:
        """How many are dealt with."""
        return sum(self.n.values())

    def reply(self, teacher: Teacher, asked: Asked) -> Replied:
        """The kept reply, or the error. What is neither was lost by somebody else's hand."""
        error = self.errors.get((teacher.spec.id, asked.key, asked.n))
        return Replied(asked, error=error) if error else teacher.recall(asked) or Replied(asked, error="reply deleted")


def ask_all(
    teachers: Sequence[Teacher], questions: Questions, asking: Asking, progress: Progress, stop: threading.Event
) -> None:
    """Ask every teacher its questions. Raises what the first of them raises, and Stopped.

    stop: what the teachers look at; set here when somebody asked for it, or one of them failed.
    """
    lock = threading.Lock()

    def work(teacher: Teacher) -> None:
        for reply in teacher.ask(questions(teacher)):
            with lock:
                asking.add(teacher.spec.id, reply)

    with ThreadPoolExecutor(len(teachers), thread_name_prefix="asking") as pool:
        names = {pool.submit(work, teacher): teacher.spec.id for teacher in teachers}
        waiting, stopped = set(names), False
        while waiting:
            done, waiting = wait(waiting, HEARTBEAT_S, FIRST_EXCEPTION)
            if any(its.exception() for its in done):
                stop.set()
                wait(waiting)
                failed = [error for its in done | waiting if (error := its.exception())]
                raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
            try:
                if not stopped:
                    awaited = ", ".join(name for its, name in names.items() if its in waiting)
                    note = f"; waiting for {awaited}" if awaited else ""
                    progress.at(asking.done, f"{asking.done:,} answers{note}")
            except Stopped:
                stopped = True
                stop.set()  # the teachers raise it once what is under way has come
