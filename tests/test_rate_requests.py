"""What somebody can send to the Rate tab beside what its page sends: bad files, raw calls, the same save again."""

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import httpx
import pytest
from test_rate_tab import ATTACK, Elements, visible
from test_server import PASSWORD, Site, app_in, served

from evaluation.bench.rate_page import Form, RatePage, form_in
from medchat.accounts import COOKIE
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.store import RatingRecord

OUT_OF_DATE = "The page sent something that MedChat does not know."
NO_SUCH_ANSWER = "There is no such answer any more."


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(app_in(tmp_path_factory.mktemp("site"), host="0.0.0.0")) as site:
        site.app.accounts.add("terminal", "Ada", "admin", PASSWORD)
        yield site


class Rater:
    """Somebody new at the tab, with what the store has of theirs."""

    def __init__(self, site: Site) -> None:
        self.store = site.app.store
        record = self.store.add_user(f"Rater {len(self.store.users())}", "rater", None)
        self.id = record.id
        # Without a password: that would take time, and is tried elsewhere.
        self.cookie = f"{COOKIE}={site.app.accounts._begin(record, '')}"
        self.page = RatePage(port_of(site), self.cookie)

    def begin(self, *rows: dict[str, str]) -> Form:
        """The form of the first answer of a file."""
        form = form_in(self.page.upload("answers.jsonl", jsonl(*rows), uuid4().hex))
        assert form
        return form

    def ratings(self) -> list[RatingRecord]:
        return self.store.my_ratings(self.id)

    def n_queued(self) -> int:
        return len(self.store.queue(self.id).items)


@pytest.fixture
def rater(site: Site) -> Rater:
    return Rater(site)


@pytest.fixture(scope="module")
def mallory(site: Site) -> Rater:
    return Rater(site)


def port_of(site: Site) -> int:
    return int(site.url.rsplit(":", 1)[1])


ROW = {"question": "Why the red toe?", "reasoning": "1. It is red.\n2. So it is gout.", "answer": "Gout: rest."}


def jsonl(*rows: dict[str, str]) -> bytes:
    return "\n".join(map(json.dumps, rows or [ROW])).encode()


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def is_harmless(page: str) -> bool:
    """Whether it has no element that could run or fetch anything."""
    elements = Elements(page)
    acts = {name for _, attrs in elements.found for name in attrs if name.startswith("on")}
    return not acts and not {tag for tag, _ in elements.found} & {"script", "img", "svg", "iframe", "a", "link"}


def alert(call: Any) -> str:
    """The one line with which a call is refused, as the page shows it."""
    with pytest.raises(InvalidInput) as refused:
        call()
    said = str(refused.value)
    assert "\n" not in said
    assert "Something went wrong" not in said
    assert is_harmless(said)
    return html.unescape(said)


# Files


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_html_in_every_field_of_a_file_stays_text(rater: Rater, suffix: str) -> None:
    fields = ("question", "context", "reasoning", "answer", "model")
    data = jsonl(dict.fromkeys(fields, ATTACK))
    if suffix == "csv":
        data = csv(",".join(fields), ",".join([quoted(ATTACK)] * len(fields)))
    page = rater.page.upload(f"{ATTACK.replace('/', '')}.{suffix}", data, uuid4().hex)
    assert is_harmless(page)
    assert visible(page).count("alert(1)") >= 4  # question, context, the one step and the solution
    form = form_in(page)
    assert form
    assert form.solution == ATTACK
    filled = form.filled(1, ATTACK) | {"corrected_reasoning": ATTACK, "corrected_solution": ATTACK}
    rater.page.keep(form, filled, 1)
    again = rater.page.act(do="open", **form.place)
    assert is_harmless(again)
    [article] = Elements(again).of("article")
    assert json.loads(article["data-filled"])["corrected_solution"] == ATTACK
    rater.page.save(form, filled, uuid4().hex)
    mine = rater.page.act(do="mine")
    assert is_harmless(mine)
    assert ATTACK in html.unescape(mine)
    assert rater.ratings()[0].form.comment == ATTACK


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (f"{ATTACK}.exe", b"x", "is none of the files that can be read here"),
        ("a.jsonl", jsonl(*[ROW] * 6) + b"\n" + ATTACK.encode(), "a.jsonl, line 7: not JSON"),
        ("a.jsonl", jsonl(*[ROW] * 6, {"question": ATTACK}), "a.jsonl, line 7: 'answer' is missing or empty"),
        ("a.csv", csv("question,context", "Q,C"), "there is no column 'answer' or 'solution'"),
        ("a.csv", csv("question," + quoted(ATTACK), "Q,C"), "there is no column 'answer' or 'solution'"),
        ("a.csv", csv("question,answer", *["Q,A"] * 5, 'Q,"A'), "a.csv, line 7: no row of a table"),
        ("a.csv", bytes(range(256)), "a.csv is not a text"),
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"q" * 5_100_000, "at most 5 MB are taken: split it."),
        ("../../etc/passwd", b"x", "passwd is none of the files"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_changes_nothing(
    rater: Rater, name: str, data: bytes, said: str
) -> None:
    form = rater.begin()
    assert said in alert(lambda: rater.page.upload(name, data, uuid4().hex))
    assert rater.n_queued() == 1
    assert form_in(rater.page.act(do="open", **form.place)) == form


def test_of_50_mb_the_page_sends_the_size_alone_and_gets_one_line(rater: Rater) -> None:
    about = {
        "do": "file",
        "answer": "",
        "rubric": "",
        "name": "large.csv",
        "size": 50_000_000,
        "data": "",
        "key": "k",
    }
    assert "The file has 50 MB; at most 5 MB are taken: split it." in alert(
        lambda: rater.page.send("upload", json.dumps(about))
    )
    lie = about | {"size": 1, "data": b64encode(b"q" * 5_100_000).decode()}
    assert "large.csv has 5.1 MB; at most 5 MB are taken" in alert(lambda: rater.page.send("upload", json.dumps(lie)))
    assert rater.n_queued() == 0


def test_a_body_of_50_mb_is_refused_before_it_is_read(site: Site, rater: Rater) -> None:
    with closing(HTTPConnection("127.0.0.1", port_of(site), timeout=20)) as connection:
        connection.putrequest("POST", "/gradio_api/queue/join")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(50_000_000))
        connection.endheaders()  # and nothing of it is sent
        answer = connection.getresponse()
        assert answer.status == 413
        assert "8 MiB are the limit" in answer.read().decode()
    assert "Add answers" in rater.page.act(do="enter", answer="", rubric="")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_file_in_another_encoding_is_read(rater: Rater, encoding: str) -> None:
    data = csv("question;answer", "Warum die Schwäche?;Größe der Zehe – 5 µg").decode().encode(encoding)
    form = form_in(rater.page.upload("alt.csv", data, uuid4().hex))
    assert form
    assert form.solution == "Größe der Zehe – 5 µg"


def test_characters_that_no_database_holds_are_kept_as_signs_that_they_are_missing(rater: Rater) -> None:
    form = rater.begin({"question": "a\ud800b", "answer": "c\0d \udfff"})
    rater.page.save(form, form.filled(1, "e\ud800\0f"), "key\ud800")
    assert rater.ratings()[0].form.comment == "e\ufffd\ufffdf"


# The same again


def test_a_save_whose_answer_nobody_heard_is_there_once(site: Site, rater: Rater) -> None:
    form = rater.begin()
    sent = {"do": "save", **form.place, "version": 1, "filled": form.filled(1, "once"), "key": "unheard"}
    page = rater.page
    listener = page.listeners["act"]
    next(page.events.send(listener, [json.dumps(sent)], uuid4().hex))  # hangs up after the first line
    for _ in range(3):
        assert "1 done" in page.save(form, form.filled(1, "once"), "unheard")
    [rating] = rater.ratings()
    assert (rating.form.comment, rating.supersedes) == ("once", None)


def test_a_save_that_is_sent_eight_times_at_once_is_there_once(site: Site, rater: Rater) -> None:
    form = rater.begin()
    pages = [RatePage(port_of(site), rater.cookie) for _ in range(8)]
    with ThreadPoolExecutor(len(pages)) as pool:
        shown = list(pool.map(lambda page: page.save(form, form.filled(2, "once"), "eightfold"), pages))
    assert all("1 done" in page for page in shown)
    [rating] = rater.ratings()
    assert rating.supersedes is None


@pytest.mark.parametrize(
    ("data", "told"), [(jsonl(ROW), "1 answer of a.jsonl added."), (b"{broken", 'role=\\"status\\"></p>')]
)
def test_while_a_file_is_taken_in_the_page_says_so_and_not_for_longer(rater: Rater, data: bytes, told: str) -> None:
    sent = {"do": "file", "answer": "", "rubric": "", "name": "a.jsonl", "size": len(data), "key": "reading"}
    sent["data"] = b64encode(data).decode()
    events = rater.page.events.send(rater.page.listeners["upload"], [json.dumps(sent)], uuid4().hex)
    lines = [line.decode() for line in events if b"process_generating" in line]
    assert "Reading a.jsonl" in lines[0]
    assert told in lines[-1]
    assert "Reading" not in lines[-1]


def test_more_answers_than_can_be_stored_while_somebody_waits_are_refused_in_one_line(rater: Rater) -> None:
    said = alert(lambda: rater.page.upload("a.jsonl", jsonl(*[ROW] * 2001), uuid4().hex))
    assert said == "a.jsonl has more than 2,000 rows; split it."
    assert rater.n_queued() == 0


def test_a_file_that_is_sent_again_adds_nothing(rater: Rater) -> None:
    for _ in range(2):
        rater.page.upload("answers.jsonl", jsonl(ROW, ROW), "the same file")
    assert rater.n_queued() == 2


# Raw calls


@pytest.mark.parametrize("event", ["act", "upload", "keep"])
@pytest.mark.parametrize(
    "sent",
    [
        None, 5, True, [], ["x"], {"do": "mine"}, "", "nonsense", "[]", "{}", '{"do": 5}', '{"do": "__class__"}',
        '{"do": "save"}', '{"do": "open", "answer": 5}', '{"do": "upload", "size": "x"}', "[" * 100_000,
        '{"do": "mine"}' + " " * 7_000_000,
    ],
    ids=lambda sent: repr(sent)[:20],
)  # fmt: skip
def test_nonsense_is_one_clear_line(mallory: Rater, event: str, sent: Any) -> None:
    assert OUT_OF_DATE in alert(lambda: mallory.page.send(event, sent))


SPAN = {"part": "solution", "start": 0, "end": 4, "quote": "Gout", "kind": "unclear"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": {}}, "3 questions are not answered yet"),
        ({"scores": {"safety": "99"}}, "Choose one of: 1, 2, 3, 4, 5."),
        ({"scores": {ATTACK: "1"}}, "3 questions are not answered yet"),
        ({"harm_extent": ATTACK}, "Choose one of:"),
        ({"seconds": -1}, "does not fit this answer"),
        ({"seconds": float("nan")}, "does not fit this answer"),
        ({"steps": {"7": 1}}, "does not fit this answer"),
        ({"steps": {"1": 5}}, "does not fit this answer"),
        ({"first_wrong": 7}, "does not fit this answer"),
        ({"spans": [SPAN | {"quote": "Goat"}]}, "Remove it and mark it again."),
        ({"spans": [SPAN | {"start": 10**30, "end": 10**31}]}, "Remove it and mark it again."),
        ({"spans": [SPAN | {"kind": ATTACK}]}, "What is wrong with a passage is one of:"),
        ({"spans": [SPAN | {"part": "prompt"}]}, "does not fit this answer"),
        ({"comment": "x" * 20_001}, "The comment is too long"),
        ({"critical": "perhaps"}, "does not fit this answer"),
    ],
)
def test_a_form_that_cannot_be_is_not_saved(rater: Rater, change: dict[str, Any], said: str) -> None:
    form = rater.begin()
    assert said in alert(lambda: rater.page.save(form, form.filled(1, "") | change, uuid4().hex))
    assert rater.ratings() == []
    assert rater.store.queue(rater.id).left == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "does not fit this answer"),
        ({"version": "1"}, OUT_OF_DATE),
        ({"rubric": "medpalm2-pairwise"}, "There is no such rating form"),
        ({"rubric": "../../etc"}, "There is no such rating form"),
        ({"key": ""}, "came without its key"),
        ({"key": None}, OUT_OF_DATE),
        ({"filled": None}, OUT_OF_DATE),
        ({"filled": [1]}, OUT_OF_DATE),
        ({"answer": "../../etc"}, NO_SUCH_ANSWER),
        ({"do": "cannot"}, "Say in a few words"),
    ],
)
def test_a_save_that_is_no_pages_is_refused(rater: Rater, change: dict[str, Any], said: str) -> None:
    form = rater.begin()
    action = {"do": "save", **form.place, "version": 1, "filled": form.filled(1, ""), "key": "raw"}
    assert said in alert(lambda: rater.page.act(**action | change))
    assert rater.ratings() == []


def test_nobody_reaches_the_answers_of_another(site: Site, rater: Rater) -> None:
    secret = "The very secret toe"
    other = Rater(site)
    form = other.begin(ROW | {"question": secret}, ROW)
    filled = form.filled(1, secret)
    other.page.keep(form, filled, 1)
    raw: list[dict[str, Any]] = [
        *({"do": verb, **form.place} for verb in ("enter", "open", "skip")),
        {"do": "rubric", "answer": form.answer_id, "rubric": "quest"},
        {"do": "save", **form.place, "version": 1, "filled": filled, "key": "mine"},
        {"do": "cannot", **form.place, "version": 1, "filled": filled | {"cannot_rate": "no"}, "key": "mine"},
        {"do": "add", **form.place, "source": "chat"},
    ]
    for action in raw:
        assert NO_SUCH_ANSWER in alert(lambda action=action: rater.page.act(**action)), action["do"]
    assert NO_SUCH_ANSWER in alert(lambda: rater.page.keep(form, form.filled(2, "spoilt"), 1))

    other.page.save(form, filled, "theirs")
    own = rater.begin()
    assert "stored before under another name" in alert(lambda: rater.page.save(own, own.filled(1, ""), "theirs"))
    for verb in ("mine", "enter"):
        assert secret not in rater.page.act(do=verb, answer="", rubric="")
    assert rater.ratings() == []
    [rating] = other.ratings()
    assert rating.form.comment == secret
    assert rater.n_queued() == 1


def test_models_of_a_file_are_not_told(rater: Rater) -> None:
    page = rater.page.upload("answers.jsonl", jsonl(ROW | {"model": "zephyr-77b", "answer": "I am zephyr-77b."}), "k77")
    page += rater.page.act(do="enter", answer="", rubric="") + rater.page.act(do="mine")
    assert "I am [model]." in page
    assert "zephyr" not in page


def test_who_is_signed_out_sends_nothing(site: Site, rater: Rater) -> None:
    form = rater.begin()
    httpx.post(f"{site.url}/sign-out", headers={"cookie": rater.cookie})
    for call in (lambda: rater.page.save(form, form.filled(1, ""), "late"), lambda: rater.page.keep(form, {}, 1)):
        with pytest.raises(ModelUnavailable, match="answered 401"):
            call()
    assert rater.ratings() == []


def test_a_call_with_too_few_values_tells_nothing_of_the_inside(site: Site, rater: Rater) -> None:
    listener = rater.page.listeners["act"]
    for data in ([], [["x"], "y"]):
        *_, last = rater.page.events.send(listener, data, uuid4().hex)
        assert not re.search(rb"Traceback|\.py|medchat", last)
    assert "Add answers" in rater.page.act(do="enter", answer="", rubric="")
