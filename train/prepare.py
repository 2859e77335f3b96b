"""Source files to training data: read and cleaned, said once, split by question, balanced, shuffled and written.

What comes out of each row is counted by source: read = kept + dropped + unlabelled. Every stage keeps what it did in
OUT/.work, so that a run which was stopped or killed goes on there; other settings or other files begin anew.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medchat import __version__
from medchat.errors import InvalidInput, MedChatError
from medchat.run_files import writing
from train import prepare_figures as figures
from train.adapters import ADAPTERS, Skipped, Source, files_in, read
from train.leaks import LeakCheck
from train.prepare_balance import Asked, Mix, Sourced, mix
from train.prepare_duplicates import KEPT, WEIGHT, find_repeats
from train.prepare_figures import Outcome
from train.prepare_inputs import Input, look_at
from train.prepare_options import Options, check_weights, command_of, digest_of, weight_of
from train.prepare_reading import read_all
from train.prepare_rows import How
from train.prepare_shards import UNLABELLED, Rows, tallies_in
from train.prepare_splits import TRAIN, split_rows
from train.prepare_writing import Files, Keys, keys_of, write_rows
from train.progress import Progress
from train.row_files import FILES, row_bytes, write_report
from train.row_formats import writer
from train.work_folder import work_folder

FROZEN_ADAPTER = "examples"  # of frozen rows, and what rows of people's own are read by: their splits are final


def prepare(
    sources: Sequence[Source],
    out: Path,
    options: Options,
    *,
    data_dir: Path | None = None,
    leaks: LeakCheck | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The report on the files that now are in `out`.

    data_dir: whose suites are held out besides MedChat's; leaks: another check for what is held out. workers: processes
    that read. The same sources and options give the same bytes, whatever the workers and however often it was
    interrupted. Raises InvalidInput when nothing to train on is left, RunError when the folder cannot be written,
    Stopped; the files that were there stay until the new ones are whole.
    """
    progress = progress or Progress(lambda line: None)
    check_weights(sources, options)
    with work_folder(out, invalid_is_final=True) as kept:
        inputs = _inputs(sources, options, data_dir, progress)
        check = leaks or LeakCheck(data_dir, options.suites)
        its = [(one.source.adapter, one.source.name, one.sha256, one.frozen) for one in inputs]
        work = kept.folder(digest_of(__version__, its, options.settings(), check.digest))
        return _prepared(inputs, out, work, options, check, workers, progress)


def _prepared(
    inputs: Sequence[Input], out: Path, work: Path, options: Options, check: LeakCheck, workers: int, progress: Progress
) -> dict[str, Any]:
    _keep_check(work / "leaks.pickle", check)
    how = How(options.reading, options.limits, work / "leaks.pickle", work)
    if not (work / "read").exists():
        read_all(inputs, how, options.limit, workers, progress)
        with writing():
            (work / "read").touch()
    rows = Rows(work)
    try:
        report = _written(rows, inputs, out, work, options, progress)
    finally:
        rows.close()
    head = {"kind": "prepared", "command": command_of([its.source for its in inputs if not its.frozen], options)}
    report = head | {"seed": options.seed, "settings": options.settings()} | report
    write_report(out, report)
    return report


def _inputs(sources: Sequence[Source], options: Options, data_dir: Path | None, progress: Progress) -> list[Input]:
    """The sources' files; those of the Hub are fetched first, where they are not in the data folder already."""
    progress.stage("Looking at the sources", 0)
    cache = data_dir / "cache" if data_dir else None

    def fetched(rows: int) -> None:
        progress.at(0, f"{rows:,} rows fetched")

    inputs = []
    for source in sources:
        try:
            inputs.append(look_at(source, files_in(source, cache, options.limit, fetched), progress))
        except MedChatError as error:
            raise type(error)(f"{ADAPTERS[source.adapter].title} ({source.name}): {error}") from error
    if options.frozen is not None:
        frozen = Source(FROZEN_ADAPTER, options.frozen)
        _check_frozen(frozen, options.frozen)
        inputs.append(look_at(frozen, [options.frozen], progress, frozen=True))
    return inputs


def _check_frozen(source: Source, file: Path) -> None:
    """Raises InvalidInput with file and line for a row that cannot be read: nobody reviewed what is not there."""
    for where, row in read(source):
        fault = f"{row.reason} ({row.detail})" if isinstance(row, Skipped) and row.detail else ""
        if isinstance(row, Skipped):
            fault = fault or row.reason
        else:
            try:
                row_bytes(row)
            except InvalidInput as error:
                fault = str(error)
        if fault:
            raise InvalidInput(f"A frozen row cannot be read: {where}: {fault}. Put {file.name} right.")


def _keep_check(file: Path, check: LeakCheck) -> None:
    """Keep the check for the processes that read."""
    if file.exists():
        return
    with writing():
        partial = file.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(check))
        partial.replace(file)


def _written(
    rows: Rows, inputs: Sequence[Input], out: Path, work: Path, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write the rows; what the report says of them."""
    repeats = find_repeats(rows, work, progress)
    final = [its.source.adapter == FROZEN_ADAPTER for its in inputs]
    split, fate = split_rows(rows.table, repeats, final, (options.validation, options.test), options.seed)
    unlabelled = rows.table["flags"] & UNLABELLED != 0
    keys = keys_of(rows, options.seed)
    taught = (fate == KEPT) & (split == TRAIN) & ~unlabelled
    mixed = _mix(rows, taught, inputs, options, keys)
    fate[taught & (mixed.copies == 0)] = WEIGHT
    file: Files = np.where(fate != KEPT, 0, np.where(unlabelled, len(FILES), split)).astype(np.uint8)
    tallies = [list(tallies_in(work, number)) for number in range(len(inputs))]
    if not (file == TRAIN).any():
        why = figures.reasons(tallies, fate, file) or "the sources are empty"
        raise InvalidInput(f"No row is left to train on: {why}.")
    copies = np.where(taught, mixed.copies, 1)
    how = writer(options.format, options.template, options.answer_format)
    written = write_rows(rows, out, file, split, copies, repeats.parent, keys, how, progress)
    outcome = Outcome(rows, repeats, fate, file, copies, tallies, written)
    its = figures.report_of_sources(inputs, outcome, options)
    return _report(its, inputs, outcome, options, mixed)


def _mix(rows: Rows, taught: Any, inputs: Sequence[Input], options: Options, keys: Keys) -> Mix:
    sourced = [
        Sourced(its.source.name, ADAPTERS[its.source.adapter].group, weight_of(its.source, options)) for its in inputs
    ]
    asked = Asked(options.balance, options.brief_share, options.most_copies)
    return mix(rows.table, taught, sourced, asked, keys)


def _report(
    sources: list[dict[str, Any]], inputs: Sequence[Input], outcome: Outcome, options: Options, mixed: Mix
) -> dict[str, Any]:
    dropped = sum(sum(its["dropped"].values()) for its in sources)
    licences: dict[str, int] = {}
    for its in sources:
        for name, n in its["licences"].items():
            licences[name] = licences.get(name, 0) + n
    return {
        "rows": outcome.written.rows,
        "rows_in": sum(its["rows_in"] for its in sources), "kept": sum(its["kept"] for its in sources),
        "dropped": dropped, "sources": sources, "rules": figures.rules(inputs, sources, outcome),
        "lengths": figures.lengths(outcome.rows.table, outcome.file), "duplicates": figures.duplicates(outcome),
        "leaks": figures.leaks(outcome.tallies), "balance": mixed.report, "template": options.template,
        "answer_format": options.answer_format, "format": options.format, "sha256": outcome.written.sha256,
        "licences": dict(sorted(licences.items())),
    }  # fmt: skip
