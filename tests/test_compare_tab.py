"""The Compare tab without a browser: what its page says, where its cases come from, and what its handlers do."""

import base64
import html
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import gradio as gr
import pytest
from panels import Models, NoGrounder, model, store_in

from medchat.accounts import Accounts
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import Endpoint
from medchat.errors import InvalidInput
from medchat.panel import Names, PanelService, PanelView, Revealed, SideView
from medchat.records import Example, Sampling
from medchat.rubrics import PAIRWISE_RUBRIC, load_rubrics
from medchat.rubrics import shown as wording_of
from medchat.settings import Settings
from medchat.store import AskedRubric, PreferenceRecord, Store
from medchat.turns import TurnView
from medchat.ui import compare, compare_view, compare_vote
from medchat.ui.actions import MAX_CHARS, read_action, sent_file
from medchat.ui.case_lists import BUNDLED, FILE, TYPED, CaseLists
from medchat.ui.common import App
from medchat.ui.compare_handlers import N_FIELDS, Handlers
from medchat.ui.compare_layout import CompareTab
from medchat.ui.compare_vote import Ballot
from medchat.uploads import MAX_BYTES

LABELS: tuple[tuple[Literal["A", "B"], int], ...] = (("A", 1), ("B", 2))
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(1)">\''
RUBRIC = load_rubrics()[PAIRWISE_RUBRIC]
REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=None))
BOTH = SideView("A", "1. The toe is red.", "Gout.", "done"), SideView("B", "1. It hurts.", "Gout, perhaps.", "done")
ENDED = PanelView("c1", "Why the toe?", "A man of 54.", True, *BOTH)


def revealed(name: str, **more: Any) -> Revealed:
    turn = TurnView(
        f"answer-{name}", 0, "Why?", "", name, name.title(), solution="Gout.", phase="done", ttft_ms=240.0,
        total_ms=2240.0, completion_tokens=101,
    )  # fmt: skip
    return Revealed(name, name.title(), turn, sampling=Sampling(temperature=0.5), **more)


NAMES = Names(revealed("swift", parameters=0.5, memory_gb=1.5, base="org/base"), revealed("sluggish"))
PREFERENCE = PreferenceRecord(
    "p1", "ada", "c1", "a", {"recall": "b"}, "Clearer.", {"a": False, "b": True}, 9.0, datetime(2026, 5, 3, tzinfo=UTC),
    None, True, "answer-swift", "answer-sluggish",
)  # fmt: skip
VOTED = replace(ENDED, revealed=NAMES, voted=PREFERENCE)


def visible(page: str) -> str:
    """The words on the page in one line, without what only screen readers are told."""
    plain = re.sub(r'<span class="mc-vh">.*?</span>', "", page)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain))).strip()


# What the page says


def test_the_better_answer_says_why_it_is_no_good_example() -> None:
    critical = replace(VOTED, voted=replace(PREFERENCE, chosen=None, rejected=None))
    flagged = replace(VOTED, voted=replace(PREFERENCE, flags={"a": True, "b": False}, chosen=None, rejected=None))

    words = "Not used as a good example"
    assert f"{words}: marked as critical." in visible(compare_view.side_html(critical, "a"))
    assert f"{words}: flagged in your vote." in visible(compare_view.side_html(flagged, "a"))
    assert words not in compare_view.side_html(VOTED, "a") + compare_view.side_html(critical, "b")


def test_a_column_before_the_vote_says_only_its_letter_and_its_words() -> None:
    assert visible(compare_view.side_html(ENDED, "a")) == "A Reasoning The toe is red. Solution Gout."
    assert visible(compare_view.side_html(ENDED, "b")) == "B Reasoning It hurts. Solution Gout, perhaps."


def test_two_columns_of_the_same_words_differ_in_their_letter_alone() -> None:
    view = replace(ENDED, right=replace(ENDED.left, label="B"))
    left, right = compare_view.side_html(view, "a"), compare_view.side_html(view, "b")
    for ours, theirs in (("-a", "-b"), ('"a"', '"b"'), (">A<", ">B<"), ("Answer A", "Answer B")):
        left = left.replace(ours, theirs)
    assert left == right


def test_after_the_vote_names_sizes_times_and_speed_are_there() -> None:
    page = visible(compare_view.side_html(VOTED, "a"))
    for expected in (
        "A Swift", "Size 500 million parameters · 1.5 GB in memory", "Made from org/base",
        "first words after 240 ms · 2.2 s in all",
        "Speed 50 tokens/s",  # the 100 tokens after the first in two seconds
        "Length reasoning 5 words · solution 1 word · 101 tokens", "Temperature 0.5",
    ):  # fmt: skip
        assert expected in page
    for off in ("Top-p", "Top-k", "Presence penalty"):
        assert off not in page


def test_where_one_side_did_not_mark_its_reasoning_no_words_are_compared() -> None:
    left = SideView("A", "", "1. The toe is red. So it is gout.", "done")
    assert visible(compare_view.diff_html(replace(VOTED, left=left))) == (
        "One side did not mark its reasoning, so the two are not compared word by word."
    )


def test_a_critical_answer_is_marked_once_its_model_is_known() -> None:
    critical = {"answer-swift"}
    assert "Critical:" in visible(compare_view.side_html(VOTED, "a", critical))
    assert "Critical:" not in visible(compare_view.side_html(VOTED, "b", critical))
    assert "Critical:" not in visible(compare_view.side_html(ENDED, "a", critical))


def test_differences_are_told_by_letters_and_not_by_colour_alone() -> None:
    page = compare_view.diff_html(VOTED)
    assert '<ins><b>B</b><span class="mc-vh"> only: </span>, perhaps</ins>' in page
    assert "<del><b>A</b>" in page
    assert compare_view.diff_html(ENDED) == ""
    assert "the same, word for word" in compare_view.diff_html(replace(VOTED, right=replace(VOTED.left, label="B")))


def test_a_side_that_failed_says_so_and_the_other_goes_on() -> None:
    view = replace(
        ENDED, left=SideView("A", phase="failed", error="This side could not answer."),
        right=SideView("B", "1. It hurts.", phase="reasoning"),
    )  # fmt: skip
    assert "Failed This side could not answer." in visible(compare_view.side_html(view, "a"))
    assert "Stop A" not in compare_view.side_html(view, "a")
    assert "Stop B" in compare_view.side_html(view, "b")


def test_nothing_that_was_written_becomes_markup() -> None:
    left, right = (SideView(label, ATTACK, ATTACK * n, "failed", ATTACK) for label, n in LABELS)
    names = Names(revealed(ATTACK, base=ATTACK), revealed(ATTACK, external=ATTACK))
    view = replace(
        VOTED, comparison_id=ATTACK, question=ATTACK, context=ATTACK, notice=ATTACK, revealed=names,
        left=left, right=right,
    )  # fmt: skip
    ballot = Ballot("a", {"recall": ATTACK}, ATTACK, (), 1.0, ATTACK)
    page = "".join([
        compare_view.case_html(view), compare_view.notice_html(view.notice), compare_view.side_html(view, "a"),
        compare_view.side_html(view, "b"), compare_view.diff_html(view), compare_view.status_html(ATTACK),
        compare_vote.bar_html(view, ballot), compare_vote.form_html(view, RUBRIC, ballot),
    ])  # fmt: skip
    assert "<script" not in page
    assert "<img" not in page


def test_the_bar_goes_with_the_state_of_the_comparison() -> None:
    writing = replace(ENDED, right=SideView("B", "1. It", phase="reasoning"))
    nothing = replace(ENDED, right=SideView("B", phase="failed"))
    assert 'data-state="waiting"' in compare_vote.bar_html(writing)
    assert compare_vote.bar_html(writing).count("aria-disabled") == 5
    choices = "A better a B better b Tie t Both bad x"
    assert visible(compare_vote.bar_html(ENDED)) == f"Which answer is better? {choices} Save Enter Next case n"
    assert "nothing to compare" in visible(compare_vote.bar_html(nothing))
    assert visible(compare_vote.bar_html(VOTED)) == "You voted: A better. Next case n Change vote Send both to Rate"
    changing = compare_vote.bar_html(VOTED, compare_vote.saved_ballot(PREFERENCE))
    assert "Keep my vote" in visible(changing)
    assert 'data-vote="a" aria-pressed="true"' in changing


def test_answers_can_go_to_rating_only_where_names_are_known() -> None:
    assert "Send both" not in compare_vote.bar_html(ENDED)
    assert "Send both" in compare_vote.bar_html(replace(ENDED, blinded=False, revealed=NAMES))


def test_the_form_asks_the_nine_questions_and_has_what_was_filled_in() -> None:
    page = compare_vote.form_html(ENDED, RUBRIC, Ballot("a", {"recall": "b"}, "It is <b>clear</b>.", ("b",)))
    assert page.count("<fieldset") == 9
    assert 'data-axis="recall" value="b" checked' in page
    assert page.count(" checked") == 10  # eight of "No answer", one of B, one flag
    assert 'data-flag="b" checked' in page
    assert "It is &lt;b&gt;clear&lt;/b&gt;." in page
    assert compare_vote.form_html(VOTED, RUBRIC) == ""


def test_what_leaves_the_machine_is_said_once_for_both() -> None:
    here, there = (
        model("here"),
        replace(model("there"), backend="openai", endpoint=Endpoint("https://x.example/v1", "m")),
    )
    assert compare_view.leaves_html([here, here]) == ""
    assert visible(compare_view.leaves_html([there, there])).endswith("it will be sent to x.example.")


# Where cases come from

CASES = (
    Example("Which one?", None, id="q1", options={"A": "Gout", "B": "Sepsis"}),
    Example("Why the rash?", None, id="q2", context="A girl of 6."),
)


def lists(folder: Path) -> CaseLists:
    return CaseLists(folder, lambda: CASES)


def test_cases_are_drawn_in_their_order_and_begin_again_after_the_last(tmp_path: Path) -> None:
    drawn, seen = lists(tmp_path).draw("ada", BUNDLED, {})
    assert drawn == ("Which one?\nA. Gout\nB. Sepsis", "", "bundled/q1", "Case 1 of 2")
    drawn, seen = lists(tmp_path).draw("ada", BUNDLED, seen)
    assert (drawn.question, drawn.context, drawn.place) == ("Why the rash?", "A girl of 6.", "Case 2 of 2")
    assert lists(tmp_path).draw("ada", BUNDLED, seen)[0].key == "bundled/q1"
    assert lists(tmp_path).draw("ada", TYPED, seen)[0].question == ""


def test_a_comparison_says_where_its_case_came_from(tmp_path: Path) -> None:
    cases = lists(tmp_path)
    assert cases.source_of("ada", "bundled/q2", " Why the rash?", "A girl of 6.") == {"kind": "bundled", "id": "q2"}
    changed = cases.source_of("ada", "bundled/q2", "Why the red rash?", "A girl of 6.")
    assert changed == {"kind": "typed", "changed_from": {"id": "q2"}}
    assert cases.source_of("ada", "", "Why?", "") == {"kind": "typed"}
    assert cases.source_of("ada", "bundled/other", "Why?", "") == {"kind": "typed"}


def test_criteria_of_a_case_go_with_its_comparison_as_long_as_nobody_changed_it(tmp_path: Path) -> None:
    cases = lists(tmp_path)
    criteria = [{"criterion": "Names gout", "points": 5}]
    case = {"id": "m1", "question": "Why?", "meta": {"criteria": criteria}}
    cases.add_file("ada", "mine.jsonl", json.dumps(case).encode())
    key = cases.draw("ada", FILE, {})[0].key
    assert cases.source_of("ada", key, "Why?", "")["criteria"] == criteria
    assert "criteria" not in str(cases.source_of("ada", key, "Why so?", ""))


def test_a_file_of_cases_belongs_to_its_rater_and_goes_on_after_a_restart_until_another_takes_its_place(
    tmp_path: Path,
) -> None:
    cases, data = lists(tmp_path), b"question,id\nWhy me?,m1\nWhy now?,m2\n"
    cases.add_file("ada", "mine.csv", data)
    assert ("mine.csv (2 cases)", FILE) in cases.choices("ada")
    assert FILE not in [value for _, value in cases.choices("bob")]
    first, seen = cases.draw("ada", FILE, {})
    assert first.question == "Why me?"
    source = cases.source_of("ada", first.key, "Why me?", "")
    assert source["kind"] == "file"
    assert (source["file"], source["id"], source["number"]) == ("mine.csv", "m1", 1)
    again = lists(tmp_path)
    assert ("mine.csv (2 cases)", FILE) in again.choices("ada")
    assert again.draw("ada", FILE, seen)[0].question == "Why now?"
    with pytest.raises(InvalidInput):
        again.add_file("ada", "broken.csv", b"no,such,columns\n1,2,3\n")
    assert again.draw("ada", FILE, seen)[0].question == "Why now?"
    again.add_file("ada", "other.jsonl", b'{"question": "Why them?"}\n')
    assert lists(tmp_path).draw("ada", FILE, seen)[0].question == "Why them?"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_file_that_is_gone_is_said_to_be_and_no_other_list_takes_its_place(tmp_path: Path) -> None:
    assert ("Own file of cases (not here any more)", FILE) in lists(tmp_path).choices("ada", FILE)
    with pytest.raises(InvalidInput, match=r"not here any more\. Choose it again"):
        lists(tmp_path).draw("ada", FILE, {})


def test_a_source_that_nobody_offered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such list"):
        lists(tmp_path).draw("ada", "../etc", {})


def test_a_file_of_5_mb_fits_into_what_the_page_may_send_and_a_larger_one_is_refused_in_one_line() -> None:
    assert 4 * MAX_BYTES / 3 + 1000 < MAX_CHARS
    big = read_action(json.dumps({"do": "file", "name": "big.csv", "size": 50_000_000, "data": ""}))
    with pytest.raises(InvalidInput, match=r"^The file has 50 MB; at most 5 MB are taken: split it\.$"):
        sent_file(big, MAX_BYTES)
    with pytest.raises(InvalidInput, match="Reload the page"):
        sent_file(read_action('{"do": "file", "name": "a.csv", "size": 3, "data": "no base64"}'), MAX_BYTES)


# What the handlers do

REPLY = "<reasoning>\n1. The toe is red and hot, and the pain came at night.\n</reasoning>\n<answer>\n{}\n</answer>"


@dataclass
class Desk:
    """The tab of one rater with two scripted models."""

    app: App
    tab: CompareTab
    do: Handlers
    store: Store

    def ask(self, question: str = "Why the toe?", **more: Any) -> list[dict[Any, Any]]:
        """The frames of a question to both."""
        values: dict[str, Any] = {"blinded": True, "first": "swift", "second": "sluggish", "key": "k1", **more}
        first, second = ([values[name], "", *[None] * N_FIELDS] for name in ("first", "second"))
        return list(self.do.ask(values["key"], "page", question, "", "", values["blinded"], REQUEST, *first, *second))

    def act(self, verb: str, **fields: Any) -> dict[Any, Any]:
        return self.do.act(json.dumps({"do": verb, "comparison": self.comparison_id, **fields}), REQUEST)

    @property
    def comparison_id(self) -> str:
        return self.store.comparisons_of("local")[0].id

    def sides(self, frames: list[dict[Any, Any]]) -> list[tuple[str, str]]:
        """Both columns after each frame."""
        shown, both = {self.tab.left: "", self.tab.right: ""}, []
        for frame in frames:
            shown |= {part: frame[part] for part in shown if isinstance(frame.get(part), str)}
            both.append((shown[self.tab.left], shown[self.tab.right]))
        return both


@contextmanager
def desk(
    folder: Path, draw: int = 0, answers: tuple[str, str] = ("Gout.", "Gout."), fails: bool = False
) -> Iterator[Desk]:
    """Two models, one of them ten times slower; an even draw makes the first model side A."""
    store, settings = store_in(folder), Settings(data_dir=folder, model="swift")
    models = Models(model("swift"), model("sluggish", name="Sluggish XL"))
    scripts = {
        "swift": ScriptedBackend([REPLY.format(answers[0])], delay_s=0.002),
        "sluggish": ScriptedBackend([REPLY.format(answers[1])], delay_s=0.02, fail_after=0 if fails else None),
    }
    panel = PanelService(store, models, lambda spec: scripts[spec.id], NoGrounder(), settings, lambda: draw)
    app = cast(App, SimpleNamespace(
        settings=settings, store=store, catalogue=models, default=models["swift"], panel=panel,
        accounts=Accounts(store, settings),
    ))  # fmt: skip
    with closing(store), closing(panel), gr.Blocks() as page, gr.Tab() as item:
        tab = compare.build(app, page, item)
        yield Desk(app, tab, Handlers(app, tab, lists(folder / "uploads")), store)


@pytest.mark.parametrize("draw", [0, 1])
def test_whatever_the_draw_both_columns_grow_alike_and_name_nobody(tmp_path: Path, draw: int) -> None:
    with desk(tmp_path, draw, ("Swift says gout.", "Swift says gout.")) as it:
        frames = it.ask()

        assert it.store.comparisons_of("local")[0].draw_seed == draw
        for left, right in it.sides(frames):
            assert visible(left)[1:].replace("Stop A", "") == visible(right)[1:].replace("Stop B", "")
        sent = "".join(part for frame in frames for part in frame.values() if isinstance(part, str))
        assert "[model] says gout" in sent
        for telling in ("swift", "sluggish", *it.store.comparisons_of("local")[0].answer_ids):
            assert telling not in sent.casefold()


def test_a_vote_is_kept_reveals_the_names_and_can_be_changed(tmp_path: Path) -> None:
    with desk(tmp_path, draw=1) as it:
        it.ask()
        sent = {"vote": "a", "axes": ["recall=b", "omission="], "reason": "Clearer.", "flags": ["b"], "ms": 4200}

        shown = it.act("vote", key="v1", **sent)
        it.act("vote", key="v1", **sent)

        first = it.store.preference_of("local", it.comparison_id)
        assert first
        assert (first.vote, first.axes, first.reason, first.seconds) == ("a", {"recall": "b"}, "Clearer.", 4.2)
        assert first.flags == {"a": False, "b": True}
        assert first.rubric == AskedRubric(RUBRIC.id, RUBRIC.version, wording_of(RUBRIC))
        assert first.supersedes is None
        assert "Sluggish XL" in shown[it.tab.left]
        assert "Swift" in shown[it.tab.right]
        assert 'data-vote="a" aria-pressed="true"' in it.act("change")[it.tab.bar]
        it.act("vote", key="v2", vote="tie", of=first.id, ms=100)
        second = it.store.preference_of("local", it.comparison_id)
        assert second
        assert (second.vote, second.supersedes) == ("tie", first.id)


@pytest.mark.parametrize(
    "fields",
    [{"vote": "c"}, {"vote": ""}, {"vote": "a", "axes": ["beauty=a"]}, {"vote": "a", "axes": ["recall=both"]},
     {"vote": "a", "flags": ["c"]}, {"vote": "a", "ms": "long"}],
)  # fmt: skip
def test_a_vote_that_the_form_cannot_give_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    with desk(tmp_path) as it:
        it.ask()
        with pytest.raises(gr.Error):
            it.act("vote", key="v1", **{"ms": 0, **fields})
        assert it.store.preference_of("local", it.comparison_id) is None


def test_a_page_that_is_loaded_again_has_the_comparison_and_the_draft(tmp_path: Path) -> None:
    with desk(tmp_path, draw=1) as it:
        it.ask("Why the toe?")
        it.act("draft", vote="b", axes=["recall=a"], reason="Half a thought", ms=1500)

        (shown,) = it.do.restore("page", REQUEST)

        assert shown[it.tab.question] == "Why the toe?"
        assert [shown[picker.model].value for picker in it.tab.pickers] == ["swift", "sluggish"]  # not as drawn
        assert 'data-vote="b" aria-pressed="true"' in shown[it.tab.bar]
        assert 'data-ms="1500"' in shown[it.tab.bar]
        assert "Half a thought" in shown[it.tab.form]
        of_pickers = {picker.described for picker in it.tab.pickers}
        words = "".join(value for part, value in shown.items() if isinstance(value, str) and part not in of_pickers)
        assert "swift" not in words.casefold()
        assert "sluggish" not in words.casefold()


def test_a_draft_that_comes_after_its_vote_is_none(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.ask()
        it.act("vote", key="v1", vote="a", ms=1)
        it.act("draft", vote="b", ms=2)

        (shown,) = it.do.restore("page", REQUEST)

        assert 'data-state="saved"' in shown[it.tab.bar]


def test_one_side_that_fails_leaves_the_other_and_nothing_to_vote_on(tmp_path: Path) -> None:
    with desk(tmp_path, fails=True) as it:
        *_, (left, right) = it.sides(it.ask())

        assert visible(left).startswith("A Swift ")
        assert "Gout." in visible(left)
        assert visible(right).startswith("B Sluggish XL Failed The model stopped unexpectedly")
        (again,) = it.do.restore("page", REQUEST)
        assert visible(again[it.tab.right]).startswith("B Sluggish XL Failed The model stopped unexpectedly")
        assert "A was Swift, B was Sluggish XL" in again[it.tab.status]
        with pytest.raises(gr.Error, match="nothing to compare"):
            it.act("vote", key="v1", vote="a", ms=1)


def test_in_open_mode_names_and_differences_are_there_without_a_vote(tmp_path: Path) -> None:
    with desk(tmp_path, draw=1, answers=("Gout.", "Gout, perhaps.")) as it:
        frames = it.ask(blinded=False)

        assert "Swift" in frames[0][it.tab.left]  # the first model is A, whatever a draw would say
        assert "perhaps</ins>" in frames[-1][it.tab.diff]


def test_a_comparison_that_was_left_is_in_the_list_names_nobody_and_can_be_voted_on(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.ask("Why the first toe?")
        left = it.comparison_id
        it.ask("Why the second toe?", key="k2")
        it.act("vote", key="v1", vote="a", ms=1)
        it.do.draw("page", BUNDLED, REQUEST)

        rows = it.act("mine")[it.tab.mine].split("<li>")[1:]
        assert re.fullmatch(
            r"Why the second toe\? [-\d]+ [:\d]+ UTC · voted: A better · A Swift, B Sluggish XL Open", visible(rows[0])
        )
        assert re.fullmatch(r"Why the first toe\? [-\d]+ [:\d]+ UTC · not voted Open", visible(rows[1]))
        assert f'data-comparison="{left}"' in rows[1]
        (shown,) = it.do.reopen(json.dumps({"do": "open", "comparison": left}), "page", REQUEST)
        assert 'data-state="open"' in shown[it.tab.bar]
        assert shown[it.tab.question] == "Why the first toe?"
        it.act("vote", comparison=left, key="v2", vote="tie", ms=1)
        assert it.store.preference_of("local", left)


def test_what_a_page_lost_is_shown_again_and_confirmed(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.ask()
        shown = it.act("draft", vote="b", reason="A lost thought", ms=1, number="7", show="yes")
        assert 'data-vote="b" aria-pressed="true"' in shown[it.tab.bar]
        assert "A lost thought" in shown[it.tab.form]
        assert 'data-kept="7"' in shown[it.tab.kept]
        voted = it.act("vote", key="v1", vote="b", ms=1, number="8")
        assert 'data-kept="8"' in voted[it.tab.kept]
        late = it.act("draft", vote="a", ms=1, number="9", show="yes")  # the vote came first
        assert it.tab.bar not in late
        assert 'data-kept="9"' in late[it.tab.kept]


def test_both_answers_go_to_the_queue_once(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.ask()
        it.act("vote", key="v1", vote="a", ms=1)
        it.act("send")
        it.act("send")
        assert len(it.store.queue("local").items) == 2


def test_the_next_case_empties_the_columns_and_a_page_loaded_again_has_it(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        it.ask()

        drawn = it.do.draw("page", BUNDLED, REQUEST)

        assert drawn[it.tab.left] == drawn[it.tab.bar] == ""
        assert drawn[it.tab.question].startswith("Which one?")
        (shown,) = it.do.restore("page", REQUEST)
        assert shown[it.tab.question].startswith("Which one?")
        assert shown[it.tab.left] == ""


def test_opening_the_tab_brings_new_models_and_leaves_what_is_chosen(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        cast(Models, it.app.catalogue)["late"] = model("late", path=tmp_path)

        kept, replaced = it.do.refresh_models("swift", "gone", REQUEST)

        assert ("Late · script", "late") in kept.choices
        # What was restored meanwhile would be lost under a value that is sent along.
        assert "value" not in kept.constructor_args
        assert replaced.constructor_args["value"] == "sluggish"


def test_only_what_is_listed_can_be_chosen_and_a_file_that_is_gone_is_asked_for_again(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        for picker in it.tab.pickers:
            with pytest.raises(gr.Error):
                picker.model.preprocess("zzz")
        with pytest.raises(gr.Error, match="Choose it again"):
            it.do.draw("page", cast(str, it.tab.source.preprocess(FILE)), REQUEST)
        it.store.save_draft("local", "compare", {"source": FILE})
        (shown,) = it.do.restore("page", REQUEST)
        assert shown[it.tab.source].value == FILE  # no other list in its place


def test_an_uploaded_file_shows_its_first_case(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        data = base64.b64encode(b'{"question": "Why me?", "context": "<b>old</b>"}\n').decode()
        shown = it.do.upload(json.dumps({"do": "file", "name": "a.jsonl", "size": 40, "data": data}), "page", REQUEST)
        assert (shown[it.tab.question], shown[it.tab.context]) == ("Why me?", "<b>old</b>")
        bad = base64.b64encode(b'{"question": "Why?"}\n{"question": \n').decode()
        with pytest.raises(gr.Error, match="line 2: not JSON"):
            it.do.upload(json.dumps({"do": "file", "name": "a.jsonl", "size": 40, "data": bad}), "page", REQUEST)


@pytest.mark.parametrize("sent", [None, "{", '{"do": "drop"}', '{"do": "stop", "comparison": "c", "side": "c"}'])
def test_what_the_page_never_sends_is_refused(tmp_path: Path, sent: Any) -> None:
    with desk(tmp_path) as it, pytest.raises(gr.Error):
        it.do.act(sent, REQUEST)


def test_the_same_choice_twice_is_refused_and_other_settings_make_it_another(tmp_path: Path) -> None:
    with desk(tmp_path) as it:
        with pytest.raises(gr.Error, match="same model with the same settings"):
            it.ask(second="swift")
        warm = ["swift", "swift", 0.9, 1.0, 0, 0, 2000, 0.0]
        own = ["swift", "swift", 0.0, 1.0, 0, 0, 2000, 0.0]
        frames = list(it.do.ask("k2", "page", "Why?", "", "", True, REQUEST, *own, *warm))
        assert "Gout." in frames[-1][it.tab.left]
