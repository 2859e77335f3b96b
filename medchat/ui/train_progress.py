"""The curves of a run as they grow: each look reads only what progress.jsonl has got since the last one."""

from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from medchat.run_state import RunState
from medchat.rundir import RunDir

MOST_RUNS = 12  # whose curves are kept
LAST_STEPS = 20  # from which the time that is left is told
NO_CURVE = ("step", "stage", "time", "epoch")


class Points(NamedTuple):
    """A curve: values[i] at steps[i]."""

    steps: "array[int]"
    values: "array[float]"


@dataclass(slots=True)
class Progress:
    """What a run has written so far. curves: stage -> name -> points. rows: how many lines that were."""

    curves: dict[str, dict[str, Points]] = field(default_factory=dict)
    rows: int = 0
    last: dict[str, float] = field(default_factory=dict)  # the newest value of each name
    lately: "deque[tuple[str, int, float]]" = field(default_factory=lambda: deque(maxlen=LAST_STEPS))

    def left_s(self, state: RunState) -> float | None:
        """Seconds until the end of the stage at work, from the pace of its last steps; None while nobody can say."""
        its = [(step, time) for stage, step, time in self.lately if stage == state.stage]
        if len(its) < 2 or not state.steps or its[-1][0] <= its[0][0]:
            return None
        (first, begun), (last, now) = its[0], its[-1]
        return max(0.0, (state.steps - last) * (now - begun) / (last - first))

    def add(self, row: dict[str, object]) -> None:
        """Take a line of progress in."""
        stage, step, time = str(row.get("stage", "")), row["step"], row.get("time")
        if not isinstance(step, int):
            return
        self.rows += 1
        if isinstance(time, int | float):
            self.lately.append((stage, step, float(time)))
        curves = self.curves.setdefault(stage, {})
        for name, value in row.items():
            if name in NO_CURVE or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            points = curves.setdefault(name, Points(array("q"), array("d")))
            points.steps.append(step)
            points.values.append(float(value))
            self.last[name] = float(value)


@dataclass(slots=True)
class _Read:
    started_at: str | None
    place: int = 0
    progress: Progress = field(default_factory=Progress)


class ProgressReader:
    """The progress of the runs that were looked at last, for all pages together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: OrderedDict[str, _Read] = OrderedDict()

    def read(self, run_dir: RunDir, state: RunState) -> Progress:
        """The run's progress up to now."""
        key = str(run_dir.path)
        with self._lock:
            read = self._runs.get(key)
            size = run_dir.progress_file.stat().st_size if run_dir.progress_file.exists() else 0
            if read is None or read.started_at != state.started_at or size < read.place:  # it was cut back since
                read = _Read(state.started_at)
            self._runs[key] = read
            self._runs.move_to_end(key)
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
            rows, read.place = run_dir.progress_since(read.place)
            for row in rows:
                read.progress.add(row)
            return read.progress
