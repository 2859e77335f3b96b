"""Evaluation suites: what is asked, how, and what is scored; by name, or from files of Examples or benchmarks."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from evaluation.benchmarks import BENCHMARKS, read_benchmark
from evaluation.metrics import Answer, Metric, Tools, metrics
from evaluation.suite_examples import Examples, Placed, example_lines, survey
from evaluation.suite_files import SuiteFile, read_suite_file, template_of
from evaluation.templates import TEMPLATES, Template, fill
from medchat.errors import InvalidInput, NotFound
from medchat.records import Example, Sampling
from medchat.settings import ASSETS
from medchat.uploads import encoding_note, read_upload

SUITES = ASSETS / "suites"
HUB = "hub"  # what NAME=PATH takes instead of a path
Family = Literal["bundled", "benchmark", "own"]

# What a file of examples is scored by, and the kinds of examples that each metric is for; () for every kind.
OWN_METRICS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "exact": ("diagnosis", "free"), "abstained": (), "format_ok": (), "supported": (),
    "mcq_generated": ("mcq",), "mcq_loglikelihood": ("mcq",), "calc_correct": ("calc",),
    "diagnosis": ("diagnosis",), "diagnosis_strict": ("diagnosis",),
    "key_term_f1": ("free",), "rouge_l": ("free",), "bleu": ("free",),
    "unsafe_advice": ("free",), "unverified_citations": ("free",),
})  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """A figure that somebody states for a metric, shown beside the result. who: whose it is; note: of what."""

    metric: str
    value: str | float
    who: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Examples with the way they are asked and scored.

    family: "own" is a user's own questions, reported apart from the benchmarks.
    sampling: None leaves each model its own. pass_line: metric and share. shuffles: how often each multiple-choice
    question is asked again with its options in another order. groups: what results are shown by, see groups_of.
    kinds: of a mixed file, metric -> the kinds of examples that it is for; a metric that is not in it is for all.
    digest: SHA-256 of the examples and of what decides the answers and scores. skipped: records of a file that gave no
    example, by reason; notes: lines about them for people.
    """

    name: str
    title: str
    about: str
    family: Family
    licence: str
    template: Template
    sampling: Sampling | None
    metrics: tuple[str, ...]
    references: tuple[Reference, ...]
    pass_line: tuple[str, float] | None
    shuffles: int
    groups: tuple[str, ...]
    examples: Examples
    examples_digest: str
    skipped: Mapping[str, int]
    notes: tuple[str, ...]
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(self.examples)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the examples, template, sampling, metrics and number of shuffles."""
        settings = {
            "template": asdict(self.template),
            "sampling": asdict(self.sampling) if self.sampling else None,
            "metrics": self.metrics,
            "shuffles": self.shuffles,
            "examples": self.examples_digest,
            **({"kinds": dict(self.kinds)} if self.kinds else {}),
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    def passed(self, low: float | None) -> bool | None:
        """Whether the interval whose lower end is `low` lies above the pass line; None without either."""
        return None if self.pass_line is None or low is None else low >= self.pass_line[1]


@dataclass(frozen=True, slots=True)
class SuiteInfo:
    """A suite in a list. n: None where it would have to be counted. missing: what to do before it can be run, or ""."""

    name: str
    title: str
    about: str
    family: Family
    licence: str
    n: int | None
    on_hub: bool
    missing: str


def load_suite(name: str, limit: int | None = None, folder: Path = SUITES, data_dir: Path | None = None) -> Suite:
    """The suite, every example of it checked; at most its first `limit` examples.

    name: that of a suite of MedChat, or of one of the user's in suites/ of the data folder; FILE.jsonl or FILE.csv, a
    user's own Examples; NAME=PATH, a benchmark with its own files (or the folder of them); NAME=hub, a benchmark from
    the Hugging Face Hub, kept in the data folder. A benchmark's NAME alone reads suites/NAME in the data folder.
    Raises NotFound when there is no such suite or file, InvalidInput with file and line when it cannot be used, and
    DownloadFailed when the Hub cannot be read.
    """
    known = _suite_paths(folder, data_dir)
    given, equals, source = name.partition("=")
    if equals and _NAME.fullmatch(given):
        return _benchmark(_known_file(given, known), source, limit, data_dir)
    path = Path(name)
    if path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise NotFound(f"There is no file {name}.")
        if path.suffix.casefold() not in (".jsonl", ".csv"):
            raise InvalidInput(
                f"{path.name} is neither a .jsonl nor a .csv file; a benchmark's own file is named as NAME={name}."
            )
        return _own(path, limit)
    if name in known and known[name].suffix == ".jsonl":
        return _own(known[name], limit)
    file = _known_file(name, known)
    if file.examples:
        return _suite(file, partial(example_lines, known[name].parent / file.examples), limit, strict=True)
    return _benchmark(file, "", limit, data_dir)


def suite_names(folder: Path = SUITES, data_dir: Path | None = None) -> list[str]:
    """Names of the suites that come with MedChat, and of those in the data folder."""
    return sorted(_suite_paths(folder, data_dir))


def suites(folder: Path = SUITES, data_dir: Path | None = None) -> list[SuiteInfo]:
    """Every suite, without reading its examples: those that come with it, then benchmarks, then the user's own.

    What is wrong with a suite's file stands in its `missing`.
    """
    infos = [_info(path, data_dir) for path in _suite_paths(folder, data_dir).values()]
    families = ("bundled", "benchmark", "own")
    return sorted(infos, key=lambda info: (families.index(info.family), info.name))


def question_text(suite: Suite, example: Example) -> tuple[str, str]:
    """Question and context as the suite's template puts them; of a raw template the whole prompt, and no context."""
    return fill(suite.template, example)


def with_template(suite: Suite, name: str) -> Suite:
    """The suite asked with another template. Raises NotFound when there is no such template."""
    if name not in TEMPLATES:
        raise NotFound(f"There is no template {name!r}; choose one of: {', '.join(TEMPLATES)}.")
    return replace(suite, template=TEMPLATES[name])


def suite_metrics(suite: Suite, tools: Tools) -> dict[str, Metric]:
    """The suite's metrics, each of them None for examples of a kind that it is not for.

    Raises NotFound where there is no such metric.
    """
    found = metrics(suite.metrics, tools)
    return {
        name: _of_kinds(metric, suite.kinds[name]) if name in suite.kinds else metric for name, metric in found.items()
    }


def _of_kinds(metric: Metric, kinds: tuple[str, ...]) -> Metric:
    def scored(examples: Sequence[Example], answers: Sequence[Answer | None]) -> list[float | None]:
        pairs = zip(examples, answers, strict=True)
        chosen = [(place, *pair) for place, pair in enumerate(pairs) if pair[0].kind in kinds]
        values: list[float | None] = [None] * len(examples)
        found = metric([example for _, example, _ in chosen], [answer for _, _, answer in chosen]) if chosen else []
        for (place, _, _), value in zip(chosen, found, strict=True):
            values[place] = value
        return values

    return scored


def groups_of(suite: Suite, example: Example) -> dict[str, str]:
    """Group -> the example's value: its kind, source or split, whether it is about something known, or out of meta."""
    values: dict[str, str] = {}
    for group in suite.groups:
        if group in ("kind", "source", "split"):
            value = getattr(example, group)
        elif group == "knowledge":
            value = ("unknown" if example.meta["condition"] is None else "known") if "condition" in example.meta else ""
        else:
            value = example.meta.get(group)
        if value not in (None, "", [], {}):
            values[group] = str(value)
    return values


def _suite_paths(folder: Path, data_dir: Path | None) -> dict[str, Path]:
    """Name -> file of each suite: its .yaml, or a .jsonl without one."""
    paths: dict[str, Path] = {}
    for place in (folder, *([data_dir / "suites"] if data_dir else [])):
        files = {path.stem: path for suffix in (".jsonl", ".yaml") for path in sorted(place.glob(f"*{suffix}"))}
        paths |= {name: path for name, path in files.items() if name not in paths}
    return paths


def _known_file(name: str, known: Mapping[str, Path]) -> SuiteFile:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        names = ", ".join(sorted(known)) or "none"
        raise NotFound(f"There is no suite {name!r}.{hint} Name a .jsonl or .csv file, or choose one of: {names}.")
    return read_suite_file(known[name])


def _own(path: Path, limit: int | None) -> Suite:
    """A user's own examples: asked plainly, or as multiple choice where they have options."""
    read = partial(example_lines, path)
    found = survey(read, limit, strict=True)
    if not found.n:
        raise InvalidInput(f"{path.name} has no examples; put one JSON object with question and answer in each line.")
    kinds = {name: of for name, of in OWN_METRICS.items() if not of or set(of) & set(found.kinds)}
    is_csv = path.suffix.casefold() == ".csv"
    guessed = encoding_note(path.name, read_upload(path, path.name)) if is_csv else ""
    return Suite(
        name=path.stem, title=path.stem, about="Examples of your own.", family="own", licence="",
        template=TEMPLATES["plain"], sampling=None, metrics=tuple(kinds), references=(), pass_line=None, shuffles=0,
        groups=("kind", "knowledge", "specialty"), examples=Examples(read, strict=True, n=found.n),
        examples_digest=found.digest, skipped=found.skipped,
        notes=(*found.notes, *([guessed] if guessed else [])), kinds={name: of for name, of in kinds.items() if of},
    )  # fmt: skip


def _benchmark(file: SuiteFile, source: str, limit: int | None, data_dir: Path | None) -> Suite:
    """source: a path, "hub", or "" for the files in the data folder."""
    if not file.benchmark:
        raise InvalidInput(f"{file.name} has its own examples; leave out what stands after its name.")
    benchmark = BENCHMARKS[file.benchmark]
    if source == HUB:
        path = _hub_path(file, limit, data_dir)
    elif source:
        path = Path(source).expanduser()
    else:
        missing = _missing(file, data_dir)
        if missing:
            raise NotFound(f"{file.title} does not come with MedChat. {missing}")
        path = (data_dir or Path()) / "suites" / file.name
    return _suite(file, partial(read_benchmark, benchmark, path), limit, strict=False)


def _hub_path(file: SuiteFile, limit: int | None, data_dir: Path | None) -> Path:
    from evaluation.hub_rows import kept_rows

    if not file.hub:
        raise InvalidInput(f"{file.title} is not on the Hub in a form that can be read; {_how(file)}")
    if data_dir is None:
        raise InvalidInput("Rows from the Hub are kept in the data folder; name one.")
    return kept_rows(file.name, file.hub, data_dir / "cache" / "suites", limit)


def _suite(file: SuiteFile, read: Callable[[], Iterator[Placed]], limit: int | None, *, strict: bool) -> Suite:
    found = survey(read, limit, strict=strict)
    if not found.n:
        notes = found.notes or ("There is nothing in its file.",)
        raise InvalidInput(" ".join([f"No example for {file.name} could be read.", *notes]))
    return Suite(
        name=file.name, title=file.title, about=file.about, family=file.family, licence=file.licence,
        template=template_of(file), sampling=Sampling(**file.sampling.model_dump()) if file.sampling else None,
        metrics=tuple(file.metrics),
        references=tuple(Reference(r.metric, r.value, r.who, r.note) for r in file.references),
        pass_line=(file.pass_line.metric, file.pass_line.share) if file.pass_line else None,
        shuffles=file.shuffles, groups=tuple(file.groups), examples=Examples(read, strict=strict, n=found.n),
        examples_digest=found.digest, skipped=found.skipped, notes=found.notes,
    )  # fmt: skip


def _info(path: Path, data_dir: Path | None) -> SuiteInfo:
    if path.suffix == ".jsonl":
        return SuiteInfo(path.stem, path.stem, "Examples of your own.", "own", "", _n_lines(path), False, "")
    try:
        file = read_suite_file(path)
        n = _n_lines(path.parent / file.examples) if file.examples else None
    except InvalidInput as fault:
        return SuiteInfo(path.stem, path.stem, "", "own", "", None, False, str(fault))
    missing = _missing(file, data_dir) if file.benchmark else ""
    return SuiteInfo(file.name, file.title, file.about, file.family, file.licence, n, file.hub is not None, missing)


def _missing(file: SuiteFile, data_dir: Path | None) -> str:
    """What has to be done before a benchmark can be run, "" where its files are in the data folder."""
    return "" if data_dir and (data_dir / "suites" / file.name).exists() else _how(file)


def _how(file: SuiteFile) -> str:
    home = BENCHMARKS[file.benchmark or ""].home
    hub = f", or fetch it with {file.name}={HUB}" if file.hub else ""
    return (
        f"Get its files from {home} and name them as {file.name}=PATH, or put them into suites/{file.name} of the "
        f"data folder{hub}."
    )


def _n_lines(path: Path) -> int:
    try:
        with path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
