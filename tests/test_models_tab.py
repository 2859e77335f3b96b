"""The Models tab: what its cards say, and what its handlers do, without a browser."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from starlette.datastructures import Headers

from medchat.accounts import LOCAL, RIGHTS, User
from medchat.backends import ModelFacts
from medchat.catalogue import UNFINISHED, Catalogue, Endpoint, HubSource, ModelSpec
from medchat.errors import DownloadFailed, InvalidInput
from medchat.formats import FORMATS
from medchat.hub import Download, Found
from medchat.machine import Fit, Gpu, Machine, fit, free_disk_gb
from medchat.records import Sampling
from medchat.settings import Settings
from medchat.ui import model_cards, model_form, models
from medchat.ui.common import App
from medchat.ui.found_models import unlisted
from medchat.ui.model_cards import Card, card_html, list_html, progress_html
from medchat.ui.model_form import Typed
from medchat.ui.models_handlers import Handlers, Pace, Updates

MACHINE = Machine(memory_gb=16.0, gpu=None, free_gb=8.0)
SPEC = ModelSpec(
    "big", "Big <b>Doctor</b>", "llamacpp", "think", Sampling(max_new_tokens=1024, temperature=0.6, top_p=0.95), 4096,
    "It reasons.", "MIT", ("Reads no images.",), path=Path("/nowhere/big.gguf"),
    hub=HubSource("org/big", file="big.gguf"), parameters=7.2, download_gb=4.4, memory_gb=5.5,
)  # fmt: skip
ENDPOINT = Endpoint("https://host.example/v1", "m", "HOST_KEY")
SERVED = replace(SPEC, id="served", backend="openai", path=None, hub=None, endpoint=ENDPOINT)
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(1)">\''
REQUEST = cast(gr.Request, SimpleNamespace(cookies={}, client=None, headers=Headers()))
RATER = User("r1", "Ann", "rater", RIGHTS["rater"])


class Tags(HTMLParser):
    """The names of the tags and attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def visible(page: str) -> str:
    """The words on the page in one line, without the signs that only decorate."""
    plain = re.sub(r'<span class="mc-sign".*?</span>', "", page)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain))).strip()


def card(spec: ModelSpec = SPEC, **fields: Any) -> Card:
    return Card(spec, fit(spec, MACHINE, 100.0), **fields)


def buttons(page: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<button[^>]*>(.*?)</button>", page)]


# What a card says


def test_a_card_says_what_the_model_is_what_it_needs_and_what_it_cannot_do() -> None:
    words = visible(card_html(card(replace(SPEC, languages=("en", "de"), base="org/base"))))
    for expected in (
        "Big <b>Doctor</b>", "Fits this machine needs 5.5 GB, this machine has 16 GB", "Runs llama.cpp",
        "Parameters 7.2 billion", "Download 4.4 GB", "Memory 5.5 GB", "Answers reasoning and solution apart",
        "Languages English, German", "Licence MIT", "Made from org/base", "Reads no images.", "Temperature 0.6",
        "Top-k all", "at most 1,024 tokens", "4,096 tokens together",
    ):  # fmt: skip
        assert expected in words


def test_a_card_is_short_and_all_else_is_folded_away() -> None:
    page = card_html(card(replace(SPEC, gated=True), managed=True))
    open_part, folded = page.split("<details")
    assert visible(open_part.partition("<h3>")[2]) == (
        "Big <b>Doctor</b> Fits this machine needs 5.5 GB, this machine has 16 GB llama.cpp · 4.4 GB · gated · MIT "
        "Download 4.4 GB"
    )
    assert "Reads no images." in visible(folded)
    assert " open" not in folded.partition(">")[0]


def test_a_server_without_its_key_is_its_name_in_one_line() -> None:
    page = card_html(card(SERVED, has_key=False))
    assert visible(page.partition("<h3>")[2].partition("</summary>")[0]) == "Big <b>Doctor</b> Needs a key"
    assert "Your text leaves this machine" in visible(page)


@pytest.mark.parametrize("name", ["name", "description", "licence", "base", "system_prompt"])
def test_nothing_that_was_written_becomes_markup(name: str) -> None:
    spec = replace(SPEC, limits=(ATTACK,), **{name: ATTACK})  # type: ignore[arg-type]
    page = card_html(card(spec, fault=ATTACK))
    tags = Tags()
    tags.feed(page)
    assert not tags.names & {"script", "img"}
    assert not {name for name in tags.attributes if name.startswith("on")}
    assert ATTACK in html.unescape(page)


def test_a_prompt_stands_there_to_the_letter() -> None:
    prompt = "Question: {question}\n\n  Answer:<think>\n"
    page = card_html(card(replace(SPEC, prompt=prompt, max_input_tokens=512, sampling=Sampling(max_new_tokens=50))))
    inside = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert inside
    assert html.unescape(inside[1]) == prompt
    assert "cut at 512 tokens" in visible(page)
    assert "always the likeliest word" in visible(page)


@pytest.mark.parametrize(
    ("answer_format", "words"), [("diagnosis", "answer only"), ("plain", "answer only"), ("harmony", "apart")]
)
def test_the_answer_format_is_said_in_plain_words(answer_format: str, words: str) -> None:
    assert words in visible(card_html(card(replace(SPEC, answer_format=answer_format))))


def test_every_answer_format_can_be_chosen_by_plain_words() -> None:
    assert model_form.FORMAT_WORDS.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("spec", "group", "verdict"),
    [
        (replace(SPEC, path=Path(__file__)), "here", "Ready to use"),
        (SPEC, "download", "Fits this machine"),
        (replace(SPEC, memory_gb=9.0), "download", "Fits when other programs make room"),
        (replace(SPEC, memory_gb=29.0), "large", "Too large for this machine"),
        (SERVED, "server", "Your text leaves this machine"),
        (replace(SERVED, endpoint=Endpoint("http://127.0.0.1:8000/v1", "m")), "here", "Ready to use"),
        (replace(SPEC, hub=None, own=True), "here", "Its files are gone"),
    ],
)
def test_each_model_stands_in_its_group_with_a_verdict_in_words(spec: ModelSpec, group: str, verdict: str) -> None:
    page = list_html([card(spec)])
    assert f'data-group="{group}"' in page
    assert verdict in visible(page)
    assert 'class="mc-sign" aria-hidden="true"' in page


def test_a_server_says_whether_its_key_is_set_and_never_the_key() -> None:
    without, with_key = card_html(card(SERVED, has_key=False)), card_html(card(SERVED))
    assert "HOST_KEY, not set" in visible(without)
    assert "set HOST_KEY to a key and start MedChat again" in visible(without)
    assert "model-use" not in without
    assert "HOST_KEY, set" in visible(with_key)
    assert "model-use" in with_key


def test_the_page_with_a_gated_models_terms_is_named_as_text_and_nothing_is_fetched_from_it() -> None:
    page = card_html(card(replace(SPEC, gated=True)))
    assert "accept its authors’ terms at https://huggingface.co/org/big" in visible(page)
    assert not re.search(r"<(a|img|link|iframe)\b|href=|src=", page)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"managed": True}, ["Download 4.4 GB"]),
        ({"managed": True, "download": Download("running", 1, 2)}, ["Cancel"]),
        ({"managed": True, "download": Download("cancelled", 1, 2)}, ["Go on with the download of 4.4 GB"]),
        ({"managed": True, "download": Download("cancelled", 0, 0)}, ["Download 4.4 GB"]),
        ({"managed": True, "download": Download("failed", 1, 2, "No network.")}, ["Try again"]),
        ({"managed": True, "fault": "No room."}, ["Try again"]),
        ({"managed": True, "spec": replace(SPEC, memory_gb=29.0)}, []),
        ({"managed": True, "spec": replace(SPEC, path=Path(__file__), own=True)}, ["Use in chat", "Remove"]),
        ({"managed": True, "spec": replace(SPEC, path=Path(__file__), own=True), "is_default": True}, ["Use in chat"]),
        ({"spec": replace(SPEC, path=Path(__file__), own=True)}, ["Use in chat"]),
        ({"managed": True, "spec": SERVED}, ["Use in chat"]),
    ],
)
def test_each_state_has_its_buttons(fields: dict[str, Any], expected: list[str]) -> None:
    assert buttons(card_html(card(**fields))) == expected


def test_who_may_not_fetch_reads_the_command_for_who_may() -> None:
    assert "python -m medchat models fetch big" in visible(card_html(card()))


def test_a_failed_download_is_one_line_on_its_card() -> None:
    page = card_html(card(managed=True, download=Download("failed", 1, 2, "There is no network.")))
    assert '<p class="mc-fault" role="alert">There is no network.</p>' in page


def test_progress_is_told_to_everybody() -> None:
    # 300 of 1,200 MB are 25 %; 2.5e6 bytes a second are 2.5 MB/s.
    page = progress_html(SPEC, Download("running", 300_000_000, 1_200_000_000), 2_500_000.0)
    assert 'role="progressbar"' in page
    assert 'aria-valuenow="25"' in page
    assert visible(page) == "300 MB of 1.2 GB · 2.5 MB/s"


def test_progress_has_no_value_before_the_hub_has_told_the_size() -> None:
    page = progress_html(SPEC, Download("running"))
    assert "aria-valuenow" not in page
    assert visible(page) == "Asking the Hub…"


def test_the_machine_is_told_in_three_numbers() -> None:
    words = visible(model_cards.machine_html(Machine(16.0, Gpu("A card", 24.0, 20.0), 8.0), 78.8, Path("/data/models")))
    assert words == "Memory 16 GB Graphics memory 24 GB Free disk 78.8 GB for /data/models"
    assert "Graphics memory none" in visible(model_cards.machine_html(MACHINE, 1.0, Path("/data")))


def test_the_speed_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.bytes_per_s("a", 0, 10.0) == 0.0
    assert pace.bytes_per_s("a", 1000, 12.0) == 500.0
    # The first look is 7 s old by now and counts no more: (4000 - 1000) / (17 - 12).
    assert pace.bytes_per_s("a", 4000, 17.0) == 600.0
    assert pace.bytes_per_s("b", 9000, 18.0) == 0.0


# What lies in the folders


def test_only_what_is_whole_and_in_no_list_is_offered(tmp_path: Path) -> None:
    for name in ("listed.gguf", "new.gguf", "deep/new.gguf", ".hidden/x.gguf", "folder/config.json",
                 "half/config.json", f"half/{UNFINISHED}", "lora/adapter_config.json", "notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("GGUF" if name.endswith(".gguf") else "")
    (tmp_path / "renamed.gguf").write_text("SQLite format 3")
    listed = {"listed": replace(SPEC, path=tmp_path / "listed.gguf")}

    found = unlisted([tmp_path, tmp_path], listed, "model")

    assert {str(path.relative_to(tmp_path)) for path in found} == {"new.gguf", "deep/new.gguf", "folder"}
    assert tmp_path / "lora" in unlisted([tmp_path], listed, "adapter")


def test_a_folder_that_is_not_there_yet_offers_nothing(tmp_path: Path) -> None:
    assert unlisted([tmp_path / "none"], {}, "model") == []
    assert free_disk_gb(tmp_path / "none" / "below") > 0


# Handlers


class FakeDownloads:
    """Downloads that do as they are told."""

    def __init__(self, models_dir: Path) -> None:
        self.states: dict[str, Download] = {}
        self.fault = ""
        self.models_dir = models_dir

    def look(self, hub: HubSource, *, is_adapter: bool = False) -> Found:
        if self.fault:
            raise DownloadFailed(self.fault)
        return Found(2.5, gated=True)

    def start(self, spec: ModelSpec) -> None:
        if self.fault:
            raise DownloadFailed(self.fault)
        self.states[spec.id] = Download("running", 0, 100)

    def status(self, model_id: str) -> Download | None:
        return self.states.get(model_id)

    def cancel(self, model_id: str) -> None:
        if model_id in self.states:
            self.states[model_id] = Download("cancelled", 50, 100)


class FakeBackends:
    """Backends whose look at a model finds what they were given."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.fault = ""

    def get(self, spec: ModelSpec) -> Any:
        return self

    def check(self) -> ModelFacts:
        if self.fault:
            raise InvalidInput(self.fault)
        return ModelFacts(architecture="llama", parameters=0.5, n_ctx=2048, has_chat_template=True, memory_gb=0.7)

    def forget(self, model_id: str) -> None:
        self.forgotten.append(model_id)


class FakeAccounts:
    """Takes everybody for one user; the audit is a list."""

    def __init__(self, user: User) -> None:
        self._user = user
        self.noted: list[tuple[Any, ...]] = []

    def user_of(self, cookies: dict[str, str]) -> User:
        return self._user

    def address(self, peer: str, forwarded: list[str]) -> str:
        return peer

    def note(self, *what: Any) -> None:
        self.noted.append(what)


class Tab:
    """The tab of an app with fakes, and what its handlers gave by the names of the components."""

    def __init__(self, folder: Path, user: User = LOCAL) -> None:
        self.settings = Settings(folder / "data")
        self.settings.models_dir.mkdir(parents=True)
        self.catalogue = Catalogue(self.settings.models_dir, self.settings.own_models_file)
        self.downloads, self.backends = FakeDownloads(self.settings.models_dir), FakeBackends()
        self.accounts = FakeAccounts(user)
        app = cast(App, SimpleNamespace(
            settings=self.settings, catalogue=self.catalogue, default=self.catalogue.default, machine=lambda: MACHINE,
            downloads=self.downloads, backends=self.backends, accounts=self.accounts,
            store=SimpleNamespace(model=lambda _: None),  # nothing was trained here
        ))  # fmt: skip
        with gr.Blocks():
            self.parts = models._lay_out(app)
        self.do = Handlers(app, self.parts)

    def shown(self, updates: Updates) -> dict[str, Any]:
        names = {id(part): name for name, part in self.parts._asdict().items()}
        names |= {id(part): name for name, part in self.parts.form._asdict().items()}
        names |= {id(part): name for name, part in zip(Typed._fields, self.parts.form.fields, strict=True)}
        return {names[id(part)]: value for part, value in updates.items()}

    def act(self, verb: str, model_id: str) -> dict[str, Any]:
        return self.shown(self.do.act(f'{{"do": "{verb}", "model": "{model_id}"}}', REQUEST))

    def tick(self, watched: str) -> dict[str, Any]:
        return self.shown(self.do.tick(watched, REQUEST))

    def add(self, **typed: str) -> Iterator[dict[str, Any]]:
        values = Typed(*(typed.get(name) for name in Typed._fields))
        return map(self.shown, self.do.add(REQUEST, *values))

    def card(self, shown: dict[str, Any], model_id: str) -> str:
        found = re.search(rf'<article[^>]*data-model="{re.escape(model_id)}".*?</article>', shown["list"], re.DOTALL)
        return found[0] if found else ""


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


def test_the_page_follows_a_download_only_as_long_as_it_runs(tab: Tab) -> None:
    started = tab.act("model-fetch", "gemma-3-1b-it-gguf")
    assert (started["watched"], started["timer"].active) == ("gemma-3-1b-it-gguf", True)
    assert buttons(tab.card(started, "gemma-3-1b-it-gguf")) == ["Cancel"]

    news = tab.tick("gemma-3-1b-it-gguf")
    assert news.keys() == {"progress"}
    assert 'data-model="gemma-3-1b-it-gguf"' in news["progress"]

    tab.downloads.states["gemma-3-1b-it-gguf"] = Download("failed", 50, 100, "The network is gone.")
    ended = tab.tick("gemma-3-1b-it-gguf")
    assert (ended["watched"], ended["timer"].active) == ("", False)
    assert "failed" in visible(ended["status"])
    assert "The network is gone." in visible(tab.card(ended, "gemma-3-1b-it-gguf"))


def test_a_download_that_cannot_begin_says_so_on_its_card(tab: Tab) -> None:
    tab.downloads.fault = "There is no room."
    shown = tab.act("model-fetch", "gemma-3-1b-it-gguf")
    assert "There is no room." in visible(tab.card(shown, "gemma-3-1b-it-gguf"))
    assert not shown["timer"].active


def test_a_cancelled_download_can_go_on(tab: Tab) -> None:
    tab.act("model-fetch", "gemma-3-1b-it-gguf")
    shown = tab.act("model-cancel", "gemma-3-1b-it-gguf")
    assert buttons(tab.card(shown, "gemma-3-1b-it-gguf")) == ["Go on with the download of 810 MB"]


def test_a_model_of_the_hub_is_listed_fetched_and_then_looked_at(tab: Tab) -> None:
    *_, added = tab.add(kind="hub", repo="org/new", file="new.gguf", name="New")
    assert "New was added. Download it next." in visible(added["status"])
    assert 'data-goto="new"' in added["status"]
    path = cast(Path, tab.catalogue["new"].path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    tab.downloads.states["new"] = Download("done", 100, 100)

    shown = tab.tick("new")

    assert "New is here" in visible(shown["status"])
    assert tab.catalogue["new"].memory_gb == 0.7
    assert "500 million" in visible(tab.card(shown, "new"))


def test_what_the_hub_does_not_have_is_not_listed(tab: Tab) -> None:
    before = list(tab.catalogue)
    tab.downloads.fault = "The Hub has no org/new."
    asking, failed = tab.add(kind="hub", repo="org/new")

    assert "Asking the Hub" in visible(asking["told"])
    assert visible(failed["told"]) == "org/new was not added, for it is checked first. The Hub has no org/new."
    assert list(tab.catalogue) == before


def test_a_download_that_was_cancelled_before_anything_came_keeps_nothing(tab: Tab) -> None:
    tab.act("model-fetch", "gemma-3-1b-it-gguf")
    tab.downloads.cancel = lambda model_id: tab.downloads.states.update({model_id: Download("cancelled")})  # type: ignore[method-assign]
    shown = tab.act("model-cancel", "gemma-3-1b-it-gguf")

    assert visible(shown["status"]).endswith("was cancelled.")
    assert buttons(tab.card(shown, "gemma-3-1b-it-gguf")) == ["Download 810 MB"]


def test_a_fetched_model_that_cannot_be_used_says_why_on_its_card(tab: Tab) -> None:
    list(tab.add(kind="hub", repo="org/new", file="new.gguf", name="New"))
    path = cast(Path, tab.catalogue["new"].path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    tab.downloads.states["new"] = Download("done", 100, 100)
    tab.backends.fault = "Its tokenizer does not fit."

    shown = tab.tick("new")

    assert "cannot be used" in visible(shown["status"])
    assert "Its tokenizer does not fit." in visible(tab.card(shown, "new"))
    with pytest.raises(gr.Error, match="does not fit"):
        tab.do.use('{"do": "use", "model": "new"}', REQUEST)


def test_what_was_typed_stays_when_the_check_fails_and_goes_when_it_succeeds(tab: Tab) -> None:
    path = tab.settings.models_dir / "own.gguf"
    path.write_bytes(b"GGUF")
    tab.backends.fault = "It is damaged."
    checking, failed = tab.add(kind="file", path=str(path))
    assert "Looking at the model" in visible(checking["told"])
    assert failed.keys() == {"told"}
    assert visible(failed["told"]) == "It is damaged."

    tab.backends.fault = ""
    _, added = tab.add(kind="file", path=str(path))
    assert (added["path"], added["told"]) == ("", "")
    assert tab.catalogue["own"].own
    assert "Ready to use" in visible(tab.card(added, "own"))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"kind": "file", "path": "/etc/passwd"}, "Only what lies in"),
        ({"kind": "file"}, "Give the path"),
        ({"kind": "file", "path": "{data}/medchat.db"}, "'medchat.db' is no GGUF file; give one, or a folder"),
        ({"kind": "adapter", "path": "x"}, "as its base"),
        ({"kind": "server", "url": "https://host.example/v1"}, "name on the server"),
        ({"kind": "server", "url": "https://h.example/v1", "served_name": "m", "key_variable": "sk-abc"}, "like a key"),
        ({"kind": "hub", "repo": "nothing"}, "OWNER/NAME"),
        ({"kind": "other"}, "Reload the page"),
    ],
)
def test_what_cannot_be_added_is_one_line_in_the_form(tab: Tab, typed: dict[str, str], told: str) -> None:
    (tab.settings.data_dir / "medchat.db").write_text("SQLite format 3")
    *_, shown = tab.add(**{name: value.replace("{data}", str(tab.settings.data_dir)) for name, value in typed.items()})
    assert told in visible(shown["told"])
    assert shown.keys() == {"told"}


def test_a_removed_model_is_freed_and_its_file_stays(tab: Tab) -> None:
    path = tab.settings.models_dir / "own.gguf"
    path.write_bytes(b"GGUF")
    list(tab.add(kind="file", path=str(path)))

    shown = tab.act("model-remove", "own")

    assert "own" not in tab.catalogue
    assert tab.backends.forgotten[-1] == "own"
    assert path.is_file()
    assert "files stay" in visible(shown["status"])


def test_use_chooses_the_model_and_leads_to_the_chat(tab: Tab) -> None:
    tabs, picker = tab.do.use('{"do": "use", "model": "demo-base"}', REQUEST)
    assert (tabs.selected, picker.value) == ("chat", "demo-base")
    with pytest.raises(gr.Error, match="not here yet"):
        tab.do.use('{"do": "use", "model": "gemma-3-1b-it-gguf"}', REQUEST)


def test_a_rater_sees_the_models_and_can_change_nothing(tmp_path: Path) -> None:
    tab = Tab(tmp_path, RATER)
    shown = tab.shown(tab.do.refresh(REQUEST))
    assert shown["box"].visible is False
    assert set(buttons(shown["list"])) == {"Use in chat"}
    for attempt in (
        lambda: tab.act("model-fetch", "gemma-3-1b-it-gguf"),
        lambda: tab.act("model-remove", "demo"),
        lambda: list(tab.add(kind="hub", repo="org/new")),
        lambda: tab.do.offer("file", REQUEST),
        lambda: tab.do.choose_kind("hub", REQUEST),
    ):
        with pytest.raises(gr.Error, match="Your role, rater, does not allow this"):
            attempt()
    assert not tab.downloads.states
    assert [action for _, action, *_ in tab.accounts.noted] == ["call refused"] * 5


def test_what_is_done_to_models_is_audited(tab: Tab) -> None:
    list(tab.add(kind="hub", repo="org/new", file="new.gguf", name="Chain"))
    tab.act("model-remove", "chain")
    tab.act("model-fetch", "gemma-3-1b-it-gguf")
    assert [(actor, action, target) for actor, action, target, *_ in tab.accounts.noted] == [
        ("local", "model added", "chain"),
        ("local", "model removed", "chain"),
        ("local", "model download", "gemma-3-1b-it-gguf"),
    ]


@pytest.mark.parametrize("sent", ["", "[]", '{"do": "model-fly", "model": "demo"}', '{"do": "model-fetch"}', None])
def test_what_the_page_cannot_have_sent_is_refused(tab: Tab, sent: str | None) -> None:
    with pytest.raises(gr.Error):
        tab.do.act(sent, REQUEST)


def test_a_bundled_model_cannot_be_removed(tab: Tab) -> None:
    for model_id in ("demo", "demo-base"):
        with pytest.raises(gr.Error):
            tab.act("model-remove", model_id)
    assert {"demo", "demo-base"} <= tab.catalogue.keys()


def test_an_adapter_is_offered_the_models_that_are_here_as_its_base(tab: Tab) -> None:
    names = {value for _, value in tab.shown(tab.do.offer("adapter", REQUEST))["base"].choices}
    assert names == {"demo", "demo-base"}
    assert "gemma-3-1b-it" in {value for _, value in tab.shown(tab.do.offer("hub", REQUEST))["base"].choices}


def test_a_verdict_of_another_state_has_words_and_a_look() -> None:
    for state in ("here", "fits", "tight", "too_large", "external"):
        page = card_html(Card(SPEC, Fit(state, "because")))
        assert "because" in visible(page)
