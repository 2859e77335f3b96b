"""The report of a human evaluation, its tables and plots, and the command that makes them."""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as parquet
import pytest
from human_records import OMISSION, RECALL, human_data, rating, vote

from evaluation.__main__ import main
from evaluation.example_study import example_study
from evaluation.human import HumanResults, analyse
from evaluation.human_data import HumanData
from evaluation.human_report import build, write_report
from evaluation.report_blocks import to_html, to_markdown

SECTIONS = [
    "glance", "design", "flow", "ranking", "axes", "pair-axes", "harm", "good", "differences", "agreement", "raters",
    "steps", "automatic", "cases", "corrections", "trend", "method",
]  # fmt: skip


@pytest.fixture(scope="module")
def example() -> tuple[HumanData, HumanResults]:
    data = example_study()
    return data, analyse(data, resamples=200)


@pytest.fixture(scope="module")
def written(example: tuple[HumanData, HumanResults], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("human")
    write_report(example[1], example[0], folder)
    return folder


def test_the_report_has_every_part_and_says_first_that_it_is_simulated(written: Path) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")

    assert re.findall(r'<section id="([\w-]+)">', page) == SECTIONS
    assert "Example study (simulated)" in page
    assert page.index("Simulated: nobody took part") < page.index('id="design"')
    assert "the seed, unsourced" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)  # it needs nothing beside it
    plots = re.findall(r'<svg xmlns[^>]*role="img".*?</svg>', page, re.DOTALL)
    assert len(plots) >= 8
    assert all("<title>" in plot and "<desc>" in plot for plot in plots)


def test_markdown_tells_the_same(written: Path) -> None:
    page = (written / "report.md").read_text(encoding="utf-8")

    assert "## Agreement of the raters" in page
    assert "**Simulated: nobody took part" in page
    assert "Randolph's kappa" in page
    assert "<svg" not in page


def test_tables_are_the_same_as_csv_and_parquet(written: Path) -> None:
    for path in sorted((written / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        table = parquet.read_table(path.with_suffix(".parquet"))
        assert table.column_names == header
        assert table.num_rows == len(rows) > 0
    ranking = parquet.read_table(written / "tables" / "ranking.parquet").to_pylist()
    assert {row["kind"] for row in ranking} == {"raw", "adjusted"}
    harm = parquet.read_table(written / "tables" / "harm.parquet").to_pylist()
    names = [f"{extent}_{likely}" for extent in ("moderate", "severe") for likely in ("low", "medium", "high")]
    assert all(row["n"] == row["none"] + sum(row[name] for name in names) for row in harm)


def test_plots_stand_by_themselves(written: Path) -> None:
    plots = sorted((written / "plots").glob("*.svg"))

    assert {path.stem for path in plots} >= {"ranking", "axes", "shares", "votes", "good", "harm-1", "trend"}
    for path in plots:
        drawing = ElementTree.parse(path).getroot()
        assert drawing.tag.endswith("svg")
        assert "var(--" in path.read_text(encoding="utf-8")
        assert "--s0:" in path.read_text(encoding="utf-8")  # its colours are in it


def test_results_are_json_that_gives_every_figure(written: Path, example: tuple[HumanData, HumanResults]) -> None:
    stored = json.loads((written / "results.json").read_text(encoding="utf-8"))

    assert stored == example[1].as_dict()
    assert stored["simulated"] is True
    assert stored["profiles"][0]["models"]["m0"]["n"] > 0


def test_the_same_seed_gives_the_same_report_and_another_one_other_intervals() -> None:
    data = human_data([rating(f"q{q}", "m1", f"r{r}", float(1 + (q * r) % 5)) for q in range(12) for r in range(6)])

    first, again, other = (analyse(data, seed, 200).profile("correct") for seed in (1, 1, 2))

    assert first == again
    assert first is not None
    assert other is not None
    assert first.models["m1"].value == other.models["m1"].value
    assert first.models["m1"].low != other.models["m1"].low


def test_texts_of_models_and_raters_are_escaped() -> None:
    evil = '<script>alert("x")</script>'
    data = human_data(
        [rating("q1", "m1", "r1", 1.0, comment=evil, correction=evil), rating("q1", "m1", "r2", 5.0)],
        [vote("q2", "m1", "m2", "r1", "a"), vote("q2", "m1", "m2", "r2", "b", comment=evil)],
        title=evil,
    )

    document = build(analyse(data, resamples=100), data)

    assert "<script>" not in to_html(document)
    assert "What of &lt;q1&gt;?" in to_html(document)  # the question of the disputed case
    assert "<script>" not in to_markdown(document)


def test_a_disputed_case_opens_to_its_full_texts() -> None:
    data = human_data(
        [rating("q1", "m1", "r1", 1.0, comment="The dose is wrong."), rating("q1", "m1", "r2", 5.0)],
        raters={"r1": "Rater 1", "r2": "Rater 2"},
    )

    page = to_html(build(analyse(data, resamples=100), data))

    case = page[page.index('<section id="cases">') :]
    case = case[case.index("<details>") : case.index("</details>")]
    assert "100 % of the scale apart" in case
    assert "It is m1." in case
    assert "1. One step." in case
    assert "The dose is wrong." in case
    assert "Rater 2" in case


def test_votes_alone_make_a_report_without_ratings() -> None:
    votes = [vote(f"q{n}", "m1", "m2", f"r{n % 2}", "ab"[n % 3 == 0], axes={"recall": "a", "omission": "b"})
             for n in range(12)]  # fmt: skip
    data = human_data(votes=votes, axes=(RECALL, OMISSION))

    document = build(analyse(data, resamples=100), data)

    ids = [section.id for section in document.sections]
    assert ids[:5] == ["glance", "design", "flow", "ranking", "pair-axes"]
    assert "axes" not in ids
    assert "harm" not in ids
    assert "Omission (less is better)" in to_html(document)


def test_votes_are_told_as_a_share_and_not_as_a_difference() -> None:
    said = ["a"] * 12 + ["tie"] * 4 + ["b"] * 4  # for m2: 4 and half of 4 of 20, 30 %
    votes = [vote(f"q{n}", "m1", "m2", f"r{n % 2}", side) for n, side in enumerate(said)]
    results = analyse(human_data(votes=votes), resamples=100)

    page = to_markdown(build(results, human_data(votes=votes)))

    part = page[page.index("## Differences between models") :]
    part = part[: part.index("\n## ", 1)]
    assert "30.0 % for M2" in part
    assert "points" not in part
    assert "Effect size against 50 %" in part
    assert "Head to head" in page[page.index("## How to read this") :]


def test_methods_that_differ_by_model_name_theirs() -> None:
    ratings = [rating(f"q{q}", model, f"r{r}", 3.0 if model == "m1" else float(1 + (q + r) % 5))
               for q in range(12) for r in range(6) for model in ("m1", "m2")]  # fmt: skip
    data = human_data(ratings)
    results = analyse(data, resamples=100)

    page = to_markdown(build(results, data))

    found = results.profiles[0].models
    assert found["m1"].method != found["m2"].method  # all of m1 are alike
    assert f"M1: {found['m1'].method}; M2: {found['m2'].method}" in page.replace("\u00a0", " ")


def test_a_model_that_is_not_ranked_does_not_change_the_order() -> None:
    votes = [vote(f"q{n}", *(("m1", "m2") if n % 2 else ("m2", "m1")), f"r{n % 3}", "ab"[(n % 2 == 0) != (n % 5 == 0)],
                  words=(40 + 7 * (n % 4), 50 + 5 * (n % 3)))
             for n in range(40)]  # fmt: skip
    data = human_data([rating("q1", "m3", "r1", 4.0)], votes)

    page = to_markdown(build(analyse(data, resamples=100), data))

    assert "Votes rank the models: M1 (80.0 % of votes), M2 (20.0 % of votes)." in page  # 8 of 40 are turned
    assert "Adjusted for length, Markdown and side: the same order." in page


def test_every_judgement_is_in_a_table_from_which_figures_come_again(
    written: Path, example: tuple[HumanData, HumanResults]
) -> None:
    rows = parquet.read_table(written / "tables" / "judgements.parquet").to_pylist()
    results = example[1]

    first = [row for row in rows if not row["repeat"]]
    profile = results.profiles[0]
    for model, found in profile.models.items():
        values = [row["value"] for row in first
                  if row["of"] == "rating" and row["axis"] == profile.measure.id
                  and row["model"] == results.models[model] and row["value"] is not None]  # fmt: skip
        assert len(values) == found.n
        assert sum(values) / len(values) == pytest.approx(found.value)
    for overall in (its for its in results.pair_differences if its.measure in ("overall", "omission")):
        names = {results.models[overall.first], results.models[overall.second]}
        own = [row for row in first if row["axis"] == overall.measure and {row["model"], row["against"]} == names]
        is_second = [row["model"] == results.models[overall.second] for row in own]
        second = [row["value"] if on_left else 1 - row["value"] for row, on_left in zip(own, is_second, strict=True)]
        assert sum(second) / len(second) == pytest.approx(overall.value)
    assert len({row["judgement"] for row in rows if row["repeat"]}) == results.n_repeats
    assert {row["rater"] for row in rows} == set(results.raters.values())


def test_all_ratings_are_said_to_have_no_design() -> None:
    data = human_data([rating("q1", "m1", "r1", 4.0, blinded=False)], study_id="", title="All ratings")

    page = to_html(build(analyse(data, resamples=100), data))

    assert "no design stands behind the whole" in page
    assert "Ratings by people who knew the model: 1." in page


def test_a_formula_in_a_table_is_text_to_a_spreadsheet(tmp_path: Path) -> None:
    data = human_data([rating("q1", "m1", "r1", 1.0, correction='=HYPERLINK("x")')])

    write_report(analyse(data, resamples=100), data, tmp_path)

    with (tmp_path / "tables" / "corrections.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["correction"] == '\'=HYPERLINK("x")'


def test_the_command_writes_the_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"

    assert main(["human", "--example", "--resamples", "100", "--seed", "3", "--out", str(out)]) == 0

    assert str(out / "report.html") in capsys.readouterr().out
    assert json.loads((out / "results.json").read_text(encoding="utf-8"))["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--example", "--resamples", "10"], "give --resamples 100 or more"),
        (["--example", "--seed", "-1"], "The seed has to be 0 or more"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["human", *arguments, "--out", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    assert main(["human", "--example", "--resamples", "100", "--out", str(tmp_path / "file")]) == 1

    assert "The report cannot be written" in capsys.readouterr().err
