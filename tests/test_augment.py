"""`augment`: what is written, counted, gone on with, and refused; by rules and by a teacher."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from teacher_server import Desk as TeacherDesk
from teacher_server import said, teacher_server

from evaluation.vocabulary import Vocabulary
from medchat.errors import InvalidInput, NotFound
from medchat.knowledge import load_knowledge
from medchat.records import Example
from train import augment as augmenting
from train.__main__ import main
from train.augment import augment, questions
from train.augment_command import summary_lines
from train.augment_guard import load_guard
from train.augment_options import Options, options_of, topics_in
from train.augment_perturbation import Facts
from train.augment_replies import part_of, read_list, read_pairs
from train.augment_synonyms import load_synonyms
from train.augment_teacher import TeacherOf
from train.augment_tools import Tools
from train.progress import Progress, Stopped
from train.teachers import Asked, Replied

RULES = ("split", "perturbation", "synonyms")


class Near:
    """All texts are near to each other."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.tile(np.array([[0.6, 0.8]], np.float32), (len(texts), 1)) * np.float32(0.99)


class NoLeaks:
    def found_in_each(self, examples: Sequence[Example]) -> list[str]:
        return ["suite" if "leaked" in example.question else "" for example in examples]


class Scripted:
    """A teacher that says what it is told to, by a word of the prompt; keys it has asked stand in `asked`."""

    terms = "for research only"

    def __init__(self, replies: Mapping[str, str]) -> None:
        self.replies = replies
        self.asked: list[Asked] = []

    def ask(self, asked: Iterable[Asked], progress: Callable[[int], None] = lambda n: None) -> Iterator[Replied]:
        for one in reversed(list(asked)):  # in any order
            self.asked.append(one)
            said = next((reply for word, reply in self.replies.items() if word in one.prompt), "")
            yield Replied(one, said, "", said, "stop", True) if said else Replied(one, error="the server failed")


def tools(teacher: Scripted | None = None) -> Tools:
    vocabulary = Vocabulary({"gout": (), "asthma": (), "fever": ()})
    asks = TeacherOf("toy", teacher, 0) if teacher else None
    return Tools(Facts(load_guard(), load_knowledge()), load_synonyms(), vocabulary, NoLeaks(), Near, asks)


def folder(path: Path, **files: Sequence[Example]) -> Path:
    path.mkdir()
    for name in ("train", "validation", "test", "unlabelled"):
        lines = (row.to_json() for row in files.get(name, ()))
        (path / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def row(
    question: str, answer: str | None = "An answer.", name: str = "a", split: str = "train", **meta: Any
) -> Example:
    return Example(question, answer, id=name, source="set", licence="MIT", split=split, meta=meta)


def rows_in(path: Path, name: str) -> list[Example]:
    return [Example.from_json(line) for line in (path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def prepared(tmp_path: Path) -> Path:
    return folder(
        tmp_path / "in",
        train=[
            row("Which medicine helps against gout?", name="a"),
            row("What is gout and how is it treated?", name="b"),
            row("A 44-year-old man has had a cough for 3 days. What is it?", name="c"),
        ],
        validation=[row("Which medicine helps against asthma?", name="v", split="validation")],
        test=[row("A 50-year-old man coughs.", name="t", split="test")],
        unlabelled=[row("Which medicine helps against fever?", None, name="u", split="")],
    )


def test_rows_stay_and_children_follow_with_parent_split_and_licence(tmp_path: Path) -> None:
    report = augment(prepared(tmp_path), tmp_path / "out", options_of(RULES), tools())

    train, unlabelled = rows_in(tmp_path / "out", "train"), rows_in(tmp_path / "out", "unlabelled")
    assert [its.id for its in train[:3]] == ["a", "b", "c"]
    children = [its for its in (*train, *unlabelled) if "made" in its.meta]
    by_parent = {(its.meta["parent"], its.meta["made"], its.question) for its in children}
    assert ("a", "synonyms", "Which medication helps against gout?") in by_parent
    assert ("b", "split", "How is gout treated?") in by_parent
    assert ("u", "synonyms", "Which medication helps against fever?") in by_parent
    assert all((its.licence, its.source) == ("MIT", "set") for its in children)
    assert len({its.id for its in children}) == len(children) == report["children"]
    assert report["rows"]["train"] == len(train)
    assert report["rows_in"]["train"] == 3


def test_what_is_inherited_depends_on_the_kind(tmp_path: Path) -> None:
    augment(prepared(tmp_path), tmp_path / "out", options_of(RULES), tools())

    train, unlabelled = rows_in(tmp_path / "out", "train"), rows_in(tmp_path / "out", "unlabelled")
    answers = {its.meta["made"]: its.answer for its in train if "made" in its.meta}
    assert answers == {"synonyms": "An answer.", "perturbation": "An answer."}
    parts = [its for its in unlabelled if its.meta.get("made") == "split"]
    assert [(its.answer, its.split) for its in parts] == [(None, "train"), (None, "train")]
    changed = [its.meta["changed"] for its in train if its.meta.get("made") == "perturbation"]
    assert [its["field"] for its in changed] == ["age", "sex"]


def test_validation_test_copies_and_children_get_no_children(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "in",
        train=[
            row("Which medicine helps against gout?", name="child", made="synonyms", parent="x"),
            row("Which medicine helps against asthma?", name="copy", copy=2),
            row("Which medicine helps against a cough?", name="plain"),
        ],
        validation=[row("Which medicine helps against fever?", name="v", split="validation")],
    )

    report = augment(source, tmp_path / "out", options_of(RULES), tools())

    assert (report["parents"], report["children"]) == (1, 1)
    assert rows_in(tmp_path / "out", "train")[:3] == rows_in(source, "train")
    assert [its.meta["parent"] for its in rows_in(tmp_path / "out", "train")[3:]] == ["plain"]
    assert rows_in(tmp_path / "out", "validation") == rows_in(source, "validation")


def test_every_candidate_is_a_child_or_refused_with_examples(tmp_path: Path) -> None:
    source = folder(
        tmp_path / "in",
        train=[
            row("Which medicine helps against gout?", name="a"),
            row("Which medication helps against gout?", name="b"),  # what the child of a would say
            row("Which leaked medicine is it?", name="c"),
            row("Which medicine helps against asthma?", name="d"),
        ],
    )

    report = augment(source, tmp_path / "out", options_of(["synonyms"]), tools())

    its = report["kinds"]["synonyms"]
    reasons = {reason: found["n"] for reason, found in its["refused"].items()}
    assert its["candidates"] == its["children"] + sum(reasons.values()) == 4
    assert reasons == {"a question that is there already": 2, "in the evaluation suite suite": 1}
    examples = its["refused"]["a question that is there already"]["examples"]
    assert examples[0] == {"parent": "a", "text": "Which medication helps against gout?", "detail": ""}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    source = prepared(tmp_path)

    for name in ("one", "two"):
        augment(source, tmp_path / name, options_of(RULES, seed=7), tools())

    for name in ("train.jsonl", "unlabelled.jsonl", "report.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmenting, "CHUNK", 2)
    source = folder(
        tmp_path / "in", train=[row(f"Which medicine helps against illness {n}?", name=str(n)) for n in range(7)]
    )
    augment(source, tmp_path / "whole", options_of(["synonyms"]), tools())
    stopped = StopsAt(4)

    with pytest.raises(Stopped):
        augment(source, tmp_path / "out", options_of(["synonyms"]), tools(), progress=stopped)
    assert not (tmp_path / "out" / "train.jsonl").exists()
    kept = sorted((tmp_path / "out" / ".work").rglob("chunk-*.json"))
    times = [path.stat().st_mtime_ns for path in kept]
    again = StopsAt(None)
    again.look = lambda: [path.stat().st_mtime_ns for path in kept] if kept[0].exists() else times
    augment(source, tmp_path / "out", options_of(["synonyms"]), tools(), progress=again)

    assert len(kept) == 2
    assert again.seen == times  # what was kept was not made anew
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == (tmp_path / "whole" / "train.jsonl").read_bytes()
    assert not (tmp_path / "out" / ".work").exists()


class StopsAt(Progress):
    """Stops the making of children when so many rows are done; looks at the kept files before they are deleted."""

    def __init__(self, rows: int | None) -> None:
        super().__init__(lambda line: None)
        self.rows = rows
        self.doing = ""
        self.look: Callable[[], list[int]] = list
        self.seen: list[int] = []

    def stage(self, name: str, total: float, *, first: float = 0) -> None:
        self.doing = name
        if name == "Writing":
            self.seen = self.look()

    def at(self, done: float, note: str = "") -> None:
        if self.doing == "Making children" and self.rows is not None and done >= self.rows:
            raise Stopped


def test_paraphrases_are_checked_and_carry_the_teacher(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", train=[
        row("How is gout treated in a 44-year-old?", name="good"), row("Is fever bad?", name="nonsense"),
        row("Is asthma bad?", name="failed"),
    ])  # fmt: skip
    teacher = Scripted({
        "gout": "Sure! Here they are:\n1. What is the treatment of gout at 44 years of age?\n"
                "2. How is gout treated in a 54-year-old?",
        "fever": "I would rather not say.",
    })  # fmt: skip

    report = augment(source, tmp_path / "out", options_of(["paraphrase"], teacher="toy"), tools(teacher))

    its = report["kinds"]["paraphrase"]
    assert {reason: found["n"] for reason, found in its["refused"].items()} == {
        "numbers differ": 1, "teacher: the server failed": 1, "the teacher's reply holds no list": 1,
    }  # fmt: skip
    children = [one for one in rows_in(tmp_path / "out", "train") if "made" in one.meta]
    assert [one.question for one in children] == ["What is the treatment of gout at 44 years of age?"]
    assert children[0].meta == {
        "parent": "good", "made": "paraphrase", "teacher": "toy", "teacher_terms": "for research only"
    }  # fmt: skip
    assert children[0].answer == "An answer."


def test_a_teacher_parts_question_and_answer_and_invents_nothing(tmp_path: Path) -> None:
    answer = "Gout comes of uric acid. Colchicine helps."
    source = folder(
        tmp_path / "in", train=[row("Tell me, why do I have gout and what can I do about gout?", answer, name="a")]
    )
    teacher = Scripted({"gout": json.dumps([
        {"question": "Why do I have gout?", "answer": "Gout comes of uric acid."},
        {"question": "What can I do about gout?", "answer": "Take 500 mg of something."},
    ])})  # fmt: skip

    augment(source, tmp_path / "out", options_of(["split"], teacher="toy"), tools(teacher))

    assert [one.answer for one in rows_in(tmp_path / "out", "train")[1:]] == ["Gout comes of uric acid."]
    waiting = rows_in(tmp_path / "out", "unlabelled")
    assert [(one.question, one.answer) for one in waiting] == [("What can I do about gout?", None)]


def test_synthetic_pairs_have_no_parent_and_always_wait_for_a_reviewer(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", train=[row("Is fever bad?")])
    teacher = Scripted({
        "scurvy": '[{"question": "What is scurvy?", "answer": "Scurvy is a lack of vitamin C."},'
                  ' {"question": "Is scurvy rare?", "answer": null}]',
    })  # fmt: skip

    report = augment(
        source, tmp_path / "out", options_of(["synthetic"], teacher="toy", topics=("scurvy", "yaws")), tools(teacher)
    )

    pairs = [one for one in rows_in(tmp_path / "out", "train") if one.meta.get("made") == "synthetic"]
    assert [one.question for one in pairs] == ["What is scurvy?"]
    assert pairs[0].meta["review"] == "needed"
    assert "parent" not in pairs[0].meta
    assert (pairs[0].split, pairs[0].licence) == ("train", "for research only")
    assert {reason: found["n"] for reason, found in report["kinds"]["synthetic"]["refused"].items()} == {
        "teacher: the server failed": 1, "the teacher gave no answer": 1,
    }  # fmt: skip


def test_without_topics_conditions_that_hardly_any_row_names_are_asked_about(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", train=[row("What helps against asthma?")])
    teacher = Scripted({"COPD": '[{"question": "What is COPD?", "answer": "COPD is a disease of the lung."}]'})

    report = augment(source, tmp_path / "out", options_of(["synthetic"], teacher="toy"), tools(teacher))

    assert len(report["topics"]) == 20
    assert "asthma" not in report["topics"]
    assert "COPD" in report["topics"]


@pytest.mark.parametrize(
    ("reply", "items"),
    [
        ("1. What is gout?\n2) **How is gout treated?**", ["What is gout?", "How is gout treated?"]),
        ("Here you are:\n- What is gout?\n\n- What is gout?", ["What is gout?"]),
        ('```json\n{"paraphrases": ["What is gout?", {"question": "Who gets gout?"}]}\n```',
         ["What is gout?", "Who gets gout?"]),
        ('Sure: ["What is gout?"] Anything else?', ["What is gout?"]),
        ("What is gout?\nWho gets gout?", ["What is gout?", "Who gets gout?"]),
        ("I cannot help with that.", []),
        ('["What is', []),
        ("[[1, 2], {]", []),
        ("", []),
    ],
)  # fmt: skip
def test_lists_are_read_in_the_shapes_that_models_write(reply: str, items: list[str]) -> None:
    assert read_list(reply, 3) == items


def test_pairs_are_read_as_json_or_as_marked_lines() -> None:
    assert read_pairs("Q: What is gout?\nA: An arthritis.\nIt hurts.\nQ: Who gets it?\nA: Men.") == [
        ("What is gout?", "An arthritis.\nIt hurts."), ("Who gets it?", "Men."),
    ]  # fmt: skip
    assert read_pairs('{"Question": "What is gout?", "Answer": " "}') == [("What is gout?", None)]
    assert read_pairs("No.") == []


def test_a_part_of_an_answer_is_taken_word_by_word_alone() -> None:
    answer = "It is gout.\nRest  and wait."

    assert part_of(answer, "Rest and wait.") == "Rest  and wait."
    assert part_of(answer, "Rest, then wait.") is None
    assert part_of(answer, "") is None


def test_a_flagged_answer_of_a_teacher_is_not_taught(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", train=[row("Is fever bad?")])
    teacher = Scripted({"fever": json.dumps([
        {"question": "What helps against fever?", "answer": "Take 40 g of paracetamol, and no doctor is needed."},
        {"question": "Is fever common?", "answer": "Fever is common in infections."},
    ])})  # fmt: skip

    report = augment(
        source, tmp_path / "out", options_of(["synthetic"], teacher="toy", topics=("fever",)), tools(teacher)
    )

    assert [its.question for its in rows_in(tmp_path / "out", "train")] == ["Is fever bad?", "Is fever common?"]
    [(reason, found)] = report["kinds"]["synthetic"]["refused"].items()
    assert reason.startswith("flagged: ")
    assert "dose out of range" in reason
    assert found["n"] == 1


def test_where_nothing_was_made_nothing_is_written_and_the_next_run_asks_again(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", train=[row("Is fever bad?")])
    teacher = Scripted({})
    options = options_of(["paraphrase"], teacher="toy")

    for _ in range(2):
        with pytest.raises(InvalidInput, match=r"Nothing was made.*1 teacher: the server failed \(paraphrase\)"):
            augment(source, tmp_path / "out", options, tools(teacher))
        assert not (tmp_path / "out" / "train.jsonl").exists()

    assert len(teacher.asked) == 2


def test_the_balance_before_and_after_and_the_licences_are_in_the_report_and_the_summary(tmp_path: Path) -> None:
    talk = Example("I cough.", "Rest.", id="t", source="meddialog", licence="CC-BY-4.0", split="train")
    fact = Example(
        "Which medicine helps against gout?", "Rest.", id="f", source="medquad", licence="CC-BY-4.0", split="train"
    )
    source = folder(tmp_path / "in", train=[talk, fact])
    (source / "report.json").write_text(json.dumps({"balance": {"asked": {"knowledge": 50, "conversation": 50}}}))

    report = augment(source, tmp_path / "out", options_of(["synonyms"]), tools())

    assert report["balance"] == {
        "asked": {"knowledge": 50, "conversation": 50},
        "before": {"conversation": 1, "knowledge": 1},
        "after": {"conversation": 1, "knowledge": 2},
    }
    assert report["licences"] == {"CC-BY-4.0": 3}
    assert (
        "balance of the rows to train on: conversation 50.0 % -> 33.3 %, knowledge 50.0 % -> 66.7 %"
        " (asked for: knowledge 50 %, conversation 50 %)"
    ) in summary_lines(report)
    assert "before and after" in (tmp_path / "out" / "report.html").read_text()


def test_rows_that_may_not_leave_this_machine_are_sent_to_no_server(tmp_path: Path) -> None:
    secret = row("Why does Mr. Doe of ward 7 cough and what helps him?", name="secret", restricted=True)
    free = row("Is fever bad for adults?", name="free")
    source = folder(tmp_path / "in", train=[secret, free])
    options = options_of(["paraphrase", "split"], teacher="far")
    with teacher_server(lambda prompt, earlier: said('["Is fever harmful for adults?"]')) as server:
        teacher = TeacherDesk(server, tmp_path / "cache").teacher()
        its = replace(tools(), teacher=TeacherOf("far", teacher, 0))
        estimate = teacher.estimate(questions(source, options, load_knowledge()))
        report = augment(source, tmp_path / "out", options, its)

    assert (estimate.requests, estimate.restricted) == (1, 2)
    assert ["Doe" in arrival.prompt for arrival in server.arrivals] == [False]
    refused = report["kinds"]["paraphrase"]["refused"]
    assert refused["records that may not leave this machine"] == {
        "n": 1, "examples": [{"parent": "secret", "text": "", "detail": ""}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: options_of([]), "--kind"),
        (lambda: options_of(["paraphrase"]), "Paraphrases are written by a teacher"),
        (lambda: options_of(["split"], per_question=0), "--per-question"),
        (lambda: options_of(["split"], topics=("gout",)), "--kind synthetic"),
        (lambda: options_of(["split"], budget=-1.0), "--budget"),
        (lambda: options_of(["split"], limit=0), "--limit"),
    ],
)
def test_wrong_options_say_what_to_do(options: Callable[[], Options], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        options()


def test_topics_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "topics.txt"
    file.write_text("# rare\nscurvy\n\n  yaws \nscurvy\n", encoding="utf-8")

    assert topics_in(file) == ("scurvy", "yaws")
    with pytest.raises(NotFound):
        topics_in(tmp_path / "none.txt")


def test_the_folder_itself_is_not_written_over_and_an_empty_one_is_said(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", validation=[row("Is fever bad?", split="validation")])

    with pytest.raises(InvalidInput, match="another --out"):
        augment(source, source, options_of(RULES), tools())
    with pytest.raises(InvalidInput, match="no row to learn from"):
        augment(source, tmp_path / "out", options_of(RULES), tools())


@pytest.mark.slow
def test_the_command_writes_a_folder_and_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, run_dir = prepared(tmp_path), tmp_path / "run"
    arguments = ["augment", str(source), "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    arguments += [word for kind in RULES for word in ("--kind", kind)]

    assert main([*arguments, "--run-dir", str(run_dir)]) == 0

    assert "synonyms: 2 candidates of 2 rows = 2 children + 0 refused" in capsys.readouterr().out
    assert json.loads((run_dir / "state.json").read_text())["status"] == "done"
    assert json.loads((run_dir / "result.json").read_text())["kind"] == "augmented"
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["command"].startswith("python -m train augment ")
    assert "--out" not in report["command"]
    assert (tmp_path / "out" / "report.html").is_file()
