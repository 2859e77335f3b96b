"""The report on stored predictions: what it says, and that it is one file that keeps to itself."""

import argparse
import json
import re
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from stored_predictions import line, multiple_choice, own_questions, vignettes, write_run

from evaluation.calibration import calibration, confidence
from evaluation.comparison import Difference
from evaluation.plots import SHARES, Dot, Line, Row, axis_around, interval_plot, marker
from evaluation.report import write_report
from evaluation.report_command import add_report_parser
from evaluation.report_data import ModelFacts, SuiteFacts, lineage, ordered, suite_facts
from evaluation.report_suite import pass_sentence, reference_line
from evaluation.report_words import said, said_change, signed
from evaluation.stats import Estimate
from evaluation.suite_files import FileReference, read_suite_file
from evaluation.suites import SUITES
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, NotFound
from medchat.knowledge import Knowledge, load_knowledge
from medchat.rundir import RunDir, RunState
from medchat.settings import Settings


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def evaluation(model: str, base: str = "") -> dict[str, str]:
    return {"model_id": model, "base": base, "revision": "abc", "adapter_hash": ""}


def report(tmp_path: Path, *folders: Path, **options: Any) -> tuple[str, str]:
    """The HTML and the Markdown."""
    html, markdown = write_report(folders, tmp_path / "out" / "report.html", knowledge=knowledge(), **options)
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


def section(markdown: str, title: str) -> str:
    """The text under a heading, up to the next one of its rank."""
    marks = re.search(rf"^(##+) {re.escape(title)}$", markdown, re.MULTILINE)
    assert marks, f"no heading {title!r}"
    return re.split(rf"^##{{1,{len(marks[1]) - 1}}} ", markdown[marks.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def cells(markdown: str, *first: str) -> list[str]:
    """The further cells of the table row that begins with these."""
    start = "| " + " | ".join(first) + " |"
    row = next(line for line in markdown.replace("\u00a0", " ").splitlines() if line.startswith(start))
    return [cell.strip() for cell in row.removeprefix(start).strip().strip("|").split("|")]


# One file


def test_the_report_is_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    lines = [row for model, skill in (("a", 0.5), ("b", 0.8), ("c", 0.7)) for row in vignettes(model, skill, 40)]
    lines += multiple_choice("a", 0.4, n=60) + own_questions("a", 0.6)
    html, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert not re.findall(r"""(?:src|href)=["'](?!#)|url\(|@import|<script|<link""", html)
    assert "default-src 'none'" in html
    assert html.count('role="img"') >= 8
    for title in ("Profile by metric", "Calibration", "Speed against accuracy", "The models' vote"):
        assert title in unescape(html)
        assert title in markdown


def test_every_plot_is_well_formed_and_says_what_it_shows(tmp_path: Path) -> None:
    lines = [*multiple_choice("a", 0.4, n=60), *multiple_choice("b", 0.6, n=60)]
    html, _ = report(tmp_path, write_run(tmp_path / "run", lines))
    body = ElementTree.fromstring(
        "<body>" + html.partition("<main>")[2].partition("</main>")[0].replace("<br>", "<br/>") + "</body>"
    )
    plots = [node for node in body.iter("{http://www.w3.org/2000/svg}svg") if node.get("role") == "img"]

    assert len(plots) >= 6
    for plot in plots:
        texts = [node.text or "" for node in list(plot)[:2]]
        assert all(texts)
        assert "None" not in "".join(texts)


def test_what_models_and_files_say_is_text_and_no_markup(tmp_path: Path) -> None:
    model, group = "<img src=x onerror=alert(1)>", {"specialty": "a|b <b>", "sex": "x"}
    lines = [line(n, model, groups=group if n % 2 else {"specialty": "<i>"}, solution="<script>") for n in range(12)]
    html, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert not re.search(r"(?<!\\)<", markdown)
    assert r"a\|b \<b\>" in markdown


def test_lone_surrogates_do_not_stop_it(tmp_path: Path) -> None:
    lines = [line(n, groups={"origin": "\ud800" if n % 2 else "b"}) for n in range(4)]
    html, _ = report(tmp_path, write_run(tmp_path / "run", lines))

    assert "Groups of questions" in html


# What it says


def test_values_come_with_interval_numbers_and_method(tmp_path: Path) -> None:
    lines = [line(n, scores={"exact": float(n < 8), "rouge_l": None}) for n in range(10)]
    lines.append(line(10, scores={"exact": None, "rouge_l": None}))
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    # Wilson, 8 of 10: 0.490 to 0.943
    assert cells(markdown, "Exact answer \u2191", "toy") == [
        "80.0 %", "49.0 to 94.3", "10", "1", "no reference: 1", "Wilson, 95 %"
    ]  # fmt: skip
    assert cells(markdown, "ROUGE-L \u2191", "toy")[:4] == ["-", "-", "0", "11"]


def test_models_are_compared_in_words(tmp_path: Path) -> None:
    first = [
        line(n, "old", scores={"exact": float(n < 10), "unsafe_advice": 0.0, "answer_words": 9.0}) for n in range(40)
    ]
    second = [
        line(n, "new", scores={"exact": float(n < 35), "unsafe_advice": float(n < 20), "answer_words": 30.0})
        for n in range(41)
    ]
    html, markdown = report(tmp_path, write_run(tmp_path / "run", first + second))

    table = section(markdown, "Compared with old")
    # 25 of 40 more: +62.5 points; 41 questions, one of them of the second model alone
    exact = cells(table, "Exact answer \u2191")
    assert exact[0:2] == ["25.0 %", "87.5 %"]
    assert exact[2].startswith("+62.5 points (")
    assert exact[3:6] == ["better", "40", "1"]
    assert cells(table, "Unsafe advice \u2193")[3] == "worse"
    assert cells(table, "Words")[3] == "-"
    assert "new is worse than old in Unsafe advice" in section(markdown, "At a glance")
    assert '<span class="better">better</span>' in html


def test_suites_of_ones_own_stand_apart_from_benchmarks(tmp_path: Path) -> None:
    lines = [*own_questions("a", 0.5), *multiple_choice("a", 0.5, n=30), *vignettes("a", 0.5, 30)]
    html, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert [title for title in re.findall(r"^## (.*)", markdown, re.MULTILINE) if title.startswith("Suite")] == [
        "Suite: Vignettes, unseen wordings", "Suite: MedQA (USMLE)", "Suite: forum"
    ]  # fmt: skip
    assert "not a benchmark, and not comparable with one" in section(markdown, "Suite: forum")
    assert [cells(markdown, kind)[0] for kind in ("with MedChat", "benchmark", "your own")] == [
        "Vignettes, unseen wordings", "MedQA (USMLE)", "forum"
    ]  # fmt: skip
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert captions[0].startswith("Suites that come with MedChat: ")
    assert captions[1].startswith("Benchmarks: ")
    assert captions[2].startswith("Your own questions (not a benchmark, and not comparable with one): ")


def test_figures_of_others_are_named_as_theirs(tmp_path: Path) -> None:
    html, markdown = report(tmp_path, write_run(tmp_path / "run", multiple_choice("a", 0.5, n=30)))
    stated = suite_facts("medqa").references[0]

    assert f"{stated.note}, {stated.value} ({stated.who})" in html
    assert cells(section(markdown, "Suite: MedQA (USMLE)"), "Right option, as answered", stated.note) == [
        str(stated.value), stated.who
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "is_shown"),
    [("bertscore_f1", False), ("bertscore_f1_roberta_rescaled", False), ("bertscore_f1_roberta", True)],
)
def test_figures_for_bertscore_stand_only_beside_the_same_bertscore(
    tmp_path: Path, metric: str, is_shown: bool
) -> None:
    lines = [line(n, suite="kqa", scores={metric: 0.6, "key_term_f1": 0.5}) for n in range(3)]
    html, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert ("0.88-0.92" in html, "0.88-0.92" in markdown) == (is_shown, is_shown)
    assert "&gt; 0.9" in html  # that for key terms


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_suite_states_a_figure_for_bertscore_but_of_roberta_unrescaled(path: Path) -> None:
    named = {its.metric for its in read_suite_file(path).references if its.metric.startswith("bertscore")}

    assert named <= {"bertscore_f1_roberta"}


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("about 90 %", 0.9, 0.9),
        ("80-85 %", 0.8, 0.85),
        ("0.88-0.92", 0.88, 0.92),
        (0.85, 0.85, 0.85),
        ("> 0.9", 0.9, 0.9),
    ],
)
def test_a_stated_figure_stands_where_its_numbers_are(value: str | float, low: float, high: float) -> None:
    found = reference_line("exact", FileReference(metric="exact", value=value, who="somebody"))

    assert found is not None
    assert (found.value, found.until) == (low, high)
    assert reference_line("exact", FileReference(metric="exact", value="high", who="somebody")) is None


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.6, 0.8, "toy passes:"),
        (0.59, 0.8, "toy is not shown to pass:"),
        (0.3, 0.59, "toy does not pass:"),
        (None, None, "toy: the pass line cannot be judged"),
    ],
)
def test_the_lower_end_of_the_interval_passes(low: float | None, high: float | None, words: str) -> None:
    facts = SuiteFacts("medqa", pass_line=("mcq_generated", 0.6))

    assert pass_sentence(facts, "toy", Estimate(0.7, 100, 0, low, high)).startswith(words)


def test_outcomes_of_multiple_choice_are_counted_apart(tmp_path: Path) -> None:
    outcomes = ["right"] * 5 + ["wrong"] * 3 + ["unparsable"] * 2 + ["cut off"]
    lines = [
        line(n, kind="mcq", outcome=outcome, scores={"mcq_generated": float(outcome == "right")})
        for n, outcome in enumerate(outcomes)
    ]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert cells(section(markdown, "How the answers ended"), "toy") == ["5", "3", "2", "0", "1", "11"]


def test_small_groups_are_marked_and_the_smallest_is_named(tmp_path: Path) -> None:
    lines = [line(n, groups={"age": "child" if n < 4 else "adult", "step": "1"}) for n in range(30)]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))
    groups = section(markdown, "Groups of questions")

    assert "The smallest group has n = 4 (age: child)" in groups
    assert cells(groups, "age", "child")[0] == "4, few"
    assert cells(groups, "age", "adult")[0] == "26"
    assert "step" not in groups  # every question is of step 1


def test_training_and_held_out_questions_stand_apart(tmp_path: Path) -> None:
    lines = [
        line(n, groups={"split": "train" if n < 20 else "test"}, scores={"exact": float(n < 20 or n % 2)})
        for n in range(40)
    ]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))
    split = section(markdown, "Trained-on and held-out questions apart")

    assert cells(split, "toy", "trained on")[0].startswith("100.0 %")
    assert cells(split, "toy", "held out: test")[0].startswith("50.0 %")
    assert "Groups of questions" not in markdown


def test_stages_of_training_stand_in_one_table_in_their_order(tmp_path: Path) -> None:
    scores = {"old": (0.0, 40.0), "tuned": (1.0, 60.0), "rewarded": (1.0, 90.0)}
    lines = [
        line(n, model, scores={"exact": exact, "answer_words": words, "unsupported_claims": 2.0 - exact})
        for model in ("rewarded", "tuned", "old")
        for exact, words in [scores[model]]
        for n in range(20 if model != "tuned" else 18)
    ]
    run = write_run(
        tmp_path / "run", lines, [evaluation("rewarded", "tuned"), evaluation("tuned", "old"), evaluation("old")]
    )
    _, markdown = report(tmp_path, run)
    training = section(markdown, "Before and after training")

    assert "| Metric | old | tuned | rewarded |" in training
    assert "n = 18 questions that all answered" in training
    base, tuned, rewarded = cells(training, "Exact answer \u2191")
    assert base.startswith("0.0 %")
    assert "better: +100.0 points" in tuned
    assert "better: +100.0 points" in rewarded
    assert "+50.0" in cells(training, "Words")[2]
    assert "better: \u22121.000" in cells(training, "Unsupported claims \u2193")[1]
    assert cells(training, "Semantic similarity") == ["0.72", "0.85"]  # what the seed expects
    assert "Not measured here" in training
    assert "unsourced" in training


def test_models_that_come_of_nothing_have_no_stages(tmp_path: Path) -> None:
    lines = [line(n, model) for model in ("a", "b") for n in range(12)]
    run = write_run(tmp_path / "run", lines)

    assert "Before and after training" not in report(tmp_path, run)[1]
    told = section(report(tmp_path, run, baseline="b")[1], "Before and after training")
    assert "| Metric | b | a |" in told
    assert "That the others come of b is what this report was told" in told


def test_accuracy_is_told_with_and_without_questions_of_the_training_data(tmp_path: Path) -> None:
    asked = "Which of the {} drugs in the third cupboard of ward {} is given first for an attack of gout at night?"
    lines = [line(n, question=asked.format(n, n + 7), scores={"exact": float(n < 10)}) for n in range(30)]
    data = tmp_path / "train.jsonl"
    data.write_text("\n".join(json.dumps({"question": row["question"], "answer": "x"}) for row in lines[:5]))
    run = write_run(tmp_path / "run", lines)
    _, markdown = report(tmp_path, run, training_data=[data])
    overlap = section(markdown, "Overlap with training data")

    # 10 of 30 are right; of the 5 in the training data all, of the other 25 five
    assert "5 of 30 questions stand in train.jsonl (10 texts)" in overlap
    assert cells(overlap, "toy", "all questions")[0].startswith("33.3 %")
    assert cells(overlap, "toy", "without overlap")[0].startswith("20.0 %")
    assert cells(overlap, "toy", "only those that overlap")[0].startswith("100.0 %")
    assert "Overlap with training data" not in report(tmp_path, run)[1]


def test_three_models_vote(tmp_path: Path) -> None:
    said = {"a": ("gout", 1.0), "b": ("Gout.", 1.0), "c": ("asthma", 0.0)}
    lines = [
        line(n, model, kind="diagnosis", solution=text, scores={"exact": right})
        for model, (text, right) in said.items()
        for n in range(24)
    ]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))
    vote = section(markdown, "The models' vote")

    assert cells(vote, "vote of the 3, equal")[0].startswith("100.0 %")
    assert cells(vote, "c")[1].startswith("+100.0 points")
    assert cells(vote, "a and b") == ["100.0 %"]
    assert cells(vote, "b and c") == ["0.0 %"]


def test_demo_models_are_named_as_such(tmp_path: Path) -> None:
    lines = [line(n, model) for model in ("demo", "mine") for n in range(12)]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines), catalogue=Catalogue(tmp_path))

    assert cells(markdown, "demo (demo model)", "MedChat Demo")
    assert cells(markdown, "mine", "-")
    assert "know only its teaching facts" in markdown


def test_nothing_scored_is_said_and_no_fault(tmp_path: Path) -> None:
    lines = [line(n, model, scores={"exact": None}, total_ms=None) for model in ("a", "b", "c") for n in range(3)]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert cells(markdown, "Exact answer \u2191", "a")[:4] == ["-", "-", "0", "3"]


# What was measured


def write_config(
    run: Path, template: str = "choice", *, n: int = 8, limit: int | None = 8, status: str = "done"
) -> Path:
    """The run's config.yaml and state.json, of toy on the suite mine."""
    sampling = {"max_new_tokens": 64, "temperature": 0.7, "top_p": 0.9, "top_k": 0, "presence_penalty": 0.0}
    suite = {"name": "mine", "n": n, "digest": "d" * 64, "template": template, "sampling": None}
    config = {
        "models": [{"model_id": "toy", "asked_as": {"sampling": sampling}}], "suites": [suite], "seed": 3,
        "limit": limit,
    }  # fmt: skip
    (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    state = RunState(status=status, started_at="2026-11-20T18:12:30+00:00", created_at="2026-11-20T18:12:29+00:00")  # type: ignore[arg-type]
    RunDir(run).set_state(state)
    return run


def test_the_report_says_how_the_answers_were_asked_for(tmp_path: Path) -> None:
    run = write_config(write_run(tmp_path / "run", [line(n) for n in range(8)]))
    _, markdown = report(tmp_path, run)

    assert cells(section(markdown, "What was measured"), "toy") == [
        "the first 8", "8", "-", "choice", "temperature 0.7, top\\_p 0.9, up to 64 tokens", "3", "d" * 12,
        "2026-11-20 18:12", "run",
    ]  # fmt: skip


def test_runs_that_asked_otherwise_are_told_apart(tmp_path: Path) -> None:
    one = write_config(write_run(tmp_path / "one", [line(n) for n in range(8)]))
    two = write_config(write_run(tmp_path / "two", [line(n) for n in range(20)]), "plain", n=20, limit=None)
    measured = section(report(tmp_path, one, two)[1], "What was measured")

    assert "Not alike is the template (toy: choice; toy (two): plain)" in measured
    assert "Not alike is the questions (toy: the first 8; toy (two): 20)" in measured
    assert "Not alike is the seed" not in measured


def test_questions_without_an_answer_are_told_with_their_reason(tmp_path: Path) -> None:
    lines = [line(n) for n in range(3)]
    lines += [
        line(n, raw="", scores={"exact": None}, fault="It takes 1042 tokens; too many.", why="too long for the model")
        for n in range(3, 8)
    ]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert "toy answered 3 of 8 questions (too long for the model: 5)." in section(markdown, "At a glance")
    # all of 3 right: Wilson from 3 / (3 + 1.96^2) = 43.9 %
    assert cells(markdown, "your own", "mine", "Exact answer") == ["8", "100.0 % (43.9 to 100.0), n = 3"]
    assert cells(section(markdown, "What was measured"), "toy")[:3] == ["8", "3", "too long for the model: 5"]


def test_a_run_that_was_stopped_says_so(tmp_path: Path) -> None:
    run = write_config(write_run(tmp_path / "run", [line(n) for n in range(2)]), status="stopped")
    html, markdown = report(tmp_path, run)

    said = "toy answered 2 of 8 questions (not reached: 6). The run run is not finished: stopped."
    assert said in section(markdown, "At a glance")
    assert said in html


def test_an_answer_whose_options_have_no_probabilities_is_an_answer(tmp_path: Path) -> None:
    lines = [line(n, fault="The options have no log-probabilities.") for n in range(4)]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert cells(section(markdown, "What was measured"), "toy")[:3] == ["4", "4", "-"]


def test_groups_and_votes_say_q_beside_what_is_not_shown(tmp_path: Path) -> None:
    # 6 of 6 better in each of two groups: p = 2 / 2^6 = 0.031 = q; of a third model nothing differs
    lines = [
        line(n, model, groups={"sex": "female" if n % 2 else "male"}, scores={"exact": right})
        for model, right in (("a", 0.0), ("b", 1.0), ("c", 0.0))
        for n in range(12)
    ]
    _, markdown = report(tmp_path, write_run(tmp_path / "run", lines))

    assert "better: +100.0 points" in cells(section(markdown, "Groups of questions"), "sex", "male")[2]
    assert cells(section(markdown, "Groups of questions"), "sex", "male")[2].endswith("q 0.031")
    vote = section(markdown, "The models' vote")
    assert "| Who answers | Exact answer | The equal vote against it | The vote is | p | q |" in vote
    assert "|---|---:|---:|---|---:|---:|" in vote


def test_a_markdown_name_does_not_lose_the_html(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [line(0)])

    assert write_report([run], tmp_path / "x.md", knowledge=knowledge()) == [tmp_path / "x.html", tmp_path / "x.md"]
    assert (tmp_path / "x.html").read_text(encoding="utf-8").startswith("<!doctype html>")


# Runs


def test_several_runs_become_one_report(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [line(n, "a") for n in range(12)])
    two = write_run(tmp_path / "two", [line(n, model) for model in ("a", "b") for n in range(12)])
    _, markdown = report(tmp_path, one, two)

    assert "3 models, 1 suite, 36 answers" in markdown
    assert cells(markdown, "Exact answer \u2191", "a (two)")[2] == "12"


def test_what_cannot_be_reported_gives_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [line(0)])
    other = write_run(tmp_path / "other" / "run", [line(0)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match=r"empty has no predictions; give the folder of a run"):
        report(tmp_path, tmp_path / "empty")
    with pytest.raises(NotFound, match=r"no predictions of 'nobody'; choose from: toy"):
        report(tmp_path, run, baseline="nobody")
    with pytest.raises(InvalidInput, match="called run have predictions of toy"):
        report(tmp_path, run, other, write_run(tmp_path / "third" / "run", [line(0)]))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_report([run], tmp_path / "file" / "report.html")


def test_each_model_stands_after_its_base_and_the_baseline_first() -> None:
    grpo, sft, base, lone = (
        ModelFacts(name, name, base=of) for name, of in (("grpo", "sft"), ("sft", "base"), ("base", ""), ("lone", ""))
    )

    assert ordered([grpo, sft, lone, base]) == [lone, base, sft, grpo]
    assert ordered([grpo, sft, lone, base], "base") == [base, sft, grpo, lone]
    assert ordered([grpo, sft, base], "grpo")[0] == grpo
    assert lineage([base, lone, sft, grpo]) == [base, sft, grpo]
    assert lineage([lone, base]) == []


def test_the_command_writes_beside_the_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [line(n, model) for model in ("a", "b") for n in range(12)])
    parser = argparse.ArgumentParser()
    add_report_parser(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
    args = parser.parse_args(["report", str(run), "--baseline", "b"])
    args.command(args, Settings(data_dir=tmp_path / "data"))

    assert capsys.readouterr().out.splitlines() == [str(run / "report.html"), str(run / "report.md")]
    assert "Compared with b" in (run / "report.md").read_text(encoding="utf-8")


# Numbers and plots


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("exact", 0.8125, "81.2 %"),
        ("exact", -0.00001, "0.0 %"),
        ("ttft_ms", 812.4, "812 ms"),
        ("total_ms", 12_345.0, "12.3 s"),
        ("completion_tokens", 1234.4, "1,234"),
        ("embedding_similarity", 0.8125, "0.812"),
        ("unsafe_advice", 0.0042, "0.0042"),
        ("answer_words", 61.25, "61.2"),
        ("of my own", -1.5, "\u22121.500"),
    ],
)
def test_values_are_said_with_their_unit(metric: str, value: float, words: str) -> None:
    assert said(metric, value) == words


def test_differences_are_said_with_their_sign() -> None:
    change = Difference("exact", "", 0.5, 0.4, -0.1, -0.2, 0.0, 50, 0, 0.1, 0.1, "not shown", "")

    assert said_change("exact", change).replace("\u00a0", " ") == "\u221210.0 points (\u221220.0 to 0.0)"
    assert signed("answer_words", 12.0) == "+12.0"
    assert signed("exact", 0.0) == "\u00b10.0 points"


def test_calibration_by_hand() -> None:
    # Two at 95 %, one of them right, and two at 55 %, both right: (2 |0.5 - 0.95| + 2 |1 - 0.55|) / 4 = 0.45
    found = calibration([0.95, 0.95, 0.55, 0.55], [1.0, 0.0, 1.0, 1.0], ["a", "b", "c", "d"])

    assert found.ece == pytest.approx(0.45)
    assert [(its.low, its.right.n, its.right.value) for its in found.bins] == [(0.5, 2, 1.0), (0.9, 2, 0.5)]
    assert calibration([1.0], [1.0], ["a"]).bins[0].high == 1.0


def test_confidence_is_a_share_of_the_options_alone() -> None:
    # e^-1 and e^-3 of all: 1 / (1 + e^-2)
    assert confidence({"A": -1.0, "B": -3.0}) == pytest.approx(1 / (1 + np.exp(-2)))
    assert confidence({"A": -1000.0, "B": -1000.0}) == 0.5


def test_an_axis_has_round_ticks_around_its_values() -> None:
    axis = axis_around([-3.2, 14.0], lambda value: f"{value:g}")

    assert [text for _, text in axis.ticks] == ["-5", "0", "5", "10", "15"]
    assert axis_around([0.0, 0.0], str).high > 0


def test_what_is_drawn_behind_keeps_off_the_labels() -> None:
    rows = [Row("a", [Dot(0.9, 0.8, 1.0, 0, "a")], "90.0 % (80.0 to 100.0)") for _ in range(2)]
    svg = interval_plot("t", "d", rows, SHARES, [Line(0.9, "x", 0.9)])
    labels = [float(y) for y in re.findall(r'y="([\d.]+)" class="label"', svg)]
    drawn = re.findall(r'y1="([\d.]+)" y2="([\d.]+)" class="(?:grid|mark)"', svg)

    assert len(labels) == 2
    assert drawn
    # a label's line takes 10 px above its base line and 3 below
    assert not [y for y in labels for first, last in drawn if float(first) < y + 3 and float(last) > y - 10]


def test_stated_figures_at_one_place_share_a_mark() -> None:
    rows = [Row("a", [Dot(0.5, None, None, 0, "a")])]
    svg = interval_plot("t", "d", rows, SHARES, [Line(0.6, "x", 0.6), Line(0.61, "y", 0.61), Line(0.8, "z", 0.9)])

    assert ">a b</text>" in svg
    assert ">c</text>" in svg
    assert svg.count('class="range"') == 1


def test_no_two_of_twelve_models_look_alike() -> None:
    assert len({marker(series) for series in range(12)}) == 12
