"""The forms of the Data tab: what they take, what they refuse and in which words, before anything is begun."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import gradio as gr
import pytest
from test_data_tab import ENGINEER, PAGE, REQUEST, Tab, row, visible, write_rows

from medchat.accounts import LOCAL
from medchat.errors import DownloadFailed, InvalidInput
from medchat.rundir import ENDED_BY_FORCE
from medchat.settings import Settings
from medchat.ui import job_views
from medchat.ui.data_estimate import estimate_html
from medchat.ui.data_fields import checked
from medchat.ui.data_forms import check_together, form_of
from medchat.ui.data_preview import preview_html
from medchat.ui.data_sources import chosen, path_for
from train.adapters import Hub, Reading, source_of
from train.adapters import read as read_source
from train.source_hub import fetched_files
from train.teacher_records import Estimate
from train.teacher_words import estimate_lines

OWN = Settings()


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


# Settings


@pytest.mark.parametrize(("command", "typed", "message"), [
    ("prepare", {"languages": "english"}, "Languages: english is no code of a language"),
    ("prepare", {"languages": "en,xx"}, "Languages: xx is no code of a language"),
    ("prepare", {"min-answer-chars": "5000", "max-answer-chars": "10"}, "Shortest answer is longer than longest"),
    ("prepare", {"balance": "80"}, "Balance: give two parts that make 100, such as 75/25, or none."),
    ("prepare", {"balance": "75/20"}, "Balance: give two parts"),
    ("prepare", {"validation": "0,15"}, "Validation: write a point, not a comma: 0.15"),
    ("prepare", {"validation": "50%"}, "Validation: give a number from 0.1 to 0.2, or 10% to 20%."),
    ("prepare", {"limit": "0"}, "Rows of each source: give a whole number from 1 to 1,000,000,000."),
    ("prepare", {"limit": "1,000"}, "Rows of each source: write no comma: 1000"),
    ("distill", {"teacher": "demo", "price": "cheap"}, "Price: 'cheap': give US dollars for a million tokens"),
    ("distill", {"teacher": "demo", "style": "???"}, "Style: give one of doctor, plain, brief, textbook, or say"),
    ("distill", {"teacher": "demo", "budget": "0"}, "Spending limit in USD: give a number from 0.01 to 1,000,000."),
    ("distill", {"teacher": "demo", "mix": "50"}, "Mix: '50': give teachers' rows and originals in percent"),
    ("distill", {"teacher": "demo", "judge": "b"},
     "“Judge” and “Reward model” are for “Kind: ranked answers, as preference pairs”."),
    ("distill", {"teacher": "demo", "kind": "rank", "judge": "b", "per-question": "1"}, "or “Answers a question” 2."),
    ("augment", {"kind": "paraphrase"}, "Paraphrases are written by a teacher: name a model with “Teacher”."),
])  # fmt: skip
def test_what_a_command_would_refuse_is_refused_by_its_form_in_the_words_of_the_form(
    command: str, typed: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_together(command, checked(form_of(command), typed))
    assert message in str(refused.value)
    assert "--" not in str(refused.value)


@pytest.mark.parametrize(("command", "typed", "given"), [
    ("prepare", {"validation": "15%"}, {"validation": "0.15"}),
    ("prepare", {"validation": "10%"}, {}),  # as it comes
    ("prepare", {"seed": "7.0"}, {"seed": "7"}),
    ("prepare", {"languages": "EN, de"}, {"languages": "en,de"}),
    ("prepare", {"languages": "sw"}, {"languages": "sw"}),
    ("quality", {"share": "7%"}, {"share": "0.07"}),
    ("distill", {"teacher": "demo", "style": "As a kind nurse"}, {"teacher": "demo", "style": "As a kind nurse"}),
    ("distill", {"teacher": "demo", "price": "0.5 / 1.5"}, {"teacher": "demo", "price": "0.5/1.5"}),
])  # fmt: skip
def test_what_is_meant_is_given_to_the_command_as_it_takes_it(
    command: str, typed: dict[str, str], given: dict[str, str]
) -> None:
    assert checked(form_of(command), typed) == given


# Names and the line


def test_a_name_is_never_replaced_in_silence(tab: Tab) -> None:
    order = {"command": "prepare", "sources": [tab.source()], "name": "Ward 3"}
    assert "It will be called ward-3 ." in visible(tab.act("check", order=order)["check"])
    assert "It will be called" not in tab.act("check", order={**order, "name": "ward-3"})["check"]
    told = visible(tab.act("check", order={**order, "name": "健康"})["check"])
    assert told.startswith("Name of the new data set: folders are named in a to z and digits")
    with pytest.raises(gr.Error, match="Name of the new data set"):
        tab.act("start", order={**order, "name": "健康"}, key="k")


def test_a_name_that_a_waiting_job_has_is_told_while_it_is_typed(tab: Tab) -> None:
    order = {"command": "prepare", "sources": [tab.source()], "name": "ward"}
    tab.act("start", order=order, key="k1")
    assert "A job that writes ward is in line already" in tab.act("check", order=order)["check"]
    tab.act("start", order={**order, "name": ""}, key="k2")
    assert "prepared/examples-2" in visible(tab.act("check", order={**order, "name": ""})["check"])


def test_the_jobs_before_it_are_named_with_the_way_to_them(tab: Tab) -> None:
    run_dir = tab.run("queued")
    tab.jobs.submit("train", "Tune <b>", ("python", "{run_dir}"), ENGINEER.id)
    page = tab.act("check", order={"command": "prepare", "sources": [tab.source()], "name": "b"})["check"]
    assert "2 runs before it in line: Prepare: mix , Tune <b> ." in visible(page)
    assert f'data-do="data-to-run" data-run="{run_dir.id}"' in page
    assert "Tune <b>" not in page


def test_a_cloned_job_keeps_its_name_where_that_is_free(tab: Tab) -> None:
    run_dir = tab.run("failed")
    assert 'value="mix"' in tab.act("clone", run=run_dir.id)["form"]
    tab.folder("mix")
    assert 'value="mix"' not in tab.act("clone", run=run_dir.id)["form"]


# Sources


@pytest.mark.parametrize(("name", "content", "message"), [
    ("shadow", "root:x:0", "shadow: Examples: MedChat's own rows is read from .jsonl or .csv files."),
    ("rows.bin", "\x01\x02", "rows.bin: "),
    ("rows.jsonl", "", "rows.jsonl is empty."),
])  # fmt: skip
def test_a_file_that_is_no_data_is_no_source(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InvalidInput) as refused:
        chosen(OWN, LOCAL, f"examples={tmp_path / name}")
    assert str(refused.value).startswith(message)


def test_a_packed_file_and_a_folder_with_one_file_of_the_kind_are_sources(tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "deep" / "rows.jsonl", [row(1)])
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "rows.jsonl.gz").write_bytes(b"x")
    assert chosen(OWN, LOCAL, f"examples={tmp_path / 'in'}").label == "in"
    assert chosen(OWN, LOCAL, f"examples={tmp_path / 'rows.jsonl.gz'}").label == "rows.jsonl.gz"


def test_quotation_marks_that_were_pasted_with_a_path_are_left_out(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "a b.jsonl", [row(1)]).resolve()
    for typed in (f'"{file}"', f"'{file}' ", f"“{file}”", str(file)):
        assert path_for(OWN, LOCAL, typed) == file


def test_a_refused_path_is_marked_at_its_field_and_the_sources_stay(tab: Tab) -> None:
    source = tab.source()
    shown = tab.act("add", adapter="qca", place="/etc/passwd", order={"command": "prepare", "sources": [source]})
    assert list(shown) == ["chosen"]
    assert 'data-fault-for="data-path-qca"' in shown["chosen"]
    assert "may not read that path" in shown["chosen"]
    assert f'data-source="{source}"' in shown["chosen"]
    again = tab.act("add", adapter="examples", place=source.partition("=")[2], order={"command": "prepare"})
    assert "data-fault-for" not in again["chosen"]


def test_a_file_that_is_too_large_is_named_with_what_to_do(tab: Tab) -> None:
    sent = {"do": "upload", "adapter": "qca", "name": "big.jsonl", "size": 6_000_000, "data": "",
            "order": {"command": "prepare"}}  # fmt: skip
    with pytest.raises(gr.Error, match=r"big.jsonl has 6.0 MB, and at most 5 MB .* by its path"):
        tab.do.upload(json.dumps(sent), PAGE, REQUEST)


def test_a_file_of_ones_own_comes_first_with_an_example_and_is_found_by_its_kind(tab: Tab) -> None:
    page = tab.act("enter")["catalogue"]
    kinds = [part.partition('"')[0] for part in page.split('<summary id="data-kind-')[1:]]
    assert kinds[:2] == ["qca", "examples"]
    own = page[page.index("<li data-words") :].partition("</details>")[0]
    assert "&quot;question&quot;: &quot;When is a fever an emergency?&quot;" in own
    assert {"my", "own", ".csv", "file"} <= set(own.partition('data-words="')[2].partition('"')[0].split())


@pytest.mark.parametrize("answer", [{}, {"answer": None}, {"answer": " "}])
def test_a_row_of_ones_own_without_an_answer_is_to_be_labelled(answer: dict[str, Any], tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", [{"question": "Is a fever of 39 dangerous?", **answer}])
    [(_, example)] = read_source(source_of(f"examples={file}"), Reading())
    assert cast(Any, example).answer is None


def test_without_a_network_a_source_of_the_hub_says_so(tmp_path: Path) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'some/x' on the Hub (LocalEntryNotFoundError)")

    hub = Hub("some/x", splits=("train",))
    with pytest.raises(DownloadFailed) as failed:
        fetched_files(hub, tmp_path, 10, load=load)
    assert str(failed.value).startswith("some/x cannot be fetched: the Hugging Face Hub cannot be reached.")


# What was typed before the page was left


def test_what_was_typed_just_before_a_reload_is_there_again(tab: Tab) -> None:
    unsent = {"command": "prepare", "sources": [tab.source()], "typed": {"seed": "41"}, "name": "late"}
    theirs = tab.act("enter", unsent=unsent, owner="somebody else")["form"]
    assert 'value="41"' not in theirs
    form = tab.act("enter", unsent=unsent, owner=ENGINEER.id)["form"]
    assert 'value="41"' in form
    assert 'value="late"' in form


# Previews and estimates


def test_of_a_long_preview_only_the_first_rows_are_unfolded() -> None:
    rows = [{"where": f"line {n}", "raw": "{}", "came": [
        {"example": row(n), "dropped": "", "detail": "", "repaired": []}]} for n in range(6)]  # fmt: skip
    found = {"scanned": 6, "kept": 6, "unlabelled": 0, "is_whole": True, "dropped": {}, "repaired": {}, "rows": rows,
             "lost": []}  # fmt: skip
    page = preview_html("Own", "/x", found)
    assert (page.count("<details open>"), page.count("<details>")) == (2, 4)
    assert "line 5 What helps against gout, case 5?" in visible(page)


def test_an_estimate_is_a_table_that_says_what_is_free() -> None:
    its = Estimate(requests=1200, cached=3, prompt_tokens=9000, completion_tokens=500, measured=0, cost=0.0,
                   most_cost=0.0, seconds=90.0, restricted=0)  # fmt: skip
    paid = replace(its, cost=1.5, most_cost=2.0, requests=7, restricted=2)
    said = "\n".join([*estimate_lines("demo", its), *estimate_lines("far", paid), "judge: more"])
    words = visible(estimate_html(said, {"demo"}))
    assert "demo 1,200 3 9,000 in, 500 out" in words
    assert "free: runs on this machine about 1.5 min" in words
    assert "1.5000 USD, at most 2.0000 about 1.5 min" in words
    assert "2 not asked: " in words
    assert words.endswith("judge: more")
    assert "<script" not in estimate_html("<script>: 1 requests", ())


# Jobs that were stopped


def test_a_stopped_job_says_one_thing_about_how_it_goes_on(tab: Tab) -> None:
    run_dir = tab.run("queued")
    tab.act("stop", run=run_dir.id)
    words = visible(tab.act("watch", run=run_dir.id)["head"])
    assert "Stopped before it began. Resume puts it in line again." in words
    run_dir.set_state(replace(run_dir.state(), message=ENDED_BY_FORCE))
    words = visible(tab.act("watch", run=run_dir.id)["head"])
    assert f"{ENDED_BY_FORCE} {job_views.FROM_BEFORE}" in words
    assert "from where it was saved" not in words
    assert "Stopped" in visible(tab.act("watch", run=run_dir.id)["runs"])
