"""The review desk without a browser: who sees what, what is saved, what its pages say, and what is refused."""

import html
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from judged_answers import Judges
from starlette.datastructures import Headers

from medchat.accounts import RIGHTS, User
from medchat.records import Example
from medchat.settings import Settings
from medchat.store import Store
from medchat.ui import layout, review_sets
from medchat.ui.common import App
from medchat.ui.data_folders import folder_named
from medchat.ui.review import lay_out
from medchat.ui.review_desk import ReviewDesk
from medchat.ui.review_entered import Entered, entered_from, entered_of
from medchat.ui.review_finish import applied_folder, frozen_file
from medchat.ui.review_form import form_html
from medchat.ui.review_handlers import Handlers, ReviewTab
from medchat.ui.review_marks import Mark, changes_between, marked_html
from medchat.ui.review_view import task_html
from train.quality import Options, check
from train.row_files import RowsWriter, report_of, write_report

ANN, BOB, CYD = (User(name.lower(), name, "rater", RIGHTS["rater"]) for name in ("Ann", "Bob", "Cyd"))
EVE = User("eve", "Eve", "engineer", RIGHTS["engineer"])
ATTACK = '"><script>alert(1)</script><img src=x onerror="alert(1)">'
DOSE = Example(
    "How much levothyroxine?", "Levothyroxine 100 mg once a day.", "dose", source="medquad", licence="CC BY 4.0",
    split="train", rationale="The hormone is missing.",
)  # fmt: skip
PARENT = Example("What helps against gout?", "Rest.", "parent", source="medquad", licence="MIT", split="train")
CHILD = replace(
    PARENT, question="What helps against podagra?", id="child", meta={"parent": "parent", "made": "synonyms",
    "changed": {"gout_attack": "podagra"}},
)  # fmt: skip
CHOICE = Example(
    "Which test?", "B", "choice", kind="mcq", options={"A": "D-dimer", "B": "Ultrasound"}, source="medmcqa",
    licence="MIT", split="validation",
)  # fmt: skip
_keys = (f"key {number}" for number in count())


class FakeAccounts:
    """Takes everybody for the user that is set; the audit is a list."""

    def __init__(self) -> None:
        self.user = ANN
        self.noted: list[tuple[Any, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User:
        return self.user

    def address(self, peer: str, forwarded: list[str]) -> str:
        return peer

    def note(self, *what: Any) -> None:
        self.noted.append(what)


@lru_cache(maxsize=1)
def parts() -> ReviewTab:
    """The components, which hold nothing of an app: to make them takes longer than most tests."""
    with gr.Blocks():
        return lay_out()


class Desk:
    """The desk of an app with one sample, "mix", and what its handlers gave by the names of the components."""

    def __init__(self, folder: Path, rows: Sequence[Example], **options: Any) -> None:
        self.settings = Settings(folder / "data")
        self.folder = self.settings.data_dir / "prepared" / "mix"
        self.folder.parent.mkdir(parents=True)
        with RowsWriter(folder / "raw") as files:
            for row in rows:
                files.write(row)
        write_report(folder / "raw", {"kind": "prepared", "rows": dict(files.n)})
        check(folder / "raw", self.folder, Options(**{"share": 1.0, **options}))
        self.accounts = FakeAccounts()
        self.store: Store = Judges(self.settings.data_dir).store
        app = SimpleNamespace(settings=self.settings, store=self.store, accounts=self.accounts)
        self.service = ReviewDesk(cast(App, app))
        self.do = Handlers(cast(App, app), parts())
        self.request = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))

    def act(self, user: User, verb: str, **fields: Any) -> dict[str, str]:
        self.accounts.user = user
        updates = self.do.act(json.dumps({"do": verb, **fields}), "page", self.request)
        names = {id(part): name for name, part in parts()._asdict().items()}
        return {names[id(part)]: value for part, value in updates.items()}

    def open(self, user: User) -> dict[str, str]:
        return self.act(user, "open", folder="mix")

    def save(self, user: User, row: str, decision: str, key: str = "", **entered: Any) -> dict[str, str]:
        """A decision on the row, of which `row` is the id, as the page sends it."""
        fields = {"folder": "mix", "row": self.sha(row), "key": key or next(_keys), "number": "1"}
        return self.act(user, "save", entered={"decision": decision, **entered}, **fields)

    def go(self, user: User, row: str, way: str) -> dict[str, str]:
        return self.act(user, "go", folder="mix", row=self.sha(row), way=way)

    def sha(self, row: str) -> str:
        items = self.service.opened("mix").sample.items
        return next(item.content_sha for item in items if item.row_id == row)

    def shown(self, updates: dict[str, str]) -> str:
        """The id of the row that is shown; "" for none."""
        sha = re.search(r'data-row="(\w+)"', updates["page"])
        items = self.service.opened("mix").sample.items
        return next((item.row_id for item in items if sha and item.content_sha == sha[1]), "")

    def decisions(self) -> list[tuple[str, str, str]]:
        return [(one.reviewer, one.row_id, one.decision) for one in self.service.opened("mix").reviews]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def desk(*rows: Example, **options: Any) -> Desk:
        made.append(Desk(tmp_path, rows or (DOSE, PARENT), **options))
        return made[-1]

    yield desk
    for one in made:
        one.store.close()


def visible(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page))).strip()


def is_safe(page: str) -> bool:
    return "<script" not in page and "<img" not in page


# The list, and a row


def test_the_list_says_what_is_done_and_left_by_oneself_and_by_others(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.save(BOB, "parent", "keep")

    page = desk.act(ANN, "list")["listed"]

    assert "mix 1 of 2 rows decided · 0 looked at by you · 1 by others · 1 left for you" in visible(page)
    assert 'data-folder="mix"' in page
    assert visible(desk.act(BOB, "list")["listed"]).endswith("Continue")


def test_a_sample_that_cannot_be_read_says_so_and_the_others_stay(make: Callable[..., Desk]) -> None:
    desk = make()
    broken = desk.folder.with_name("broken")
    broken.mkdir()
    (broken / "train.jsonl").write_text(DOSE.to_json() + "\n")
    (broken / "review.jsonl").write_text("{\n")

    page = visible(desk.act(ANN, "list")["listed"])

    assert "broken review.jsonl, row 1: not JSON." in page
    assert "mix 0 of 2 rows decided" in page


def test_without_a_sample_one_reads_where_samples_come_from() -> None:
    assert "Check quality" in visible(review_sets.list_html((), "ann"))


def test_a_flagged_row_comes_first_with_the_words_that_set_the_flag_off(make: Callable[..., Desk]) -> None:
    page = make().open(ANN)["page"]

    assert "dose out of range : Far above the usual dose of levothyroxine" in visible(page)
    assert "Not taught until somebody says keep or fix." in visible(page)
    assert '<mark class="mc-flagged">Levothyroxine 100 mg<sup>' in page
    assert "Source: medquad Licence: CC BY 4.0 Used to teach" in visible(page)
    assert "Drawn at random (100 % of the rows)." in visible(page)


def test_a_child_stands_beside_its_parent_with_the_changed_words_marked(make: Callable[..., Desk]) -> None:
    desk = make(PARENT, CHILD)
    updates = desk.open(ANN)
    if desk.shown(updates) == "parent":
        updates = desk.save(ANN, "parent", "keep")

    page = updates["page"]

    told = "This row is the question in other words. Changed: gout → podagra. Its answer was taken over"
    assert told in visible(page)
    assert 'What helps against <mark class="mc-changed">gout</mark>?' in page
    assert 'What helps against <mark class="mc-changed">podagra</mark>?' in page
    assert '<details class="mc-fold" open><summary>Question</summary>' in page  # it can be fixed as well


def test_a_child_whose_parent_is_not_in_the_data_set_says_so(make: Callable[..., Desk]) -> None:
    assert "is not in this data set" in visible(make(CHILD).open(ANN)["page"])


def test_whatever_a_row_or_a_reviewer_says_is_text(make: Callable[..., Desk]) -> None:
    nasty: dict[str, Any] = dict.fromkeys(
        ("question", "context", "rationale", "source", "licence"), f"Is it gout? {ATTACK}"
    )
    row = Example(answer=f"Yes. {ATTACK}", id="nasty", split="train", meta={"made": ATTACK, "teacher": ATTACK}, **nasty)
    desk = make(row, reviewers=2)

    assert is_safe("".join(desk.open(EVE).values()))
    desk.save(ANN, "nasty", "fix", texts={"answer": f"No. {ATTACK}"}, words=ATTACK, checked=ATTACK)
    desk.save(BOB, "nasty", "drop", words=ATTACK)
    updates = desk.open(EVE)
    assert "Reviewer 1" in visible(updates["page"])
    assert is_safe("".join(updates.values()))
    assert is_safe("".join(desk.go(ANN, "nasty", "differ").values()))


def test_marks_that_overlap_or_reach_beyond_the_text_keep_every_character() -> None:
    marks = [Mark(0, 4, "a", 1), Mark(2, 99, "b", 2), Mark(7, 3, "c")]
    assert visible(marked_html("abcdef", marks)).replace("flag", "").replace(" ", "") == "abcd1ef2"
    assert marked_html("a<b", []) == "a&lt;b"
    left, right = changes_between("has gout now", "has podagra now")
    assert [(one.start, one.end) for one in (*left, *right)] == [(4, 8), (4, 11)]


# Decisions


def test_a_decision_is_saved_with_its_source_and_the_next_row_comes(make: Callable[..., Desk]) -> None:
    desk = make()

    after = desk.save(
        ANN, "dose", "fix", texts={"answer": "Levothyroxine 100 mcg."}, reason="wrong dose or unit", words="see label",
        checked=" BNF ", seconds=12.5,
    )  # fmt: skip

    [saved] = desk.service.opened("mix").reviews
    assert (saved.reason, saved.fixed) == ("wrong dose or unit: see label", {"answer": "Levothyroxine 100 mcg."})
    assert (saved.checked_against, saved.seconds) == ("BNF", 12.5)
    assert desk.shown(after) == "parent"
    assert 'data-last="BNF"' in after["page"]  # offered, not entered: nobody has looked there for this row yet
    assert '"checked": ""' in html.unescape(after["page"])


def test_the_same_save_sent_twice_is_one_decision(make: Callable[..., Desk]) -> None:
    desk = make()
    first, second = (desk.save(ANN, "dose", "keep", key="the same") for _ in range(2))

    assert desk.shown(first) == desk.shown(second) == "parent"
    assert desk.decisions() == [("ann", "dose", "keep")]


def test_after_the_last_row_the_reviewer_is_thanked_with_counts(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.save(ANN, "dose", "drop", reason="unsafe", seconds=30.0)
    page = visible(desk.save(ANN, "parent", "keep", seconds=50.0)["page"])

    assert "Thank you. You decided on 2 rows: 1 kept, 0 fixed, 1 dropped, in 80 s." in page


def test_own_decisions_are_gone_through_and_amended_and_nobody_elses(make: Callable[..., Desk]) -> None:
    desk = make(DOSE, PARENT, CHOICE)
    desk.save(ANN, "dose", "keep")
    desk.save(ANN, "parent", "drop", reason="unclear", words="which?")

    back = desk.go(ANN, "choice", "back")
    assert desk.shown(back) == "parent"
    assert desk.shown(desk.go(ANN, "parent", "back")) == "dose"
    assert desk.shown(desk.go(ANN, "dose", "next")) == "parent"
    assert desk.shown(desk.go(ANN, "parent", "next")) == "choice"
    assert "before this one" in visible(desk.go(ANN, "dose", "back")["kept"])
    assert "before this one" in visible(desk.go(BOB, "choice", "back")["kept"])

    filled = json.loads(html.unescape(re.search(r'data-filled="([^"]*)"', back["page"])[1]))  # type: ignore[index]
    assert (filled["decision"], filled["reason"], filled["words"]) == ("drop", "unclear", "which?")
    desk.save(ANN, "parent", "keep", base=filled["base"])
    assert desk.decisions() == [("ann", "dose", "keep"), ("ann", "parent", "keep")]
    assert len(desk.store.review_history(desk.sha("parent"))) == 2


def test_a_row_can_be_left_for_later(make: Callable[..., Desk]) -> None:
    desk = make()
    assert desk.shown(desk.go(ANN, "dose", "next")) == "parent"
    assert desk.shown(desk.go(ANN, "parent", "next")) == "dose"
    desk.save(ANN, "dose", "keep")
    assert "No other row waits" in visible(desk.go(ANN, "parent", "next")["kept"])


@pytest.mark.parametrize(
    ("row", "entered", "told"),
    [
        ("dose", {"decision": ""}, "Choose first"),
        ("dose", {"decision": "drop"}, "Say why"),
        ("dose", {"decision": "fix", "reason": "incomplete"}, "Nothing was changed"),
        ("dose", {"decision": "fix", "texts": {"answer": "Rest."}}, "Say why"),
        ("dose", {"decision": "fix", "reason": "incomplete", "texts": {"answer": " "}}, "needs a question and an"),
        ("choice", {"decision": "fix", "reason": "wrong fact", "texts": {"answer": "C"}}, "one of A, B"),
        ("dose", {"decision": "fix", "texts": {"licence": "mine"}}, "Reload the page"),
        ("dose", {"decision": "perhaps"}, "Reload the page"),
        ("dose", {"decision": "keep", "base": "of nobody"}, "in another window"),
    ],
)
def test_what_cannot_be_saved_is_one_line_beside_what_was_typed(
    make: Callable[..., Desk], row: str, entered: dict[str, Any], told: str
) -> None:
    desk = make(DOSE, CHOICE)
    updates = desk.save(ANN, row, **entered)

    assert list(updates) == ["kept"]  # the row and its form stay as they are
    assert told in visible(updates["kept"])
    assert 'data-refused="1"' in updates["kept"]
    assert desk.decisions() == []


def test_a_row_that_is_gone_is_refused_and_one_saved_since_may_be_replaced(make: Callable[..., Desk]) -> None:
    desk = make()
    gone = desk.act(ANN, "save", folder="mix", row="x", key="k", number="2", entered={"decision": "keep"})
    assert "not among those to review any more" in gone["kept"]
    desk.save(ANN, "dose", "keep")

    again = desk.save(ANN, "dose", "drop", reason="unsafe")
    newer = re.search(r'data-newer="([\w-]+)"', again["kept"])
    assert newer
    desk.save(ANN, "dose", "drop", reason="unsafe", base=newer[1])
    assert desk.decisions() == [("ann", "dose", "drop")]


def test_line_breaks_of_the_browser_are_no_change(make: Callable[..., Desk]) -> None:
    desk = make(replace(PARENT, answer="Rest.\r\nCool it."))
    updates = desk.save(ANN, "parent", "fix", reason="incomplete", texts={"answer": "Rest.\nCool it.\n"})
    assert "Nothing was changed" in updates["kept"]


def test_an_old_reason_of_no_list_is_shown_as_own_words(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.save(ANN, "dose", "drop", words="Nonsense: all of it.")
    [saved] = desk.service.opened("mix").reviews
    assert (entered_from(saved).reason, entered_from(saved).words) == ("", "Nonsense: all of it.")


# Drafts, and where one was


def test_a_draft_comes_back_and_goes_with_the_decision(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.open(ANN)
    entered = {"decision": "drop", "reason": "unsafe", "words": "so", "texts": {}, "checked": "BNF", "seconds": 3.0}
    sent = {"do": "draft", "folder": "mix", "row": desk.sha("dose"), "number": "7", "entered": entered}
    desk.accounts.user = ANN
    assert desk.do.keep(json.dumps(sent), desk.request) == '<p data-kept="7">Draft kept.</p>'

    task = desk.service.task(desk.service.opened("mix"), "ann", desk.sha("dose"))
    assert task
    assert task.entered == Entered("drop", "unsafe", "so", {}, "BNF", 3.0)
    again = desk.act(ANN, "enter")
    assert desk.shown(again) == "dose"
    assert "&quot;words&quot;: &quot;so&quot;" in again["page"]
    assert "&quot;so&quot;" not in desk.open(BOB)["page"]  # a draft is nobody else's

    desk.save(ANN, "dose", "drop", reason="unsafe")
    assert "Draft not kept" in desk.do.keep(json.dumps(sent), desk.request)


def test_the_desk_opens_what_was_asked_for_in_the_data_tab_and_keeps_what_stands_there(
    make: Callable[..., Desk],
) -> None:
    desk = make()
    assert "mix" in desk.act(ANN, "enter")["listed"]
    desk.store.save_draft("ann", "review", {"folder": "mix"})

    assert desk.shown(desk.act(ANN, "enter")) == "dose"
    assert list(desk.act(ANN, "enter", folder="mix", row=desk.sha("dose"))) == ["kept"]
    assert desk.act(ANN, "list")["page"] == ""
    assert "mix" in desk.act(ANN, "enter")["listed"]  # asked for once


# Several reviewers


def test_neither_of_two_sees_what_the_other_said_before_both_have_decided(make: Callable[..., Desk]) -> None:
    desk = make(PARENT, reviewers=2)
    desk.save(ANN, "parent", "fix", reason="incomplete", texts={"answer": "Rest and colchicine."}, checked="Label 7")

    before = "".join(desk.open(BOB).values())
    for word in ("colchicine", "Label 7", "mc-review-said"):
        assert word not in before
    mine = desk.act(ANN, "go", folder="mix", row="", way="back")
    assert "A second reviewer has not looked at it yet." in visible(mine["page"])

    desk.save(BOB, "parent", "keep")
    for one in (ANN, BOB):
        page = visible(desk.go(one, "parent", "differ")["page"])
        assert "Another reviewer differs." in page
        assert "colchicine" in page
        assert "Checked against: Label 7" in page
        assert "bob" not in page
        assert "Ann" not in page


def test_a_third_settles_a_disagreement_with_both_reasons_before_them(make: Callable[..., Desk]) -> None:
    desk = make(PARENT, reviewers=2)
    desk.save(ANN, "parent", "keep", words="It is fine.")
    desk.save(BOB, "parent", "drop", reason="unclear")

    page = visible(desk.open(CYD)["page"])
    assert "Two reviewers differ on this row: your decision settles it." in page
    assert "Reviewer 1 Keep : It is fine." in page
    assert "Reviewer 2 Drop : unclear" in page
    after = desk.save(CYD, "parent", "drop", reason="unclear")
    assert "1 of 1 row decided" in visible(after["head"])
    assert "look again" not in visible(desk.open(ANN)["head"])
    for one in (ANN, BOB, CYD):
        assert "Settled: Drop (two of three)." in visible(desk.act(one, "go", folder="mix", row="", way="back")["page"])


def test_three_different_fixes_are_not_called_the_same(make: Callable[..., Desk]) -> None:
    desk = make(PARENT, reviewers=2)
    for one, answer in ((ANN, "Colchicine."), (BOB, "An NSAID."), (CYD, "Ice.")):
        desk.save(one, "parent", "fix", reason="incomplete", texts={"answer": answer})
    page = visible(desk.act(ANN, "go", folder="mix", row="", way="back")["page"])
    assert "Settled: Fix (as the last reviewer decided: no two decided the same)." in page


def test_two_who_differ_can_settle_it_among_themselves(make: Callable[..., Desk]) -> None:
    desk = make(PARENT, reviewers=2)
    desk.save(ANN, "parent", "keep")
    after = desk.save(BOB, "parent", "drop", reason="unclear")
    assert "Another reviewer differs on 1 row of yours: look again" in visible(after["head"])

    looked = desk.act(BOB, "go", folder="mix", row="", way="differ")
    base = re.search(r'data-base="([\w-]+)"', looked["page"])
    assert base
    assert "1 of 1 row decided: " not in visible(desk.open(ANN)["head"])
    settled = desk.save(BOB, "parent", "keep", base=base[1])
    assert "1 of 1 row decided" in visible(settled["head"])


def test_how_many_look_at_a_row_is_chosen_by_who_prepares_the_data(make: Callable[..., Desk]) -> None:
    desk = make(PARENT)
    desk.save(ANN, "parent", "keep")
    assert "1 of 1 row decided" in visible(desk.open(EVE)["head"])

    around = desk.act(EVE, "reviewers", folder="mix", n=2, row="")
    assert "0 of 1 row decided · 1 row seen by one of two" in visible(around["head"])
    assert report_of(desk.folder)["review"]["reviewers_per_row"] == 2
    assert desk.shown(desk.open(BOB)) == "parent"
    with pytest.raises(gr.Error, match="1 or 2"):
        desk.act(EVE, "reviewers", folder="mix", n=3)
    with pytest.raises(gr.Error, match="does not allow this"):
        desk.act(ANN, "reviewers", folder="mix", n=1)


# Rights and the end


def test_who_applies_decisions_or_changes_how_many_review_stands_in_the_audit(make: Callable[..., Desk]) -> None:
    desk = make(PARENT)
    desk.save(ANN, "parent", "keep")
    desk.act(EVE, "reviewers", folder="mix", n=2, row="")
    desk.act(EVE, "reviewers", folder="mix", n=1, row="")

    shown = list(desk.do.run(json.dumps({"do": "apply", "folder": "mix"}), "page", desk.request))

    assert "The decisions are applied: mix-reviewed" in visible(shown[-1])
    assert [note[:4] for note in desk.accounts.noted] == [
        (EVE.id, "reviewers a row changed", "mix", {"reviewers": 2}),
        (EVE.id, "reviewers a row changed", "mix", {"reviewers": 1}),
        (EVE.id, "review applied", "mix", {"written": "mix-reviewed"}),
    ]


def test_each_event_asks_for_the_right_and_a_reviewer_sees_no_way_to_what_they_may_not(
    make: Callable[..., Desk],
) -> None:
    desk = make()
    assert desk.open(ANN)["finish"] == ""
    assert "Apply the decisions" in visible(desk.open(EVE)["finish"])
    desk.accounts.user = ANN
    for verb in ("apply", "freeze"):
        with pytest.raises(gr.Error, match="does not allow this"):
            next(desk.do.run(json.dumps({"do": verb, "folder": "mix"}), "page", desk.request))
    nobody = User("n", "Nob", "none", frozenset())
    for verb in ("enter", "list", "open", "go", "save"):
        with pytest.raises(gr.Error, match="does not allow this"):
            desk.act(nobody, verb, folder="mix")
    desk.accounts.user = nobody
    with pytest.raises(gr.Error, match="does not allow this"):
        desk.do.keep(json.dumps({"do": "draft", "number": "1"}), desk.request)
    assert len(desk.accounts.noted) == 8


def test_what_the_page_does_not_send_is_refused_in_one_line(make: Callable[..., Desk]) -> None:
    desk = make()
    for verb in ("fly", "open"):
        with pytest.raises(gr.Error):
            desk.act(ANN, verb)
    assert "is not there any more" in desk.act(ANN, "open", folder="../..")["listed"]
    assert "no such way" in desk.act(ANN, "go", folder="mix", way="up")["kept"]
    wrong: list[dict[str, Any]] = [{"texts": []}, {"seconds": "1"}, {"seconds": True}, {"words": 1}]
    for sent in [*wrong, {"texts": {"answer": 1}}]:
        with pytest.raises(Exception, match="Reload the page"):
            entered_of(sent)


def test_applied_decisions_get_a_name_that_is_free(make: Callable[..., Desk]) -> None:
    desk = make()
    found = folder_named(desk.settings, "mix")
    assert applied_folder(desk.settings, found) == desk.folder.with_name("mix-reviewed")
    desk.folder.with_name("mix-reviewed").mkdir()
    assert applied_folder(desk.settings, found) == desk.folder.with_name("mix-reviewed-2")


def test_a_frozen_validation_is_never_written_over(make: Callable[..., Desk]) -> None:
    desk = make()
    found = folder_named(desk.settings, "mix")
    first = frozen_file(desk.settings, found)
    assert first.name == "mix-frozen.jsonl"
    first.write_text("{}\n")
    assert frozen_file(desk.settings, found) == first.with_name("mix-frozen-2.jsonl")


@pytest.mark.parametrize("verb", ["open", "enter", "go", "save"])
def test_a_data_set_that_was_deleted_gives_way_to_the_list_with_the_reason(
    make: Callable[..., Desk], verb: str
) -> None:
    desk = make()
    desk.open(ANN)
    sha = desk.sha("dose")
    shutil.rmtree(desk.folder)

    fields = {"row": sha, "way": "next", "key": "k", "number": "1", "entered": {"decision": "keep"}}
    updates = desk.act(ANN, verb, folder="mix", **fields)

    unsaved = "; your decision could not be saved" if verb == "save" else ""
    assert f"The data set mix is not there any more{unsaved}." in visible(updates["listed"])
    assert updates["page"] == updates["head"] == ""


def test_a_sample_that_others_have_done_is_opened_only_by_who_prepares_the_data(make: Callable[..., Desk]) -> None:
    desk = make(PARENT)
    desk.save(BOB, "parent", "keep")
    assert visible(desk.act(ANN, "list")["listed"]).endswith("Done")
    assert "review-open" not in desk.act(ANN, "list")["listed"]
    assert visible(desk.act(BOB, "list")["listed"]).endswith("Look again")
    assert visible(desk.act(EVE, "list")["listed"]).endswith("Open")


def test_ways_that_lead_nowhere_cannot_be_pressed(make: Callable[..., Desk]) -> None:
    desk = make()

    def closed(updates: dict[str, str]) -> list[str]:
        return re.findall(r'id="review-(back|next)" disabled', updates["page"])

    assert closed(desk.open(ANN)) == ["back"]
    assert closed(desk.save(ANN, "dose", "keep")) == ["next"]
    assert closed(desk.go(ANN, "parent", "back")) == ["back"]


def test_what_is_left_out_of_undecided_rows_is_said_before_they_are_applied(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.save(EVE, "dose", "drop", reason="unsafe")
    page = visible(desk.open(EVE)["finish"])
    assert "1 of 2 rows decided: 0 keep · 0 fix · 1 drop." in page
    assert "Of the rows not decided yet those with a flag are left out" in page


def test_a_choice_is_fixed_by_choosing_another_option(make: Callable[..., Desk]) -> None:
    desk = make(CHOICE)
    task = desk.service.task(desk.service.opened("mix"), "ann")
    assert task
    assert '<option value="A">A. D-dimer</option>' in form_html(task, ())
    assert "Ultrasound" in visible(task_html(task))
    desk.save(ANN, "choice", "fix", reason="wrong fact", texts={"answer": "A"})
    assert desk.service.opened("mix").reviews[0].fixed == {"answer": "A"}


def test_the_page_carries_the_desk() -> None:
    assert "review.js" in layout.SCRIPTS
    assert "review.css" in layout.STYLES
