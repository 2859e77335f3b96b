"""Models of the Hub: fetched, cancelled, resumed; and one clear line for all that goes wrong."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fake_hub import COMMIT, FakeHub

from medchat.catalogue import HubSource, ModelSpec
from medchat.errors import DownloadFailed
from medchat.hub import Download, Downloads, Found
from medchat.records import Sampling

TOKEN = "hf_sEcReT0123456789"
WEIGHTS = bytes(range(256)) * 3000  # 768,000 bytes, sent as 39 chunks
FOLDER = {
    "README.md": b"# A model",
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"old" * 1000,
    "onnx/model.safetensors": b"other" * 1000,
    "training_args.bin": b"args",
}
REPOS = {
    "org/folder": FOLDER,
    "org/old": {"config.json": b"{}", "vocab.json": b"{}", "pytorch_model.bin": b"old" * 1000, "optimizer.bin": b"x"},
    "org/files": {"small-q4.gguf": b"GGUF" * 50_000, "large-q8.gguf": b"GGUF" * 90_000, "README.md": b"# Files"},
    "org/adapter": {"adapter_config.json": b"{}", "adapter_model.safetensors": b"lora" * 500, "optimizer.pt": b"x"},
    "org/empty": {"README.md": b"# Nothing"},
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(REPOS) as server:
        yield server


@pytest.fixture
def downloads(hub: FakeHub, tmp_path: Path) -> Iterator[Downloads]:
    made = Downloads(tmp_path, lambda: "", hub.endpoint)
    yield made
    made.close()


def model(path: Path, repo: str = "org/folder", file: str = "", revision: str = "main") -> ModelSpec:
    return ModelSpec(
        id="it", name="It", backend="llamacpp" if file else "transformers", answer_format="think",
        sampling=Sampling(), n_ctx=1024, description="", licence="", limits=(), path=path,
        hub=HubSource(repo, revision, file),
    )  # fmt: skip


def wait(downloads: Downloads, until: Callable[[Download], bool] = lambda it: it.state != "running") -> Download:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = downloads.status("it")
        assert status is not None
        if until(status):
            return status
        assert status.state == "running", status
        time.sleep(0.02)
    raise AssertionError("the download takes too long")


def fetch(downloads: Downloads, spec: ModelSpec) -> Download:
    downloads.start(spec)
    return wait(downloads)


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_gets_what_loading_needs_and_nothing_else(downloads: Downloads, tmp_path: Path) -> None:
    spec = model(tmp_path / "it")
    done = fetch(downloads, spec)

    wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors"}
    total = sum(len(FOLDER[name]) for name in wanted)
    assert done == Download("done", total, total)
    assert names_in(tmp_path / "it") == wanted
    assert all((tmp_path / "it" / name).read_bytes() == FOLDER[name] for name in wanted)
    assert spec.is_here


def test_bin_files_come_only_where_there_is_no_safetensors(downloads: Downloads, tmp_path: Path) -> None:
    assert fetch(downloads, model(tmp_path / "it", "org/old")).state == "done"
    assert names_in(tmp_path / "it") == {"config.json", "vocab.json", "pytorch_model.bin"}


def test_of_gguf_files_only_the_chosen_one_comes(downloads: Downloads, tmp_path: Path) -> None:
    path = tmp_path / "files" / "small-q4.gguf"
    assert fetch(downloads, model(path, "org/files", path.name)).state == "done"
    assert path.read_bytes() == REPOS["org/files"][path.name]
    assert names_in(path.parent) == {path.name}


def test_an_adapter_comes_with_its_base_unless_that_is_here(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    spec = replace(model(tmp_path / "base"), adapter=tmp_path / "lora", adapter_hub=HubSource("org/adapter"))
    assert fetch(downloads, spec).state == "done"
    assert (tmp_path / "base" / "model.safetensors").is_file()
    assert names_in(tmp_path / "lora") == {"adapter_config.json", "adapter_model.safetensors"}

    hub.seen.clear()
    other = replace(spec, adapter=tmp_path / "other")
    assert fetch(downloads, other).state == "done"
    assert other.is_here
    assert not [seen for seen in hub.seen if "org/folder" in seen.path]


def test_while_it_comes_it_is_not_here_and_says_how_far_it_is(
    downloads: Downloads, hub: FakeHub, tmp_path: Path
) -> None:
    hub.chunk_delay_s = 0.03
    spec = model(tmp_path / "it")
    downloads.start(spec)
    half = wait(downloads, lambda it: it.done_bytes > len(WEIGHTS) // 2)

    assert half.total_bytes > len(WEIGHTS)
    assert not spec.is_here
    assert wait(downloads).state == "done"


def test_after_a_cancel_only_the_rest_is_asked_for(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.03
    spec = model(tmp_path / "it")
    downloads.start(spec)
    wait(downloads, lambda it: it.done_bytes > 200_000)
    started = time.monotonic()
    downloads.cancel("it")
    assert time.monotonic() - started < 2
    cancelled = downloads.status("it")
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert not spec.is_here

    hub.chunk_delay_s = 0
    hub.seen.clear()
    assert fetch(downloads, spec).state == "done"
    (again,) = hub.asked_for("model.safetensors")
    assert int(again.range.removeprefix("bytes=").removesuffix("-")) >= 200_000
    assert not hub.asked_for("config.json")
    assert (tmp_path / "it" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_that_sends_all_again_does_no_harm(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.03
    path = tmp_path / "large-q8.gguf"
    downloads.start(model(path, "org/files", path.name))
    wait(downloads, lambda it: it.done_bytes > 100_000)
    downloads.cancel("it")

    hub.chunk_delay_s = 0
    hub.ignores_range = True
    size = len(REPOS["org/files"][path.name])
    assert fetch(downloads, model(path, "org/files", path.name)) == Download("done", size, size)
    assert path.read_bytes() == REPOS["org/files"][path.name]


def test_a_connection_that_breaks_now_and_then_is_taken_up_again(
    downloads: Downloads, hub: FakeHub, tmp_path: Path
) -> None:
    hub.cut_after = 300_000
    assert fetch(downloads, model(tmp_path / "it")).state == "done"
    assert [seen.range for seen in hub.asked_for("model.safetensors")] == ["", "bytes=300000-", "bytes=600000-"]


@pytest.mark.slow
def test_a_connection_that_stays_broken_keeps_what_came(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.03
    spec = model(tmp_path / "it")
    downloads.start(spec)
    wait(downloads, lambda it: it.done_bytes > 100_000)
    hub.cut_after = 0
    downloads.cancel("it")

    failed = fetch(downloads, spec)
    assert failed.state == "failed"
    assert "connection broke" in failed.error
    assert "What was fetched is kept: start it again to go on." in failed.error
    hub.cut_after = None
    assert fetch(downloads, spec).state == "done"
    assert hub.asked_for("model.safetensors")[-1].range


@pytest.mark.parametrize("fault", ["corrupted", "lengthened"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_hub_listed_is_thrown_away(
    downloads: Downloads, hub: FakeHub, tmp_path: Path, fault: str, name: str
) -> None:
    getattr(hub, fault).add(name)
    spec = model(tmp_path / "it")
    failed = fetch(downloads, spec)

    assert failed.state == "failed"
    assert f"{name} arrived damaged" in failed.error
    assert not spec.is_here
    getattr(hub, fault).clear()
    assert fetch(downloads, spec).state == "done"
    assert (tmp_path / "it" / name).read_bytes() == FOLDER[name]


def test_a_file_of_another_revision_is_replaced(downloads: Downloads, tmp_path: Path) -> None:
    (tmp_path / "it" / ".unfinished").mkdir(parents=True)
    (tmp_path / "it" / "config.json").write_bytes(FOLDER["config.json"][::-1])
    assert fetch(downloads, model(tmp_path / "it")).state == "done"
    assert (tmp_path / "it" / "config.json").read_bytes() == FOLDER["config.json"]


@pytest.mark.parametrize(("repo", "file", "revision", "words"), [
    ("org/none", "", "main", "The Hub has no org/none"),
    ("org/folder", "", "v9", "org/folder has no revision 'v9'"),
    ("org/files", "none.gguf", "main", "org/files has no file 'none.gguf'"),
    ("org/empty", "", "main", "org/empty holds no model that transformers can load"),
])  # fmt: skip
def test_what_is_not_on_the_hub_is_named(
    downloads: Downloads, tmp_path: Path, repo: str, file: str, revision: str, words: str
) -> None:
    failed = fetch(downloads, model(tmp_path / "it", repo, file, revision))
    assert failed.state == "failed"
    assert words in failed.error


def test_a_listed_file_that_is_gone_and_an_adapter_that_is_none_are_named(
    downloads: Downloads, hub: FakeHub, tmp_path: Path
) -> None:
    hub.gone.add("model.safetensors")
    assert "no longer has a file" in fetch(downloads, model(tmp_path / "it")).error
    spec = replace(model(tmp_path / "it", "org/old"), adapter=tmp_path / "a", adapter_hub=HubSource("org/folder"))
    assert "org/folder holds no adapter" in fetch(downloads, spec).error


@pytest.mark.parametrize(("status", "words"), [
    (429, "no more requests for now"), (503, "fault (HTTP 503)"), (403, "refuses access to org/folder"),
    (418, "HTTP 418"),
])  # fmt: skip
@pytest.mark.parametrize("place", ["api_status", "file_status"])
def test_a_hub_that_refuses_says_why_in_one_line(
    downloads: Downloads, hub: FakeHub, tmp_path: Path, status: int, words: str, place: str
) -> None:
    setattr(hub, place, status)
    failed = fetch(downloads, model(tmp_path / "it"))
    assert failed.state == "failed"
    assert words in failed.error
    assert "\n" not in failed.error


def test_a_login_page_is_not_taken_for_the_hub(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.api_body = b"<html>Welcome to the hospital's guest network</html>"
    assert "a login page or a proxy" in fetch(downloads, model(tmp_path / "it")).error


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_gated_model_names_the_page_of_its_terms(hub: FakeHub, tmp_path: Path, token: str) -> None:
    hub.gated.add("org/folder")
    hub.token = token
    downloads = Downloads(tmp_path, lambda: token, hub.endpoint)
    failed = fetch(downloads, model(tmp_path / "it"))

    assert f"accept its terms at {hub.endpoint}/org/folder" in failed.error
    assert "HF_TOKEN" in failed.error
    assert TOKEN not in failed.error


def test_a_token_that_is_refused_is_said_and_not_shown(hub: FakeHub, tmp_path: Path) -> None:
    hub.token = "another"
    failed = fetch(Downloads(tmp_path, lambda: TOKEN, hub.endpoint), model(tmp_path / "it"))
    assert "The Hub refuses HF_TOKEN" in failed.error
    assert TOKEN not in failed.error


def test_the_token_goes_to_the_hub_alone(
    hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub.token = TOKEN
    hub.chunk_delay_s = 0.03
    downloads = Downloads(tmp_path, lambda: TOKEN, hub.endpoint)
    downloads.start(model(tmp_path / "it"))
    wait(downloads, lambda it: it.done_bytes > 200_000)
    (child,) = psutil.Process().children()
    assert TOKEN not in " ".join(child.cmdline())
    assert child.environ()["HF_TOKEN"] == TOKEN
    left = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size < 10_000
    )
    assert wait(downloads).state == "done"

    assert TOKEN.encode() not in left
    assert {seen.authorization for seen in hub.seen if seen.origin == "hub"} == {f"Bearer {TOKEN}"}
    assert {seen.authorization for seen in hub.seen if seen.origin == "files"} == {""}
    assert TOKEN not in "".join(capfd.readouterr())
    assert "HF_TOKEN" not in os.environ


def test_with_no_network_one_line_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    downloads = Downloads(tmp_path, lambda: "", f"http://127.0.0.1:{port}")
    failed = fetch(downloads, model(tmp_path / "it"))
    assert failed.error.startswith(f"The Hub cannot be reached (127.0.0.1:{port})")
    assert "is kept" not in failed.error, "nothing was fetched"


def test_offline_by_choice_is_said(downloads: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in fetch(downloads, model(tmp_path / "it")).error


@pytest.mark.parametrize(("repo", "file", "n_bytes"), [
    ("org/folder", "", sum(map(len, FOLDER.values())) - len(b"# A model" + b"old" * 1000 + b"other" * 1000 + b"args")),
    ("org/files", "small-q4.gguf", 200_000),
])  # fmt: skip
def test_a_look_says_what_would_be_fetched_and_fetches_nothing(
    downloads: Downloads, hub: FakeHub, tmp_path: Path, repo: str, file: str, n_bytes: int
) -> None:
    assert downloads.look(HubSource(repo, file=file)) == Found(n_bytes / 1e9, gated=False)
    assert [seen.path for seen in hub.seen] == [f"/api/models/{repo}/revision/main"]
    assert names_in(tmp_path) == set()


def test_a_look_knows_gated_models_and_adapters(downloads: Downloads, hub: FakeHub) -> None:
    hub.gated.add("org/adapter")
    assert downloads.look(HubSource("org/adapter"), is_adapter=True).gated
    with pytest.raises(DownloadFailed, match="org/folder holds no adapter"):
        downloads.look(HubSource("org/folder"), is_adapter=True)


@pytest.mark.parametrize(("wanted", "words"), [
    (HubSource("org/none"), "The Hub has no org/none"),
    (HubSource("org/folder", "v9"), "has no revision 'v9'"),
    (HubSource("org/files", file="none.gguf"), "org/files has no file 'none.gguf'"),
    (HubSource("org/empty"), "holds no model that transformers can load"),
])  # fmt: skip
def test_a_look_for_what_is_not_there_says_so(downloads: Downloads, wanted: HubSource, words: str) -> None:
    with pytest.raises(DownloadFailed, match=words):
        downloads.look(wanted)


def test_a_look_with_no_network_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DownloadFailed, match=r"^The Hub cannot be reached .*check the network\.$"):
        Downloads(tmp_path, lambda: "", f"http://127.0.0.1:{port}").look(HubSource("org/folder"))


def test_the_token_does_not_travel_in_clear_text(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, lambda: TOKEN, "http://mirror.example.org")
    with pytest.raises(DownloadFailed, match=r"HF_TOKEN would travel to mirror\.example\.org") as refusal:
        downloads.look(HubSource("org/folder"))
    assert TOKEN not in str(refusal.value)
    assert fetch(downloads, model(tmp_path / "it")).error == str(refusal.value)


@pytest.mark.parametrize(("variable", "value", "words"), [
    ("HTTPS_PROXY", "socks5://127.0.0.1:1080", "The proxy that HTTPS_PROXY"),
    ("ALL_PROXY", "socks://127.0.0.1:1080", "The proxy that HTTPS_PROXY"),
    ("SSL_CERT_FILE", "/nonexistent.pem", "The certificates that SSL_CERT_FILE"),
])  # fmt: skip
def test_a_way_to_the_network_that_cannot_be_used_is_named(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(DownloadFailed, match=f"^{words}"):
        downloads.look(HubSource("org/folder"))


def test_no_room_is_said_before_anything_is_asked(hub: FakeHub, tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, lambda: "", hub.endpoint, lambda _: 2_000_000_000)
    with pytest.raises(DownloadFailed, match=r"needs 4\.9 GB, and 2 GB are free"):
        downloads.start(replace(model(tmp_path / "it"), download_gb=4.9))
    assert not hub.seen
    assert downloads.status("it") is None


def test_no_room_is_noticed_when_the_size_was_not_known(hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.05
    failed = fetch(Downloads(tmp_path, lambda: "", hub.endpoint, lambda _: 500_600_000), model(tmp_path / "it"))
    assert failed.state == "failed"
    assert "There is no room for It: it needs 1 MB, and 501 MB are free" in failed.error


def test_a_disk_that_fills_up_stops_it(hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.03
    free = iter([10**12, 10**12, 10**12, 1000])
    downloads = Downloads(tmp_path, lambda: "", hub.endpoint, lambda _: next(free, 1000))
    failed = fetch(downloads, model(tmp_path / "it"))
    assert "There is no room for It" in failed.error
    assert failed.done_bytes > 0


def test_a_full_disk_keeps_what_came(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # the child inherits it: as if the disk ended there
    try:
        downloads.start(model(tmp_path / "it"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    failed = wait(downloads)
    assert "The disk is full" in failed.error
    assert fetch(downloads, model(tmp_path / "it")).state == "done"
    assert hub.asked_for("model.safetensors")[-1].range == "bytes=300000-"


def test_a_models_folder_that_cannot_be_made_is_said(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadFailed, match="MEDCHAT_MODELS_DIR"):
        Downloads(tmp_path / "file" / "models", lambda: "", hub.endpoint).start(model(tmp_path / "it"))


def test_one_that_is_here_starts_nothing(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "config.json").write_text("{}")
    downloads.start(model(tmp_path / "it"))
    assert downloads.status("it") is None
    assert not hub.seen


def test_one_that_is_not_on_the_hub_says_so(downloads: Downloads, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="not on the Hub"):
        downloads.start(replace(model(tmp_path / "it"), hub=None))


def test_two_starts_are_one_download_and_another_waits(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.03
    spec = model(tmp_path / "it")
    downloads.start(spec)
    downloads.start(spec)
    with pytest.raises(DownloadFailed, match="It is being fetched"):
        downloads.start(replace(model(tmp_path / "other"), id="other", name="Other"))

    assert wait(downloads).state == "done"
    assert len(hub.asked_for("model.safetensors")) == 1


def test_two_processes_do_not_write_the_same_files(downloads: Downloads, hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.05
    downloads.start(model(tmp_path / "it"))
    wait(downloads, lambda it: it.done_bytes > 100_000)
    other = Downloads(tmp_path, lambda: "", hub.endpoint)
    assert "already being fetched" in fetch(other, model(tmp_path / "it")).error
    assert wait(downloads).state == "done"


def test_a_revision_may_be_a_commit(downloads: Downloads, tmp_path: Path) -> None:
    assert fetch(downloads, model(tmp_path / "it", revision=COMMIT)).state == "done"


def test_closing_ends_the_child(hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.05
    downloads = Downloads(tmp_path, lambda: "", hub.endpoint)
    downloads.start(model(tmp_path / "it"))
    (child,) = psutil.Process().children()
    downloads.close()
    downloads.close()
    assert not child.is_running()


def test_the_child_goes_when_the_app_was_killed(hub: FakeHub, tmp_path: Path) -> None:
    hub.chunk_delay_s = 0.1
    code = (
        "import sys, time; from pathlib import Path; from test_hub import model; from medchat.hub import Downloads\n"
        f"here = Path({str(tmp_path)!r})\n"
        f"Downloads(here, lambda: '', {hub.endpoint!r}).start(model(here / 'it'))\n"
        "time.sleep(60)"
    )
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    app = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 30
    while not hub.asked_for("model.safetensors") and time.monotonic() < deadline:
        time.sleep(0.05)
    (child,) = psutil.Process(app.pid).children()
    app.kill()
    app.wait()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive
