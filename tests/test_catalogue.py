"""The model catalogue: what it holds, how a model is found, and what a broken file says."""

import re
from pathlib import Path

import pytest

from medchat.catalogue import load_catalogue, resolve
from medchat.errors import InvalidInput, NotFound
from medchat.records import Sampling
from medchat.settings import ROOT

ENTRY = """
  - id: tiny
    name: Tiny
    backend: llamacpp
    path: models/tiny.gguf
    answer_format: think
    sampling: {max_new_tokens: 64, temperature: 0.5, top_p: 0.9, top_k: 40, seed: 7}
    n_ctx: 512
    description: A model.
    licence: MIT
    limits: [Knows nothing., Speaks English.]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def test_the_bundled_models_are_there_and_the_first_is_the_default() -> None:
    catalogue = load_catalogue()

    assert list(catalogue) == ["demo", "demo-base"]
    assert resolve("default", catalogue).id == "demo"
    assert resolve("demo-base", catalogue).path == ROOT / "assets/demo/demo-base-q8_0.gguf"


@pytest.mark.parametrize("model_id", ["demo", "demo-base"])
def test_the_bundled_models_answer_as_they_were_trained_and_say_what_they_cannot(model_id: str) -> None:
    spec = load_catalogue()[model_id]

    assert spec.demo
    assert spec.grounded
    assert (spec.answer_format, spec.n_ctx, spec.licence) == ("gemma-grpo", 1024, "Apache-2.0")
    assert spec.sampling == Sampling(max_new_tokens=320, temperature=0.0)
    limits = " ".join(spec.limits)
    for word in ("knowledge base", "English", "images", "never for the care of a patient"):
        assert word in limits


def test_every_field_of_an_entry_arrives(tmp_path: Path) -> None:
    spec = load_catalogue(write(tmp_path, "models:" + ENTRY))["tiny"]

    assert (spec.name, spec.backend, spec.answer_format, spec.n_ctx) == ("Tiny", "llamacpp", "think", 512)
    assert spec.path == ROOT / "models/tiny.gguf"
    assert spec.sampling == Sampling(64, 0.5, 0.9, 40, 7)
    assert spec.limits == ("Knows nothing.", "Speaks English.")
    assert (spec.system_prompt, spec.demo, spec.grounded) == ("", False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "models:" + ENTRY.replace("think", "thinking"),
            "models.yaml: tiny: answer_format: 'thinking' is none of gemma",
        ),
        ("models:" + ENTRY.replace("llamacpp", "llama"), "models.yaml: tiny: backend: input should be 'llamacpp'."),
        ("models:" + ENTRY.replace("licence: MIT", ""), "models.yaml: tiny: licence: field required."),
        ("models:" + ENTRY.replace("name:", "label:"), "models.yaml: tiny: name: field required."),
        ("models:" + ENTRY + "    colour: red", "models.yaml: tiny: colour: extra inputs are not permitted."),
        ("models:" + ENTRY.replace("0.5", "-1"), "models.yaml: tiny: sampling.temperature: input should be greater"),
        ("models:" + ENTRY.replace("id: tiny", "id: Tiny!"), "models.yaml: Tiny!: id: string should match"),
        ("models:" + ENTRY.replace("64", "512"), "models.yaml: tiny: sampling.max_new_tokens: leaves no room in n_ctx"),
        ("models:" + ENTRY + ENTRY, "models.yaml: tiny: id: this id is taken."),
        ("models:" + ENTRY.replace("tiny", "default"), "models.yaml: default: id: this id is taken."),
        ("models: [tiny]", "models.yaml: model 1: input should be"),
        ("models: []", "models.yaml: models: list should have at least 1 item"),
        ("- models", "models.yaml: input should be"),
        ("", "models.yaml: input should be"),
        ("models:\n  - id: [", "models.yaml:2: not valid YAML: "),
        ("models: \x01", "models.yaml: not a YAML text in UTF-8."),
    ],
)
def test_a_broken_file_gives_one_line_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(message)) as caught:
        load_catalogue(write(tmp_path, text))

    assert "\n" not in str(caught.value)


def test_a_missing_file_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"The model catalogue none\.yaml cannot be read"):
        load_catalogue(tmp_path / "none.yaml")


def test_a_gguf_file_of_ones_own_is_a_model_with_a_key_of_its_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my-model.gguf").write_bytes(b"GGUF")
    first, second = (resolve(str(tmp_path / folder / "my-model.gguf"), load_catalogue()) for folder in ("a", "b"))

    assert first.path == tmp_path / "a/my-model.gguf"
    assert first.name == second.name == "my-model"
    assert first.id != second.id
    assert resolve(str(tmp_path / "b/../a/my-model.gguf"), load_catalogue()) == first
    assert not first.demo
    assert str(tmp_path) not in first.id


@pytest.mark.parametrize("name", ["demoo", "missing.gguf", "", "x" * 5000, "~nobody/model.gguf", "a\0b"])
def test_an_unknown_model_gets_the_known_ones_named(name: str) -> None:
    with pytest.raises(NotFound, match="give a GGUF file or one of: default, demo, demo-base"):
        resolve(name, load_catalogue())


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is a folder; give a GGUF file or one of: default, demo"):
        resolve(str(tmp_path), load_catalogue())
