"""What the README says of the project is so."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from medchat.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree_of(text: str) -> Iterator[str]:
    """Paths of the annotated tree: two spaces of indentation a folder."""
    block = text.partition("\n## The tree\n")[2].split("```")[1]
    parents: list[str] = []
    for line in block.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [line.split()[0]]
        yield "".join(parents)


@pytest.mark.parametrize("path", list(tree_of(README)))
def test_the_tree_names_what_exists(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("folder", ["medchat", "medchat/backends", "medchat/store", "medchat/ui"])
def test_the_tree_leaves_no_module_of_the_library_out(folder: str) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"}

    assert modules <= set(tree_of(README))


def test_the_space_runs_what_is_required_here() -> None:
    header = yaml.safe_load(README.split("---")[1])

    assert f"gradio=={header['sdk_version']}" in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert (ROOT / header["app_file"]).is_file()
    assert header["python_version"] == "3.11"


@pytest.mark.parametrize("target", re.findall(r'(?:\]\(|src="|srcset=")([^)"]+)', README))
def test_links_and_pictures_lead_somewhere(target: str) -> None:
    assert (ROOT / target).is_file()


def test_the_environment_variables_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "MEDCHAT_DATA_DIR": str(tmp_path), "MEDCHAT_DB": "sqlite:///x.db", "MEDCHAT_HOST": "0.0.0.0",
        "MEDCHAT_PORT": "7861", "MEDCHAT_MODEL": "demo-base", "MEDCHAT_ALLOWED_HOSTS": "a.example,b.example",
        "MEDCHAT_THREADS": "3", "MEDCHAT_SLOTS": "4", "MEDCHAT_N_CTX": "512",
        "MEDCHAT_MODELS_DIR": str(tmp_path / "m"), "MEDCHAT_PRECISION": "nf4",
        "MEDCHAT_ALLOWED_USERS": "asha:rater", "MEDCHAT_TRUSTED_PROXY": "1",
        "MEDCHAT_STOP_GRACE_S": "5", "MEDCHAT_TRAINING": "off", "MEDCHAT_SOURCE_DIRS": str(tmp_path / "s"),
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("SPACE_HOST", raising=False)

    settings = Settings.from_environment()

    assert set(re.findall(r"^\| `(MEDCHAT_\w+)`", README, re.MULTILINE)) == values.keys()
    assert settings == Settings(
        data_dir=tmp_path.resolve(), db="sqlite:///x.db", host="0.0.0.0", port=7861, model="demo-base",
        allowed_hosts=("a.example", "b.example"), threads=3, slots=4, n_ctx=512,
        models_dir=(tmp_path / "m").resolve(), precision="nf4",
        allowed_users=(("asha", "rater"),), trusted_proxy=1, stop_grace_s=5, training=False,
        source_dirs=((tmp_path / "s").resolve(),),
    )  # fmt: skip
