"""What comes out of a run can be chosen, asked and trained on, and can be exported with the same answers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stores import new_store
from tiny_hf import write_adapter, write_chain_model, write_random_model
from tiny_training import run_recipe, stage, write_data, write_recipe

from medchat.backends import Backends
from medchat.catalogue import Catalogue
from medchat.errors import MedChatError, ModelUnavailable
from medchat.intake import take_in
from medchat.models_file import parse_models, unknown_model
from medchat.records import Message, Request, Sampling, Text
from medchat.rundir import RunDir
from train.artifacts import model_id
from train.fidelity import check_merged, compare, original
from train.merge import load_whole, merge
from train.plan import resolve_base
from train.recipes import load_recipe

SENTINELS = {"HF_TOKEN": "hf_sentinel0token", "WANDB_API_KEY": "sentinel0wandb0key"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of SFT, with keys in its environment."""
    folder = tmp_path_factory.mktemp("runs") / "runs" / "Tiny Run"
    data = write_data(folder.parent / "data")
    one = stage("sft", max_steps=2, eval_steps=0)
    recipe = write_recipe(folder.parent / "tiny.yaml", base, data, [one], held_out={"rows": 2, "max_new_tokens": 4})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SENTINELS.items():
            patch.setenv(name, value)
        assert run_recipe(recipe, folder)
    return folder


def row_of_result(run: Path) -> dict[str, Any]:
    row: dict[str, Any] = (RunDir(run).result() or {})["model"]
    return row


def test_a_run_s_adapter_is_a_model_of_the_catalogue_with_its_run(run: Path, base: Path, tmp_path: Path) -> None:
    store, catalogue = new_store(tmp_path), Catalogue(tmp_path, tmp_path / "models.yaml")
    take_in(RunDir(run), store, catalogue)
    spec = catalogue["tiny-run"]
    assert (spec.backend, spec.path, spec.adapter) == ("transformers", base, run / "artifacts" / "0-sft")
    assert (spec.answer_format, spec.is_here, spec.demo) == ("think", True, False)
    assert spec.name.startswith("tiny-llama + tiny, ")
    assert spec.limits[0].startswith("Trained here, by the recipe tiny: whether it is better than its base")
    stored = store.model(spec.id)
    assert stored is not None
    assert (stored.recipe, stored.run_id) == ("tiny", "Tiny Run")
    store.close()


def test_it_answers_and_not_as_its_base_does(run: Path, base: Path) -> None:
    [trained] = parse_models({"models": [row_of_result(run)]}, "run", base, own=True).values()
    backends = Backends(threads=1, slots=1, n_ctx=512)
    request = Request((Message("user", "Case 1: what is gout?"),), Sampling(max_new_tokens=12))
    try:
        texts = [
            "".join(event.text for event in backends.get(spec).generate([request]) if isinstance(event, Text))
            for spec in (trained, replace(trained, id="base", adapter=None))
        ]
    finally:
        backends.close()
    assert texts[0]
    assert texts[0] != texts[1]


def test_it_can_be_trained_on_and_stays_named_after_its_base(run: Path, base: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, tmp_path / "models.yaml")
    [trained] = parse_models({"models": [row_of_result(run)]}, "run", base, own=True).values()
    catalogue.add(trained)
    recipe = write_recipe(tmp_path / "again.yaml", trained.id, write_data(tmp_path / "data"), [stage("dpo")])
    found = resolve_base(load_recipe(str(recipe)), catalogue, tmp_path)
    assert (found.folder, found.adapter) == (base, run / "artifacts" / "0-sft")


def test_its_card_and_its_data_are_there(run: Path) -> None:
    card = (run / "artifacts" / "0-sft" / "README.md").read_text()
    assert card.startswith("---\nbase_model: tiny-llama\n")
    assert "| 0-sft | format_ok |" in card
    data = (RunDir(run).result() or {})["data"]
    assert data["sources"] == [{"name": "not named", "licence": "not named", "rows": 24}]


def test_no_key_of_the_environment_is_anywhere_in_the_run(run: Path) -> None:
    files = [file for file in run.rglob("*") if file.is_file()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        assert not [name for name, value in SENTINELS.items() if value.encode() in content], file.name


@pytest.mark.parametrize(
    ("run_id", "found"),
    [
        ("demo-sft-20261120-120000", "demo-sft-20261120-120000"),
        ("train-0123456789ab", "demo-sft-0123456789ab"),
        ("My Run", "demo-sft-my-run"),
    ],
)
def test_the_id_of_a_model_tells_recipe_and_run(run_id: str, found: str) -> None:
    assert model_id(run_id, "demo-sft") == found


# Merged, and compared


def spec_of(base: Path) -> Any:
    return replace(unknown_model("transformers"), id="tiny", name="Tiny", path=base, n_ctx=512)


def test_a_merged_model_says_what_base_and_adapter_say(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base)
    before = original(spec_of(base), base, adapter)
    merge(base, adapter, tmp_path / "merged")
    found = check_merged(before, tmp_path / "merged")
    assert found.n_words == 10 * 13  # the word after each of ten prompts, and after each of the twelve that follow
    assert found.divergence < 1e-4
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_a_merged_model_that_says_something_else_is_not_offered(base: Path, tmp_path: Path) -> None:
    before = original(spec_of(base), base, write_adapter(tmp_path / "one", base, seed=1))
    merge(base, write_adapter(tmp_path / "two", base, seed=2), tmp_path / "merged")
    with pytest.raises(MedChatError, match=r"^The export does not say what the original says, and was not kept"):
        check_merged(before, tmp_path / "merged")


@pytest.mark.parametrize(
    "kind",
    [{"use_rslora": True}, {"rank_pattern": {"q_proj": 8}}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}],
)
def test_the_kinds_that_gguf_has_no_form_for_are_merged_right(kind: dict[str, Any], base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", base, **kind)
    before = original(spec_of(base), base, adapter)
    merge(base, adapter, tmp_path / "merged")
    check_merged(before, tmp_path / "merged")


def test_nothing_is_merged_into_weights_of_four_bits(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    packed = tmp_path / "tiny-llama"
    shutil.copytree(base, packed)
    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    AutoModelForCausalLM.from_pretrained(base, quantization_config=four_bits, device_map="cpu").save_pretrained(packed)
    adapter = write_adapter(tmp_path / "adapter", base)
    before = original(spec_of(packed), packed, adapter)
    merge(packed, adapter, tmp_path / "merged")
    check_merged(before, tmp_path / "merged")
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    whole = load_whole(tmp_path / "merged", None)
    assert all(weight.dtype in (torch.float32, torch.float16, torch.bfloat16) for weight in whole.parameters())


def test_an_adapter_for_another_base_is_not_merged(base: Path, tmp_path: Path) -> None:
    wide = write_adapter(tmp_path / "wide", write_chain_model(tmp_path / "wide-llama", ["abc"]))
    with pytest.raises(ModelUnavailable, match="does not fit 'tiny-llama'"):
        merge(base, wide, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_divergence_is_that_of_the_probabilities() -> None:
    even, skewed = np.log(np.array([[0.5, 0.5]], np.float32)), np.log(np.array([[0.25, 0.75]], np.float32))
    # 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75) = 0.3466 - 0.2027
    found = compare([even, skewed], [skewed, skewed])
    assert found.divergence == pytest.approx(0.1438 / 2, abs=1e-4)
    assert (found.other_first, found.n_words) == (0.5, 2)  # of two equal ones the first counts


def test_columns_that_only_one_of_them_has_are_left_out() -> None:
    narrow = np.zeros((1, 3), np.float32)
    padded = np.array([[0, 0, 0, 9]], np.float32)
    assert compare([narrow], [padded]).divergence == 0
