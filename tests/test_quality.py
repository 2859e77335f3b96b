"""The quality check of a folder: every row in one of its files, what is held back, and the sample for people."""

import json
from pathlib import Path
from typing import Any

import pytest
from stores import new_store

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from medchat.rundir import RunDir
from medchat.store import NewReview
from train.__main__ import main
from train.progress import Progress, Stopped
from train.quality import Options, check
from train.quality_chunks import check_all, flags_in, look_at
from train.quality_flags import Thresholds
from train.review import ReviewSet
from train.review_apply import apply
from train.row_files import read_rows, sources_of


def row(name: str, answer: str | None = "Rest, and drink water.", **more: Any) -> Example:
    values = {"source": "made", "licence": "MIT", "split": "train", **more}
    return Example(values.pop("question", f"What helps in case {name}?"), answer, id=name, **values)


def write(file: Path, rows: list[Example]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(one.to_json() + "\n" for one in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    write(folder / "train.jsonl", [
        row("plain"),
        row("refused", "I'm sorry, but I cannot help with that."),
        row("unsafe", "Give nitroglycerin.", question="A man on sildenafil has chest pain. What is to be given?"),
        row("dose", "Take 5.0 mg of warfarin."),
        row("named", question="Mr. Miller coughs. What helps?"),
        row("made", meta={"review": "needed", "made": "synthetic"}),
        row("unsure", "I'm not sure, but rest may help."),
        row("unsure-dose", "I'm not sure, but 500 mg twice a day may help."),
    ])  # fmt: skip
    write(folder / "validation.jsonl", [row("check", split="")])
    write(folder / "unlabelled.jsonl", [row("open", None, split="", question="Mrs. Miller asks: what helps?")])
    (folder / "report.json").write_text(json.dumps({"kind": "prepared", "template": "role", "seed": 3}))
    return folder


def ids(folder: Path, name: str) -> list[str]:
    return [example.id for _, example in read_rows(folder / f"{name}.jsonl")]


def test_every_row_is_in_one_of_the_files_and_what_may_harm_is_held_back(folder: Path, tmp_path: Path) -> None:
    report = check(folder, tmp_path / "out", Options(share=0))

    out = tmp_path / "out"
    assert ids(out, "train") == ["plain", "dose", "unsure", "unsure-dose"]
    assert (ids(out, "validation"), ids(out, "test"), ids(out, "unlabelled")) == (["check"], [], [])
    assert ids(out, "held") == ["refused", "unsafe", "named", "made", "open"]
    assert (report["rows_in"], report["kept"], report["held_rows"]) == (10, 5, 5)
    assert report["held_because_of"] == {
        "must be looked at": 1, "patient identifier": 2, "refusal": 1, "unsafe advice": 1,
    }  # fmt: skip
    assert (report["template"], report["licences"]) == ("role", {"MIT": 5})
    assert not (out / ".work").exists()


def test_people_see_flagged_rows_about_doses_and_all_that_is_held_back(folder: Path, tmp_path: Path) -> None:
    report = check(folder, tmp_path / "out", Options(share=0))

    shown = {example.id: example.meta for _, example in read_rows(tmp_path / "out" / "review.jsonl")}
    assert list(shown) == ["refused", "unsafe", "dose", "named", "made", "unsure-dose", "open"]
    assert shown["dose"]["review_why"] == ["flagged, about doses"]
    assert shown["unsure-dose"]["flags"] == ["low confidence"]
    assert shown["made"]["review_why"] == ["must be looked at", "flagged"]
    [detail] = shown["dose"]["flag_details"]
    assert (detail["field"], detail["start"], detail["end"]) == ("answer", 5, 11)  # "5.0 mg" of "Take 5.0 mg of ..."
    assert report["review"]["rows"] == 7


def test_the_random_sample_is_that_share_and_drawn_by_the_seed(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.jsonl", [row(f"r{n}") for n in range(1000)])
    samples: list[list[str]] = []
    for seed in (1, 1, 2):
        check(tmp_path / "in", tmp_path / f"out{len(samples)}", Options(seed=seed, share=0.05))
        samples.append(ids(tmp_path / f"out{len(samples)}", "review"))

    assert samples[0] == samples[1] != samples[2]
    assert all(30 <= len(sample) <= 70 for sample in samples)  # 50 expected, standard deviation 6.9


def test_a_row_that_is_there_several_times_is_reviewed_once(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.jsonl", [row("dose", "Take 5.0 mg of warfarin.")] * 3)

    report = check(tmp_path / "in", tmp_path / "out", Options())

    assert (ids(tmp_path / "out", "review"), report["rows"]["train"]) == (["dose"], 3)


def test_the_same_rows_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        check(folder, tmp_path / name, Options())

    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "report.html" in files
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def test_the_report_counts_each_flag_and_shows_its_words_but_no_identifier(folder: Path, tmp_path: Path) -> None:
    report = check(folder, tmp_path / "out", Options(share=0))

    flags = report["flags"]
    assert (flags["refusal"]["n"], flags["refusal"]["held_back"], flags["cut off"]["n"]) == (1, True, 0)
    assert flags["low confidence"]["by_source"] == {"made": 2}
    assert "⟦5.0 mg⟧" in flags["ambiguous dose"]["examples"][0]["text"]
    assert "Miller" not in (tmp_path / "out" / "report.json").read_text()
    assert "Miller" not in (tmp_path / "out" / "report.html").read_text()
    assert "Mr. M*****" in flags["patient identifier"]["examples"][0]["text"]


def test_which_flags_are_held_back_and_reviewed_is_a_setting(folder: Path, tmp_path: Path) -> None:
    options = Options(share=0, held=("refusal",), review=("low confidence",))

    check(folder, tmp_path / "out", options)

    assert ids(tmp_path / "out", "held") == ["refused", "made"]
    assert "unsure" in ids(tmp_path / "out", "review")


def test_what_a_reviewer_kept_is_taught_when_it_is_checked_again(folder: Path, tmp_path: Path) -> None:
    check(folder, tmp_path / "checked", Options(share=0))
    store, sample = new_store(tmp_path), ReviewSet(tmp_path / "checked")
    for item in sample.items:
        decision: Any = "keep" if item.row_id == "unsafe" else "drop"
        new = NewReview(sample.id, item.row_id, item.content_sha, decision, "" if decision == "keep" else "no")
        store.add_review("ada", new, item.row_id)
    apply(tmp_path / "checked", sample.reviews(store), tmp_path / "reviewed")
    store.close()

    check(tmp_path / "reviewed", tmp_path / "again", Options(share=0))

    assert ids(tmp_path / "again", "train") == ["plain", "unsure", "unsafe"]
    assert (ids(tmp_path / "again", "held"), ids(tmp_path / "again", "review")) == ([], [])


def test_children_are_held_against_the_answer_of_their_parent(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.jsonl", [
        row("p1", "The x-ray shows a fracture."),
        row("c1", "The x-ray shows no fracture.", meta={"parent": "p1", "made": "distilled"}),
        row("c2", "There is a fracture on the x-ray.", meta={"parent": "p1", "made": "distilled"}),
    ])  # fmt: skip

    check(tmp_path / "in", tmp_path / "out", Options(share=0))

    flagged = {example.id: example.meta.get("flags") for _, example in read_rows(tmp_path / "out" / "train.jsonl")}
    assert flagged == {"p1": None, "c2": None}
    assert (ids(tmp_path / "out", "held"), ids(tmp_path / "out", "review")) == (["c1"], ["c1"])


def test_pairs_whose_chosen_answer_is_unsafe_leave_and_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.jsonl", [row("plain")])
    asked = "A man on sildenafil has chest pain. What is to be given?"
    pairs = [
        {"question": asked, "chosen": {"solution": "Give nitroglycerin."}, "rejected": {"solution": "Rest."}},
        {"question": asked, "chosen": {"solution": "Rest."}, "rejected": {"solution": "Give nitroglycerin."}},
    ]
    (tmp_path / "in" / "dpo.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    report = check(tmp_path / "in", tmp_path / "out", Options())

    assert report["pairs"] == {"read": 2, "kept": 1, "left_out": {"the chosen answer: unsafe advice": 1}}
    assert json.loads((tmp_path / "out" / "dpo.jsonl").read_text()) == pairs[1]


def test_a_check_that_was_stopped_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write(tmp_path / "in" / "train.jsonl", [row(f"r{n}", "I don't know." if n == 5 else "Rest.") for n in range(9)])
    work = tmp_path / "work"
    work.mkdir()
    source = look_at(tmp_path / "in", Progress(lambda line: None))

    class StopsAfterTwo(Progress):  # chunks of two rows each
        def at(self, done: float, note: str = "") -> None:
            if done >= 4:
                raise Stopped

    with pytest.raises(Stopped):
        check_all(source, work, Thresholds(), 1, StopsAfterTwo(lambda line: None), chunk_rows=2)
    assert sorted(path.name for path in work.iterdir()) == ["0000000.json", "0000001.json"]
    (work / "0000000.json").write_text('[[["cut off", "found before", "answer", 0, 1]], []]')  # it is not made again

    check_all(source, work, Thresholds(), 1, Progress(lambda line: None), chunk_rows=2)

    names = [[flag.name for flag in flags] for flags in flags_in(work)]
    assert names == [["cut off"], [], [], [], [], ["refusal"], [], [], []]


def test_what_cannot_be_checked_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file or folder"):
        check(tmp_path / "nowhere", tmp_path / "out", Options())
    with pytest.raises(InvalidInput, match="a folder of their own"):
        check(folder, folder, Options())
    with pytest.raises(InvalidInput, match="share of the rows"):
        Options(share=5)
    (tmp_path / "rows.jsonl").write_text('{"ask": "What helps?"}\n')
    with pytest.raises(
        InvalidInput, match=r"^rows\.jsonl, line 1: unknown field 'ask'.* No line of rows.jsonl is a row"
    ):
        check(tmp_path / "rows.jsonl", tmp_path / "out", Options())
    assert not (tmp_path / "out" / "train.jsonl").exists()
    assert not (tmp_path / "out" / ".work").exists()


def test_a_table_is_refused_for_being_one(tmp_path: Path) -> None:
    table = "question,answer\nWhat helps?,Rest.\nWhat helps?,Sleep.\n"
    (tmp_path / "in").mkdir()
    for file in (tmp_path / "rows.csv", tmp_path / "in" / "train.csv"):
        file.write_text(table)

    for source, name in ((tmp_path / "rows.csv", "rows"), (tmp_path / "in", "train")):
        with pytest.raises(InvalidInput, match=rf"^{name}\.csv is no \.jsonl file: .*train prepare"):
            check(source, tmp_path / "out", Options())


def test_a_question_that_is_there_twice_with_two_answers_is_no_error(tmp_path: Path) -> None:
    rows = [row("one", "Rest.", question="What helps?"), row("two", "Sleep.", question="What helps?")]
    write(tmp_path / "rows.jsonl", rows)

    assert check(tmp_path / "rows.jsonl", tmp_path / "out", Options())["kept"] == 2


def test_lines_that_are_no_rows_are_counted_with_their_place(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "validation.jsonl").open("ab") as lines:
        lines.write(b'{broken\n\n{"question": "What helps?"}\n\xff\xfe\n[1]\n')

    out = tmp_path / "out"
    assert main(["quality", str(folder), "--out", str(out), "--share", "0", "--data-dir", str(tmp_path)]) == 0

    report = json.loads((out / "report.json").read_text())
    assert (report["rows_in"], report["kept"], report["held_rows"], report["dropped"]) == (14, 5, 5, {"broken row": 4})
    shown = capsys.readouterr().out
    assert "14 rows read = 5 kept + 5 held back + 4 broken" in shown
    assert "broken row: validation.jsonl, line 2: " in shown
    assert "broken row: validation.jsonl, line 4: 'answer' is missing or not a text" in shown
    assert "4 lines are no row" in (out / "report.html").read_text()
    assert ids(out, "validation") == ["check"]
    assert not (out / ".work").exists()


def test_rows_that_an_earlier_check_held_back_are_checked_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(folder, tmp_path / "one", Options(share=0))
    more = ["--share", "0", "--hold", "refusal", "--data-dir", str(tmp_path)]

    assert main(["quality", str(tmp_path / "one"), "--out", str(tmp_path / "two"), *more]) == 0

    assert ids(tmp_path / "two", "train") == ["plain", "dose", "unsure", "unsure-dose", "unsafe", "named"]
    assert (ids(tmp_path / "two", "held"), ids(tmp_path / "two", "unlabelled")) == (["refused", "made"], ["open"])
    assert "5 of them from held.jsonl" in capsys.readouterr().out
    assert "5 rows of these had been held back" in (tmp_path / "two" / "report.html").read_text()


def test_what_prepare_said_of_its_sources_is_told_apart_from_this_check(folder: Path, tmp_path: Path) -> None:
    sources = [{"adapter": "kqa", "title": "K-QA", "rows_in": 900, "kept": 800}]
    (folder / "report.json").write_text(json.dumps({"kind": "prepared", "sources": sources}))

    check(folder, tmp_path / "one", Options())
    again = check(tmp_path / "one", tmp_path / "two", Options())

    assert "sources" not in again
    assert again["prepared"] == {"sources": sources}
    assert sources_of(again) == sources


def test_the_command_says_what_was_found_and_keeps_a_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    more = ["--share", "0", "--hold", "refusal", "--set", "reasoning_words=20", "--data-dir", str(tmp_path)]

    status = main(["quality", str(folder), "--out", str(out), "--run-dir", str(run), *more])

    assert status == 0
    shown = capsys.readouterr().out
    assert "10 rows read = 8 kept + 2 held back" in shown
    assert "refusal: 1 (held back)" in shown
    assert RunDir(run).state().status == "done"
    assert (RunDir(run).result() or {})["held_rows"] == 2
    command = json.loads((out / "report.json").read_text())["command"]
    assert command.startswith("python -m train quality in --share 0 --reviewers 1 --hold refusal")
    assert "--set reasoning_words=20" in command
