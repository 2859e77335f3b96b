"""Tables of the human evaluation as plain rows, and their files: CSV and Parquet with the same columns."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evaluation.human import HumanResults, Profile
from evaluation.stats import Estimate

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]


def tables_of(results: HumanResults) -> dict[str, list[Row]]:
    """Every table that has rows, by the name of its file. Figures are unrounded, shares from 0 to 1."""
    tables: dict[str, list[Row]] = {
        "ranking": list(_ranking(results)),
        "votes": [
            {"first": _model(results, its.first), "second": _model(results, its.second), "first_won": its.wins,
             "ties": its.ties, "both_bad": its.both_bad, "second_won": its.losses}
            for its in results.votes
        ],
        "axes": list(_profiles(results, results.profiles)),
        "vote_axes": list(_profiles(results, results.pair_profiles)),
        "distributions": [
            {"axis": its.axis, "model": _model(results, its.model), "answer": label, "n": n,
             "unanswered": its.unanswered}
            for its in results.distributions for label, n in its.counts
        ],
        "cannot_rate": [{"model": _model(results, its.model), **_estimate(its.estimate)} for its in results.cannot],
        "harm": list(_harm(results)),
        "differences": list(_differences(results)),
        "agreement": list(_agreement(results)),
        "rater_pairs": list(_rater_pairs(results)),
        "raters": list(_raters(results)),
        "steps": list(_steps(results)),
        "automatic": list(_automatic(results)),
        "corrections": [
            {"answer": its.answer_id, "question": its.question_id, "model": _model(results, its.model),
             "rater": results.raters.get(its.rater, ""), "correction": its.text}
            for its in results.corrections
        ],
        "cases": [
            {"place": place, "question": its.question_id, "answers": " ".join(its.answer_ids), "spread": its.spread,
             "where": its.where, "rater": results.raters.get(one.rater, ""), "said": one.text, "comment": one.comment}
            for place, its in enumerate(results.cases, 1) for one in its.said
        ],
        "trend": [
            {"model": _model(results, row.model), "since": row.since.isoformat(), "step": row.step, "n": row.n,
             "value": row.value, "low": row.low, "high": row.high, "flagged": row.n_flagged}
            for row in results.trend
        ],
    }  # fmt: skip
    return {name: rows for name, rows in tables.items() if rows}


def write_tables(tables: Mapping[str, Sequence[Row]], folder: Path) -> list[Path]:
    """Each table as NAME.csv and NAME.parquet; their paths. Raises OSError."""
    import pyarrow as pa
    from pyarrow import parquet

    paths = []
    for name, rows in tables.items():
        columns = list(rows[0])
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="", errors="replace") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([_csv_cell(row[column]) for column in columns] for row in rows)
        own = {column: [row[column] for row in rows] for column in columns}
        parquet.write_table(pa.table(own), folder / f"{name}.parquet")
        paths += [path, folder / f"{name}.parquet"]
    return paths


def _csv_cell(value: Cell) -> Cell:
    """Text that a spreadsheet would take for a formula is quoted; None is empty."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _model(results: HumanResults, model: str) -> str:
    return results.models.get(model, model)


def _estimate(its: Estimate) -> dict[str, Cell]:
    low, high = (None if end is None else float(end) for end in (its.low, its.high))
    value = None if its.value is None else float(its.value)
    return {"value": value, "low": low, "high": high, "n": its.n, "method": its.method}


def _ranking(results: HumanResults) -> Iterator[Row]:
    ranking = results.ranking
    if ranking is None:
        return
    for kind, rows in (("raw", ranking.rows), ("adjusted", ranking.adjusted.rows if ranking.adjusted else ())):
        for row in rows:
            yield {
                "kind": kind, "model": _model(results, row.model), "votes": row.n, "win_rate": row.win_rate,
                "strength": row.strength, "low": row.low, "high": row.high, "rank": row.rank, "rank_low": row.rank_low,
                "rank_high": row.rank_high,
            }  # fmt: skip


def _profiles(results: HumanResults, profiles: Sequence[Profile]) -> Iterator[Row]:
    for its in profiles:
        for model, found in its.models.items():
            yield {"axis": its.measure.id, "label": its.measure.label, "better": its.measure.better,
                   "is_share": its.measure.is_share, "model": _model(results, model), **_estimate(found)}  # fmt: skip


def _harm(results: HumanResults) -> Iterator[Row]:
    for its in results.harm:
        names = [f"{extent}_{likely}" for extent in ("moderate", "severe") for likely in ("low", "medium", "high")]
        counts = dict(zip(names, (n for row in its.counts for n in row), strict=True))
        yield {"model": _model(results, its.model), "n": its.n, "none": its.none, **counts, "critical": its.critical}


def _differences(results: HumanResults) -> Iterator[Row]:
    for kind, found in (("ratings", results.differences), ("votes", results.pair_differences)):
        for its in found:
            yield {
                "of": kind, "axis": its.measure, "first": _model(results, its.first),
                "second": _model(results, its.second), "before": its.before, "after": its.after, "value": its.value,
                "low": its.low, "high": its.high, "equal": its.equal, "p": its.p, "q": its.q, "effect": its.effect,
                "effect_name": its.effect_name, "better": its.better, "questions": its.n_questions,
                "method": its.method,
            }  # fmt: skip


def _agreement(results: HumanResults) -> Iterator[Row]:
    for its in results.agreement:
        for one in its.coefficients:
            yield {"axis": its.axis, "label": its.label, "coefficient": one.name, "value": one.value, "low": one.low,
                   "high": one.high, "items": one.n_items, "raters": one.n_raters, "misleads": one.misleads,
                   "reason": one.reason, "method": one.method}  # fmt: skip


def _rater_pairs(results: HumanResults) -> Iterator[Row]:
    for its in results.agreement:
        for one in its.pairs:
            names = [results.raters.get(rater, rater) for rater in one.raters]
            yield {"axis": its.axis, "first": names[0], "second": names[1], "kappa": one.value, "low": one.low,
                   "high": one.high, "items": one.n_items, "reason": one.reason}  # fmt: skip


def _raters(results: HumanResults) -> Iterator[Row]:
    for its in results.rater_rows:
        right, asked = its.calibration or (None, None)
        yield {
            "rater": its.name, "ratings": its.n_ratings, "votes": its.n_votes, "median_seconds": its.seconds,
            "cannot_rate": its.cannot, "straight_lining": its.straight.value, "repeats_again": its.repeats.value,
            "repeats": its.repeats.n, "calibration_right": right, "calibration_asked": asked,
            "agreement": its.agreement.value, "bias": its.bias.value, "left": its.left.value, "why": "; ".join(its.why),
        }  # fmt: skip


def _steps(results: HumanResults) -> Iterator[Row]:
    for its in results.steps:
        row: dict[str, Cell] = {
            "model": _model(results, its.model), "answers": its.n_answers, "ratings": its.n_ratings,
            "marks": its.n_marks, "first_wrong_median": its.middle,
        }  # fmt: skip
        for name, one in (("right", its.right), ("neutral", its.neutral), ("wrong", its.wrong),
                          ("some_wrong", its.some_wrong)):  # fmt: skip
            found = _estimate(one)
            row |= {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
        yield row


def _automatic(results: HumanResults) -> Iterator[Row]:
    for its in results.automatic:
        row: dict[str, Cell] = {"metric": its.metric, "axis": its.axis, "n": its.n, "unscored": its.n_unscored}
        for name, one in (("spearman", its.spearman), ("icc_3_1", its.icc), ("icc_2_1", its.absolute)):
            row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        yield row
