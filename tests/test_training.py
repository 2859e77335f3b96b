import json
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from judged_answers import Judges
from pydantic import TypeAdapter
from safetensors.torch import load_file
from tiny_hf import write_random_model
from tiny_training import (
    LORA,
    example,
    pair,
    progress,
    run_recipe,
    stage,
    write_data,
    write_recipe,
    write_rows,
)

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, MedChatError, ModelUnavailable
from medchat.formats import render
from medchat.models_file import unknown_model
from medchat.rundir import RunDir
from train.__main__ import main
from train.feedback import collect, write
from train.recipe_schema import Stage
from train.row_counts import seen_rows, seen_words

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of SFT."""
    folder = tmp_path_factory.mktemp("runs") / "sft"
    recipe = write_recipe(
        folder.parent / "sft.yaml", base, data, [stage("sft")], held_out={"rows": 3, "max_new_tokens": 8}
    )
    assert run_recipe(recipe, folder)
    return folder


def adapter(folder: Path) -> dict[str, Any]:
    return {name: weight.tolist() for name, weight in load_file(folder / "adapter_model.safetensors").items()}


def cut_after(folder: Path, step: int, target: Path) -> Path:
    """A copy of a finished run as if its process had been killed after the checkpoint of this step."""
    shutil.copytree(folder, target)
    (stage_folder,) = (target / "stages").iterdir()
    (stage_folder / "done.json").unlink()
    run_dir = RunDir(target)
    run_dir.result_file.unlink()
    run_dir.set_state(replace(run_dir.state(), status="lost"))
    for later in stage_folder.glob("checkpoint-*"):
        if int(later.name.rpartition("-")[2]) > step:
            shutil.rmtree(later)
    return target


# What comes out


def test_a_run_leaves_an_adapter_with_its_tokenizer_and_says_what_it_used(trained: Path, base: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    config = RunDir(trained).config()
    out = trained / "artifacts" / "0-sft"

    assert (result["kind"], result["final_step"]) == ("training", 6)
    assert result["stages"][0]["adapter"] == "artifacts/0-sft"
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= {p.name for p in out.iterdir()}
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny-llama"
    assert not list(out.glob("*optimizer*"))
    assert config["recipe"]["stages"][0]["learning_rate"] == 0.01
    assert config["used"]["stages"][0]["compute"] == "fp32"
    assert config["versions"]["trl"]
    assert [file["rows"] for file in config["data"]["files"] if file["file"] == "train.jsonl"] == [20]
    assert len(config["data"]["files"][0]["sha256"]) == 64
    assert RunDir(trained).state().status == "done"


def test_it_says_how_many_rows_there_were_were_used_and_were_seen(trained: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    [only] = result["stages"]

    assert only["rows"]["in_files"] == {"train": 20, "validation": 4, "test": 0}
    assert only["rows"]["used"] == {"train": 20, "validation": 4}
    assert only["rows"]["seen"] == 12  # 6 steps of 2
    assert result["model"]["description"] == "tiny-llama after SFT on 12 of 20 rows, by the recipe sft."
    card = (trained / "artifacts" / "0-sft" / "README.md").read_text()
    assert "Rows: 20 rows in the file to train on, 20 used, 12 seen; 4 to validate, 4 used." in card


def test_progress_has_a_line_a_step_and_one_an_evaluation(trained: Path) -> None:
    rows = RunDir(trained).progress()

    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "eval_loss" in row] == [3, 6]
    assert all(row["memory_gb"] > 0 and row["tokens_per_s"] > 0 for row in rows if "loss" in row)
    assert {"learning_rate", "grad_norm", "num_tokens"} <= set(rows[0])


def test_held_out_answers_are_measured_before_and_after_with_intervals(trained: Path) -> None:
    (only,) = json.loads((trained / "result.json").read_text())["stages"]

    assert {"format_ok_before", "exact_before", "format_ok", "exact"} <= set(only["metrics"])
    assert only["metrics"]["exact"]["n"] == 3
    assert only["metrics"]["exact"]["low"] <= only["metrics"]["exact"]["value"] <= only["metrics"]["exact"]["high"]


def test_a_run_is_not_begun_twice_in_one_folder(trained: Path, base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft")])

    with pytest.raises(InvalidInput, match="holds a run already"):
        run_recipe(recipe, trained)


def test_a_run_is_resumed_with_the_same_settings_only(trained: Path, base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "sft.yaml", base, data, [stage("sft")], held_out={"rows": 3, "max_new_tokens": 8})

    with pytest.raises(InvalidInput, match=r"another configuration \(recipe\.seed differs\)"):
        run_recipe(recipe, trained, resume=True, overrides=["seed=5"])


def test_a_run_that_is_done_is_left_as_it_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in trained.rglob("*") if path.is_file()}
    arguments = ["run", str(trained.parent / "sft.yaml"), "--run-dir", str(trained), "--resume"]

    assert main([*arguments, "--data-dir", str(trained.parent / "data-dir")]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["The run in sft is done already; nothing was trained.", str(trained)]
    assert "so the model is not in the list: run `python -m medchat db upgrade`" in said[-3]
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in trained.rglob("*") if path.is_file()}
    assert after == before
    assert not (trained.parent / "data-dir" / "medchat.db").exists()


def test_a_model_that_was_trained_here_is_trained_further(
    trained: Path, base: Path, data: Path, tmp_path: Path
) -> None:
    model = replace(
        unknown_model("transformers"), id="mine", name="Mine", path=base, adapter=trained / "artifacts" / "0-sft",
        base="tiny-llama",
    )  # fmt: skip
    Catalogue(tmp_path / "models", tmp_path / "models.yaml").add(model)
    still = stage("dpo", learning_rate=1e-12, max_steps=1, eval_steps=0)
    said: list[str] = []

    result = run_recipe(
        write_recipe(tmp_path / "r.yaml", "mine", data, [still]), tmp_path / "run", data_dir=tmp_path, said=said
    )

    assert result
    assert result["base"] == "mine"
    assert any("brings an adapter" in line for line in said)
    before, after = adapter(trained / "artifacts" / "0-sft"), adapter(tmp_path / "run" / "artifacts" / "0-dpo")
    for name, weights in before.items():
        assert after[name] == [pytest.approx(row, abs=1e-6) for row in weights]


GROUPED = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_generations": 4}
OWN = {"reward": "brevity", "completions": "own", "samples": 4}


@pytest.mark.parametrize(
    ("kind", "settings", "used", "steps", "seen"),
    [
        ("sft", {"per_device_train_batch_size": 8}, 2000, 6, 48),
        # 5 batches an epoch, the last of 2 rows: 2 epochs and 1 batch
        ("dpo", {"per_device_train_batch_size": 4}, 18, 11, 40),
        # 2 x 4 completions a step in groups of 4 are 2 questions; the 7th fills no round: 3 steps an epoch
        ("grpo", GROUPED, 7, 4, 8),
        # the same, each round learnt from twice: 1 question a step, 6 steps an epoch
        ("grpo", {**GROUPED, "num_iterations": 2}, 7, 4, 4),
        # 4 answers of its own to each row, 4 a step
        ("sft", {"per_device_train_batch_size": 4, "reward_weighted": OWN}, 10, 3, 3),
    ],
)
def test_rows_seen_are_those_of_the_steps_that_were_taken(
    kind: str, settings: dict[str, Any], used: int, steps: int, seen: int
) -> None:
    one: Stage = TypeAdapter(Stage).validate_python(stage(kind, **settings))
    assert seen_rows(one, used, steps) == seen


@pytest.mark.parametrize(
    ("used", "seen", "words"),
    [
        (2000, 48, "48 of 2,000 rows"),
        (2000, 2000, "2,000 rows"),
        (1500, 1500, "1,500 of 2,000 rows"),
        (1500, 4500, "1,500 of 2,000 rows, each 3.0 times"),
        (2000, 3000, "2,000 rows, each 1.5 times"),
        (20, 48, "20 of 2,000 rows, each 2.4 times"),
    ],
)
def test_rows_that_were_not_reached_are_not_said_to_be_trained_on(used: int, seen: int, words: str) -> None:
    assert seen_words({"in_files": {"train": 2000}, "used": {"train": used}, "seen": seen}) == words


# What is learnt


def test_only_the_answer_and_its_end_are_learnt_behind_the_prompt_of_the_chat(base: Path) -> None:
    from train.completions import Encoder
    from train.plan import resolve_base

    recipe = write_recipe(base.parent / "r.yaml", base, base, [stage("sft")])
    from train.recipes import load_recipe

    spec = resolve_base(load_recipe(str(recipe)), Catalogue(base), base).spec
    encoder = Encoder(spec, base, None)
    messages = encoder.messages("Fever?", "Aged 3.")
    prompt = encoder.prompt(messages, 1000)
    assert prompt is not None

    answer = encoder.answer(messages, prompt, "It is hot.", "Measles")

    # The chat's template; what ends an answer there is <|end|>.
    assert encoder.tokens.decode(prompt) == "<|start|>user\nAged 3.\n\nFever?<|end|>\n<|start|>assistant\n"
    assert encoder.tokens.decode(answer) == render("think", "It is hot.", "Measles") + "<|end|>"
    assert encoder.text(answer) == render("think", "It is hot.", "Measles")


def test_a_prompt_of_its_own_is_trained_to_the_letter(tmp_path: Path, base: Path) -> None:
    from train.completions import Encoder
    from train.plan import resolve_base
    from train.recipes import load_recipe

    def text(prompt: str, context: str = "") -> str:
        path = write_recipe(
            tmp_path / "r.yaml", base, base, [stage("sft")], prompt=prompt, answer_format="diagnosis",
            prompt_with_context="C: {context}\n" + prompt,
        )  # fmt: skip
        encoder = Encoder(resolve_base(load_recipe(str(path)), Catalogue(base), base).spec, base, None)
        messages = encoder.messages("cough", context)
        ids = encoder.prompt(messages, 1000)
        assert ids is not None
        return encoder.tokens.decode([*ids, *encoder.answer(messages, ids, "Because.", "Croup")])

    assert text("### Symptoms:\n{question}\n### Diagnosis:\n") == "### Symptoms:\ncough\n### Diagnosis:\nCroup<|end|>"
    assert text("Q: {question}\nA:", "Aged 2.") == "C: Aged 2.\nQ: cough\nA: Croup<|end|>"


def test_long_rows_are_left_out_and_counted_and_none_is_cut(base: Path, tmp_path: Path) -> None:
    rows = [example(n) for n in range(6)] + [example(n) | {"rationale": "long " * 50} for n in range(6, 10)]
    data = tmp_path / "data"
    data.mkdir()
    write_rows(data / "train.jsonl", rows)
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", max_length=200, max_steps=2, eval_steps=0)])
    said: list[str] = []

    result = run_recipe(recipe, tmp_path / "run", said=said)

    line = "4 of 10 rows of train.jsonl are longer than 200 tokens (max_length) and were left out."
    assert result
    assert result["stages"][0]["notes"] == [line]
    assert line in said
    assert RunDir(tmp_path / "run").state().message == line
    # 2 steps of 2; 4 of the 10 rows are not among those that are used
    assert (result["stages"][0]["rows"]["used"]["train"], result["stages"][0]["rows"]["seen"]) == (6, 4)


def test_when_all_rows_are_too_long_it_says_what_to_raise(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", max_length=20)])

    with pytest.raises(InvalidInput, match=r"All 20 rows of train\.jsonl are longer .* raise stages\.0\.max_length"):
        run_recipe(recipe, tmp_path / "run")


def test_the_best_evaluation_is_kept_and_training_ends_early(base: Path, data: Path, tmp_path: Path) -> None:
    # No gain is large enough to count, so the first evaluation stays the best.
    picky = stage("sft", max_steps=12, eval_steps=2, save_steps=4, early_stopping={"patience": 2, "min_change": 1000})
    said: list[str] = []

    result = run_recipe(write_recipe(tmp_path / "r.yaml", base, data, [picky]), tmp_path / "run", said=said)

    assert result
    (only,) = result["stages"]
    assert (only["why"], only["step"], only["final_step"]) == ("best", 2, 6)
    assert any(line == "Ended at step 6: no better evaluation since step 2." for line in said)
    kept = tmp_path / "run" / "stages" / "0-sft" / "checkpoint-2"
    assert adapter(tmp_path / "run" / "artifacts" / "0-sft") == adapter(kept)


@pytest.mark.parametrize(("kind", "name", "best"), [("sft", "", 4), ("grpo", "", 2), ("sft", "eval_rouge_l", 6)])
def test_the_best_is_the_lowest_loss_or_the_highest_of_what_is_gained(kind: str, name: str, best: int) -> None:
    from train.callbacks import best_of
    from train.recipe_schema import GrpoStage, SftStage

    lines = ((2, 0.9, 0.5, 0.1), (4, 0.7, 0.4, 0.1), (6, 0.8, 0.5, 0.3))
    history = [
        {"step": step, "eval_loss": loss, "eval_reward": reward, "eval_rouge_l": rouge}
        for step, loss, reward, rouge in lines
    ]

    schema = GrpoStage if kind == "grpo" else SftStage
    one = schema.model_validate(stage(kind, keep_best_by=name))

    found = best_of(SimpleNamespace(log_history=history), one)

    assert found
    assert found.step == best


def test_a_step_that_the_recipe_names_is_kept_whatever_the_validation_says(
    base: Path, data: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", keep_step=2)])

    result = run_recipe(recipe, tmp_path / "run")

    assert result
    assert (result["stages"][0]["step"], result["stages"][0]["why"], result["final_step"]) == (2, "keep_step", 6)


@pytest.mark.slow
def test_stages_go_on_from_one_another_without_the_frozen_reference(base: Path, data: Path, tmp_path: Path) -> None:
    stages = [stage("sft"), stage("grpo", beta=0.1), stage("dpo"), stage("kto")]
    recipe = write_recipe(tmp_path / "r.yaml", base, data, stages, held_out={"rows": 2, "max_new_tokens": 8})

    result = run_recipe(recipe, tmp_path / "run")

    assert result
    assert [one["kind"] for one in result["stages"]] == ["sft", "grpo", "dpo", "kto"]
    out = tmp_path / "run" / "artifacts"
    weights = [adapter(out / name) for name in ("0-sft", "1-grpo", "2-dpo", "3-kto")]
    assert len({json.dumps(one, sort_keys=True) for one in weights}) == 4
    assert all(sorted(one) == sorted(weights[0]) for one in weights)
    assert not list(out.rglob("ref"))
    for before, after in zip(result["stages"], result["stages"][1:], strict=False):
        assert after["metrics"]["exact_before"] == before["metrics"]["exact"]


def test_fp16_on_the_cpu_becomes_fp32_and_says_so(base: Path, data: Path, tmp_path: Path) -> None:
    half = stage("sft", precision="fp16", compute="fp16", max_steps=1, eval_steps=0, flash_attention=True)
    said: list[str] = []

    run_recipe(write_recipe(tmp_path / "r.yaml", base, data, [half]), tmp_path / "run", said=said)

    assert "compute in fp32 instead of fp16: the CPU does not train in fp16." in said
    assert "PyTorch's own attention instead of FlashAttention 2: there is no GPU." in said
    used = RunDir(tmp_path / "run").config()["used"]["stages"][0]
    assert (used["weights"], used["compute"], used["attention"]) == ("fp32", "fp32", "sdpa")


@pytest.mark.slow
def test_rows_weigh_as_much_as_their_reward(base: Path, data: Path, tmp_path: Path) -> None:
    def losses(name: str, **weighting: Any) -> list[float]:
        one = stage("sft", max_steps=2, eval_steps=0, reward_weighted=weighting)
        run_recipe(write_recipe(tmp_path / f"{name}.yaml", base, data, [one]), tmp_path / name)
        return [row["loss"] for row in RunDir(tmp_path / name).progress()]

    # The answers are one word of all that is written, so a reward of 0 with a floor of 0 leaves no loss.
    assert losses("zero", reward="unsafe", floor=0.0) == [0.0, 0.0]
    assert all(loss > 0 for loss in losses("half", reward="unsafe", floor=0.5))


@pytest.mark.slow
def test_own_completions_are_sampled_and_weighed(base: Path, data: Path, tmp_path: Path) -> None:
    own = {"reward": "brevity", "completions": "own", "samples": 2, "max_new_tokens": 400, "temperature": 5.0}
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", max_steps=1, eval_steps=0, reward_weighted=own,
                                                                  train_rows=4)])  # fmt: skip

    result = run_recipe(recipe, tmp_path / "run")

    assert result
    assert result["final_step"] == 1


# Stop and resume


def require_same_end(kind: str, resumed: Path, whole: Path) -> None:
    """To the bit, but for GRPO: losses and rewards within 1e-4, as sampling is not promised to be the same."""
    rows, expected = progress(resumed), progress(whole)
    if kind != "grpo":
        assert rows == expected
        assert adapter(resumed / "artifacts" / f"0-{kind}") == adapter(whole / "artifacts" / f"0-{kind}")
        return
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        for name in ("loss", "reward", "eval_reward"):
            assert row.get(name, 0.0) == pytest.approx(other.get(name, 0.0), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    "kind", ["sft", "dpo", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("kto", "grpo"))]
)
def test_a_resumed_run_has_the_losses_of_one_that_was_not_interrupted(
    base: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    recipe = write_recipe(
        tmp_path / "r.yaml", base, data, [stage(kind, optim="adamw_8bit" if kind == "sft" else "sgd")]
    )
    assert run_recipe(recipe, tmp_path / "whole", data_dir=tmp_path)
    killed = cut_after(tmp_path / "whole", 3, tmp_path / "killed")

    result = run_recipe(recipe, killed, resume=True, data_dir=tmp_path)

    assert result
    assert result["final_step"] == 6
    require_same_end(kind, killed, tmp_path / "whole")


@pytest.mark.slow
def test_a_stop_saves_first_and_the_rest_comes_out_the_same(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft")])
    assert run_recipe(recipe, tmp_path / "whole", data_dir=tmp_path)

    class Asking(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            if "step 4 of 6" in line:
                RunDir(tmp_path / "run").stop_file.touch()

    assert run_recipe(recipe, tmp_path / "run", said=Asking(), data_dir=tmp_path) is None
    stopped = RunDir(tmp_path / "run").state()
    steps = [row["step"] for row in progress(tmp_path / "run")]
    assert (stopped.status, stopped.message) == ("stopped", "Stopped at step 5 of Stage 1: SFT.")
    assert max(steps) == 5  # the step after the one that was said
    assert run_recipe(recipe, tmp_path / "run", resume=True, data_dir=tmp_path)

    assert RunDir(tmp_path / "run").state().status == "done"
    assert progress(tmp_path / "run") == progress(tmp_path / "whole")


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(trained: Path, base: Path, tmp_path: Path) -> None:
    killed = cut_after(trained, 6, tmp_path / "killed")
    weights = killed / "stages" / "0-sft" / "checkpoint-6" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    said: list[str] = []

    result = run_recipe(trained.parent / "sft.yaml", killed, resume=True, said=said)

    assert "The checkpoint of step 6 is damaged and is left out." in said
    assert result
    assert progress(killed) == progress(trained)


def test_when_all_checkpoints_are_damaged_it_says_so(trained: Path, tmp_path: Path) -> None:
    killed = cut_after(trained, 6, tmp_path / "killed")
    for weights in (killed / "stages").rglob("adapter_model.safetensors"):
        weights.write_bytes(b"")

    with pytest.raises(InvalidInput, match=r"All checkpoints of this run are damaged \(steps 3, 6\); start it anew"):
        run_recipe(trained.parent / "sft.yaml", killed, resume=True)

    assert RunDir(killed).state().status == "failed"


@pytest.mark.slow
def test_a_checkpoint_that_was_never_finished_is_passed_over(trained: Path, tmp_path: Path) -> None:
    killed = cut_after(trained, 6, tmp_path / "killed")
    (killed / "stages" / "0-sft" / "checkpoint-6" / "sealed.json").unlink()
    said: list[str] = []

    assert run_recipe(trained.parent / "sft.yaml", killed, resume=True, said=said)

    assert "The checkpoint of step 6 was never finished and is left out." in said
    assert progress(killed) == progress(trained)


# What can go wrong


def test_an_adapter_with_another_tokenizer_is_refused(trained: Path, base: Path, data: Path, tmp_path: Path) -> None:
    from tiny_hf import write_tokenizer

    from train.modeling import require_same_tokens

    other = tmp_path / "tiny-llama"
    shutil.copytree(base, other)
    write_tokenizer(other, more=["<more>"])

    require_same_tokens(trained / "artifacts" / "0-sft", base)
    with pytest.raises(ModelUnavailable, match="was trained with another tokenizer than that of 'tiny-llama'"):
        require_same_tokens(trained / "artifacts" / "0-sft", other)


def test_layers_that_the_base_does_not_have_are_named(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", lora={**LORA, "targets": ["c_attn"]})])

    with pytest.raises(InvalidInput, match=r"has no layer 'c_attn' .* set lora\.targets to some of .*q_proj"):
        run_recipe(recipe, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_the_run_with_a_line(tmp_path: Path) -> None:
    from train.callbacks import RunCallback
    from train.recipe_schema import SftStage

    callback = RunCallback(SftStage.model_validate(stage("sft")), tmp_path, None, "fp16", print)
    state = SimpleNamespace(global_step=7, max_steps=9)

    with pytest.raises(MedChatError, match=r"no number any more at step 7: it grew beyond what fp16 can hold\."):
        callback.on_log(None, state, None, {"loss": float("nan")})


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_answers_on_the_way_do_not_change_what_a_quantised_base_learns(
    base: Path, data: Path, tmp_path: Path, precision: str
) -> None:
    one = stage("sft", precision=precision, double_quant=precision == "nf4", max_steps=3)
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [one], held_out={"rows": 2, "max_new_tokens": 4,
                                                                           "at_each_evaluation": True})  # fmt: skip
    run_recipe(recipe, tmp_path / "with")
    silent = ["held_out.rows=0", "held_out.at_each_evaluation=false"]
    run_recipe(recipe, tmp_path / "without", overrides=silent)

    losses = [[row["loss"] for row in progress(tmp_path / name) if "loss" in row] for name in ("with", "without")]
    assert losses[0] == losses[1]
    assert losses[0][0] > losses[0][2]


@pytest.mark.slow
def test_rewards_that_are_all_tied_are_told(base: Path, data: Path, tmp_path: Path) -> None:
    tied = stage("grpo", rewards=[{"name": "unsafe"}], max_steps=11, eval_steps=0)
    said: list[str] = []

    result = run_recipe(write_recipe(tmp_path / "r.yaml", base, data, [tied]), tmp_path / "run", said=said)

    assert any(
        line.startswith("All answers to each question got the same reward in the last 10 steps") for line in said
    )
    assert result
    assert "nothing was learnt" in result["stages"][0]["notes"][0]


def test_grpo_says_when_there_are_too_few_questions_for_a_batch(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_rows(data / "train.jsonl", [example(n) for n in range(3)])
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("grpo", per_device_train_batch_size=8, eval_steps=0)])

    # 8 answers in groups of 2 are 4 questions.
    with pytest.raises(InvalidInput, match=r"has 3 questions to train on, and a round of answers takes 4"):
        run_recipe(recipe, tmp_path / "run")


@pytest.mark.slow
def test_noisy_pairs_use_the_measured_disagreement(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "ratings"
    data.mkdir()
    write_rows(data / "dpo.jsonl", [pair(n) for n in range(6)])
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("dpo", max_steps=1, eval_steps=0)])
    first = run_recipe(recipe, tmp_path / "unknown")
    (data / "report.json").write_text(json.dumps({"disagreement": 0.25}))
    second = run_recipe(recipe, tmp_path / "known")

    assert first
    assert second
    assert first["stages"][0]["notes"] == [
        "The raters' disagreement could not be measured; 0.1 of the pairs count as wrong."
    ]
    assert second["stages"][0]["notes"] == ["The raters disagree on 0.25 of the pairs; 0.25 of them count as wrong."]


@pytest.mark.parametrize("file", ["", "dpo.jsonl"])
def test_ratings_are_shown_before_they_are_trained_on(base: Path, tmp_path: Path, file: str) -> None:
    judges = Judges(tmp_path)
    for number in range(4):
        judges.vote("ada", "a", "Gout.", "Flu.", f"Question {number}?")
    judges.vote("ada", "tie", "Gout.", "Flu.", "Question 5?")
    write(collect(judges.store, {}), tmp_path / "ratings")
    judges.store.close()
    recipe = write_recipe(tmp_path / "r.yaml", base, tmp_path / "ratings" / file,
                          [stage("dpo", max_steps=1, eval_steps=0)])  # fmt: skip
    said: list[str] = []

    assert run_recipe(recipe, tmp_path / "run", said=said)

    shown = next(number for number, line in enumerate(said) if "dpo.jsonl: 4 train, 0 validation" in line)
    lines = said[shown].splitlines()
    assert "left out of dpo.jsonl: 1 the votes are even" in lines
    assert sum(line.startswith("example ") for line in lines) == 3
    assert any(line.startswith("agreement of the votes") for line in lines)
    assert not [line for line in said[:shown] if "loading" in line]


def command(recipe: Path, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "train", "run", str(recipe), "--run-dir", str(folder), "--threads", "1",
            "--data-dir", str(folder.parent / "home"), *more]  # fmt: skip


@pytest.mark.slow
def test_a_full_disk_is_one_line(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage("sft", lora={**LORA, "r": 32})])

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        command(recipe, tmp_path / "run"), cwd=ROOT, capture_output=True, text=True, preexec_fn=small_files, timeout=150
    )

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "train: The disk is full: free some space, then resume the run."
    assert RunDir(tmp_path / "run").state().status == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "steps"), [("sft", 400), ("dpo", 100), ("grpo", 60)])
def test_a_killed_trainer_is_resumed_to_the_same_end(
    base: Path, data: Path, tmp_path: Path, kind: str, steps: int
) -> None:
    recipe = write_recipe(tmp_path / "r.yaml", base, data, [stage(kind, max_steps=steps, save_steps=7, eval_steps=0)])
    assert subprocess.run(command(recipe, tmp_path / "whole"), cwd=ROOT, check=False, timeout=150).returncode == 0
    process = subprocess.Popen(command(recipe, tmp_path / "run"), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "step 23 of" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert RunDir(tmp_path / "run").state().status == "lost"

    done = subprocess.run(command(recipe, tmp_path / "run", "--resume"), cwd=ROOT, check=False, timeout=150)

    assert done.returncode == 0
    assert RunDir(tmp_path / "run").state().status == "done"
    require_same_end(kind, tmp_path / "run", tmp_path / "whole")
