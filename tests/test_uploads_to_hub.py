"""An adapter goes to the Hub with its card, to a private repository, and nothing else goes with it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub_uploads import UploadHub

from medchat.errors import AccessDenied, InvalidInput, MedChatError, NotFound
from medchat.rundir import RunDir
from train.uploads import upload_adapter

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "hf_right"
WEIGHTS = bytes(range(256)) * 20  # 5,120 bytes: a large file to the stand-in


@pytest.fixture
def hub() -> Iterator[UploadHub]:
    with UploadHub(TOKEN) as hub:
        yield hub


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a checkpoint: an adapter, and beside it what nobody else shall have."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    folder = tmp_path / "0-sft"
    (folder / "ref").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Ours\n")
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(WEIGHTS)
    for name in ("optimizer.pt", "train.jsonl", "adapter.gguf", "ref/adapter_model.safetensors"):
        (folder / name).write_text("private")
    return folder


def test_the_adapter_and_its_card_arrive_and_nothing_else(hub: UploadHub, adapter: Path) -> None:
    assert upload_adapter(adapter, "team/ours", endpoint=hub.endpoint) == f"{hub.endpoint}/team/ours"
    assert hub.files["team/ours"] == {
        "README.md": b"---\nlicense: mit\n---\n# Ours\n",
        "adapter_config.json": b"{}",
        "adapter_model.safetensors": WEIGHTS,
    }


def test_a_repository_is_private_unless_somebody_says_otherwise(hub: UploadHub, adapter: Path) -> None:
    upload_adapter(adapter, "team/ours", endpoint=hub.endpoint)
    upload_adapter(adapter, "team/everybodys", public=True, endpoint=hub.endpoint)
    assert [hub.repos[name]["visibility"] for name in ("team/ours", "team/everybodys")] == ["private", "public"]


def test_the_token_travels_in_the_header_alone(hub: UploadHub, adapter: Path) -> None:
    upload_adapter(adapter, "team/ours", endpoint=hub.endpoint)
    assert {authorization for _, authorization in hub.requests} == {f"Bearer {TOKEN}"}
    assert not [content for content in hub.files["team/ours"].values() if TOKEN.encode() in content]


def test_what_goes_wrong_is_said_in_a_line(hub: UploadHub, adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"^Name the repository OWNER/NAME"):
        upload_adapter(adapter, "ours", endpoint=hub.endpoint)
    with pytest.raises(InvalidInput, match=r"^HF_TOKEN would travel to hub\.example for everybody to read"):
        upload_adapter(adapter, "team/ours", endpoint="http://hub.example")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(AccessDenied, match=r"^The Hub refuses HF_TOKEN: is it valid, and may it write team/ours\?$"):
        upload_adapter(adapter, "team/ours", endpoint=hub.endpoint)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(AccessDenied, match=r"^Set the environment variable HF_TOKEN"):
        upload_adapter(adapter, "team/ours", endpoint=hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (adapter / "README.md").unlink()
    with pytest.raises(NotFound, match=r"^The adapter '0-sft' has no README\.md; nothing was uploaded\.$"):
        upload_adapter(adapter, "team/ours", endpoint=hub.endpoint)
    assert not hub.files


def test_a_hub_that_is_not_there_is_said_in_a_line(adapter: Path) -> None:
    with pytest.raises(MedChatError, match=r"^The Hub cannot be reached \(127\.0\.0\.1\)"):
        upload_adapter(adapter, "team/ours", endpoint="http://127.0.0.1:9")


def test_the_command_uploads_what_came_out_of_a_run_and_leaves_no_token_there(
    hub: UploadHub, adapter: Path, tmp_path: Path
) -> None:
    run = tmp_path / "data" / "runs" / "our-run"
    (run / "artifacts").mkdir(parents=True)
    adapter.rename(run / "artifacts" / "0-sft")
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    model = {
        "id": "ours", "name": "Ours", "backend": "transformers", "path": str(base), "answer_format": "think",
        "sampling": {"max_new_tokens": 64, "temperature": 0.0}, "n_ctx": 512, "description": "Ours.",
        "licence": "MIT", "limits": ["Small."],
    }  # fmt: skip
    result = {"kind": "training", "stages": [{"kind": "sft", "adapter": "artifacts/0-sft"}], "model": model}
    config = {"kind": "train", "base": {"id": "base", "name": "base", "folder": str(base)}}
    with RunDir(run).begin(config, 0) as writer:
        writer.result(result)
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}
    command = [sys.executable, "-m", "train", "export", "our-run", "--to", "hub", "--repo", "team/ours"]

    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data")], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hub.endpoint}/team/ours\n", "")
    assert sorted(hub.files["team/ours"]) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert not [file for file in run.rglob("*") if file.is_file() and TOKEN in file.read_text(errors="replace")]
