"""Where the cases of the Compare tab come from: those that come with MedChat, a file of the rater's own, or by hand."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from uuid import uuid4

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.rubrics import criteria_of
from medchat.ui.common import counted
from medchat.uploads import bundled_cases, read_examples, shown_name

BUNDLED, FILE, TYPED = "bundled", "file", "typed"
OWN_FILE = "Own file of cases"
GONE_FILE = f"{OWN_FILE} (not here any more)"
MOST_FILES = 32  # read at once, one a rater
SUFFIX = ".cases"  # of a kept file: its name in one line, then what it holds
FILE_GONE = "Your file of cases is not here any more. Choose it again; it goes on where you were."


class DrawnCase(NamedTuple):
    """A case to be asked. key: finds it again, "" for none; place: what to say of where it stands."""

    question: str = ""
    context: str = ""
    key: str = ""
    place: str = ""


class _CaseFile(NamedTuple):
    name: str
    digest: str
    cases: Sequence[Example]


class CaseLists:
    """The lists of all raters. folder: where what they uploaded is kept, the newest file of each."""

    def __init__(self, folder: Path, bundled: Callable[[], Sequence[Example]] = bundled_cases) -> None:
        self._folder = folder
        self._bundled = bundled
        self._lock = Lock()
        self._files: OrderedDict[str, _CaseFile] = OrderedDict()

    def add_file(self, rater: str, name: str, data: bytes) -> None:
        """Take the file's cases in place of those of the rater's file before. Raises InvalidInput."""
        file = _case_file(name, data)
        with self._lock:
            self._keep(rater, name, data)
            self._hold(rater, file)

    def choices(self, rater: str, chosen: object = None) -> list[tuple[str, str]]:
        """Label and value of each source that the rater has, and of a chosen file that is gone."""
        file = self._file(rater)
        own = [(f"{file.name} ({counted(len(file.cases), 'case')})", FILE)] if file else []
        if chosen == FILE and not file:
            own = [(GONE_FILE, FILE)]
        bundled = f"Cases that come with MedChat ({len(self._bundled()):,})"
        return [(bundled, BUNDLED), *own, ("My own, typed here", TYPED)]

    def has_file(self, rater: str) -> bool:
        """Whether a file of the rater's own is here."""
        return self._file(rater) is not None

    def draw(self, rater: str, source: str, seen: Mapping[str, int]) -> tuple[DrawnCase, dict[str, int]]:
        """The next case of a source, and how many of each list have been seen then; after the last comes the first.

        Raises InvalidInput for no such source, and for a file that is gone.
        """
        if source == TYPED:
            return DrawnCase(), dict(seen)
        cases, mark = self._list(rater, source)
        at = seen.get(mark, 0) % len(cases)
        case = cases[at]
        place = f"Case {at + 1:,} of {len(cases):,}"
        return DrawnCase(_asked(case), case.context, f"{mark}/{case.id}", place), {**seen, mark: at + 1}

    def again(self, rater: str, key: str) -> DrawnCase:
        """The case that was drawn under this key; an empty one where it is not here any more."""
        found = self._find(rater, key)
        if found is None:
            return DrawnCase()
        number, n_cases, case = found
        return DrawnCase(_asked(case), case.context, key, f"Case {number:,} of {n_cases:,}")

    def source_of(self, rater: str, key: str, question: str, context: str) -> dict[str, Any]:
        """Where this case came from, with its criteria, as a comparison stores it; changed by hand it is typed."""
        found = self._find(rater, key)
        if found is None:
            return {"kind": TYPED}
        number, _, case = found
        changed = (question.strip(), context.strip()) != (_asked(case).strip(), case.context.strip())
        mark = key.partition("/")[0]
        place: dict[str, Any] = {"id": case.id}
        if mark != BUNDLED:
            file = self._file(rater)
            place |= {"file": file.name if file else "", "digest": mark, "number": number}
        if changed:
            return {"kind": TYPED, "changed_from": place}
        if criteria := criteria_of(case.meta, case.id):
            place["criteria"] = [criterion._asdict() for criterion in criteria]
        return {"kind": BUNDLED if mark == BUNDLED else FILE, **place}

    def _find(self, rater: str, key: str) -> tuple[int, int, Example] | None:
        mark, _, case_id = key.partition("/")
        file = self._file(rater)
        cases = self._bundled() if mark == BUNDLED else file.cases if file and file.digest == mark else ()
        numbered = enumerate(cases, start=1)
        return next(((number, len(cases), case) for number, case in numbered if case.id == case_id), None)

    def _list(self, rater: str, source: str) -> tuple[Sequence[Example], str]:
        if source == BUNDLED:
            return self._bundled(), BUNDLED
        if source != FILE:
            raise InvalidInput("There is no such list of cases. Choose where they come from again.")
        file = self._file(rater)
        if file is None:
            raise InvalidInput(FILE_GONE)
        return file.cases, file.digest

    def _file(self, rater: str) -> _CaseFile | None:
        """The rater's file, read again if need be; None for none, or where it cannot be read."""
        with self._lock:
            if rater not in self._files:
                kept = sorted(self._kept(rater), key=lambda path: path.stat().st_mtime)
                if not kept:
                    return None
                try:
                    name, _, data = kept[-1].read_bytes().partition(b"\n")
                    self._hold(rater, _case_file(name.decode(), data))
                except (OSError, InvalidInput):
                    return None
            self._files.move_to_end(rater)
            return self._files[rater]

    def _hold(self, rater: str, file: _CaseFile) -> None:
        self._files[rater] = file
        self._files.move_to_end(rater)
        while len(self._files) > MOST_FILES:
            self._files.popitem(last=False)

    def _keep(self, rater: str, name: str, data: bytes) -> None:
        older, new = self._kept(rater), self._folder / rater / f"{uuid4().hex}{SUFFIX}"
        unfinished = new.with_suffix(".part")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(" ".join(name.splitlines()).encode(errors="replace") + b"\n" + data)
            unfinished.replace(new)
            for path in older:
                path.unlink(missing_ok=True)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise InvalidInput(
                f"The file of cases cannot be kept: {error.strerror}. Make room, then choose it again."
            ) from error

    def _kept(self, rater: str) -> list[Path]:
        return list((self._folder / rater).glob(f"*{SUFFIX}"))


def _case_file(name: str, data: bytes) -> _CaseFile:
    return _CaseFile(shown_name(name), hashlib.sha256(data).hexdigest()[:16], read_examples(name, data))


def _asked(case: Example) -> str:
    """The question with its options, if it has any."""
    options = (f"\n{letter}. {option}" for letter, option in (case.options or {}).items())
    return case.question + "".join(options)
