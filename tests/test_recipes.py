import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_training import example, pair, rated, stage, write_data, write_recipe, write_rows

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, MedChatError, NotFound
from medchat.prompts import build_messages
from medchat.rundir import RunDir
from medchat.settings import Settings
from train.__main__ import main
from train.plan import find_data, planned_steps, resolve_base
from train.recipe_schema import DpoStage, GrpoStage, Recipe, SftStage, steps_between_generations
from train.recipes import RECIPES, RecipeFault, at_line, load_recipe, recipe_names

SEEDS = ("gemma3-1b-grpo", "gemma2-2b-symptom-diagnosis", "llama32-3b-cot", "llama31-8b-cot", "medgemma-27b-lora",
         "medgemma-27b-grpo", "demo-sft", "demo-grpo", "demo-dpo")  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "mine.yaml", tmp_path / "base", tmp_path / "data", [stage("sft")])


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_recipes_that_come_with_it_can_all_be_read() -> None:
    assert set(recipe_names()) == set(SEEDS)
    for name in SEEDS:
        assert load_recipe(name).name == name


def test_gemma_grpo_has_the_numbers_of_its_project() -> None:
    recipe = load_recipe("gemma3-1b-grpo")
    (stage,) = recipe.stages
    assert isinstance(stage, GrpoStage)
    assert stage.lora is not None
    assert recipe.base == "unsloth/gemma-3-1b-it"
    assert (stage.lora.r, stage.lora.alpha, stage.lora.dropout) == (8, 8, 0)
    assert stage.lora.why
    assert (stage.max_steps, stage.learning_rate, stage.num_generations) == (300, 3e-6, 6)
    assert (stage.per_device_train_batch_size, stage.gradient_accumulation_steps) == (6, 4)
    assert (stage.max_prompt_length, stage.max_completion_length, stage.optim) == (768, 256, "adamw_torch_fused")


def test_the_symptom_recipe_has_the_numbers_of_its_project() -> None:
    recipe = load_recipe("gemma2-2b-symptom-diagnosis")
    (stage,) = recipe.stages
    assert isinstance(stage, SftStage)
    assert stage.lora is not None
    assert (stage.precision, stage.double_quant, stage.compute) == ("nf4", True, "fp16")
    assert (stage.lora.r, stage.lora.alpha, stage.lora.dropout, stage.lora.targets) == (
        16,
        32,
        0.05,
        ["q_proj", "v_proj"],
    )
    assert (stage.learning_rate, stage.warmup_steps, stage.weight_decay, stage.max_grad_norm) == (2e-4, 100, 0.01, 1.0)
    assert (stage.optim, stage.lr_scheduler_type, stage.keep_step) == ("adamw_8bit", "linear", 1100)
    assert recipe.held_out.training_rows > 0
    # 10,000 rows in batches of 4 x 4 are 625 steps an epoch, and 1,875 in three.
    assert planned_steps(stage, 10_000) == 1875


@pytest.mark.parametrize(
    ("base", "step"),
    [
        ("BioMistral/BioMistral-7B", 700),
        ("biomistral-7b", 700),
        ("medalpaca-7b", 600),
        ("microsoft/BioGPT-Large", 1100),
    ],
)
def test_the_ensemble_keeps_the_published_step_of_each_base(base: str, step: int) -> None:
    recipe = load_recipe("gemma2-2b-symptom-diagnosis", [f"base={base}"])

    assert recipe.base == base
    assert recipe.stages[0].keep_step == step


def test_what_is_set_goes_before_what_a_base_changes() -> None:
    recipe = load_recipe("gemma2-2b-symptom-diagnosis", ["base=biomistral-7b", "stages.0.keep_step=5"])

    assert recipe.stages[0].keep_step == 5


def test_the_prompts_are_those_that_the_published_models_are_asked_with(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    for name, model_id in (
        ("gemma2-2b-symptom-diagnosis", "medgemma-symptom-diagnosis"),
        ("llama32-3b-cot", "llama-3.2-3b-medical-cot"),
        ("gemma3-1b-grpo", "gemma-3-medical-grpo"),
    ):
        recipe, spec = load_recipe(name), catalogue[model_id]
        assert (recipe.prompt or "") == spec.prompt
        assert (recipe.system_prompt or "") == spec.system_prompt
        assert recipe.answer_format == spec.answer_format
        assert build_messages(spec, "Fever?")  # it can be asked


def test_medgemma_trains_sets_of_millions_for_one_epoch() -> None:
    first = load_recipe("medgemma-27b-grpo").stages[0]

    # 2 x 8 rows a step: 1,000 rows are 63 steps an epoch, and 189 in three; 1,000,000 are 62,500 in one.
    assert planned_steps(first, 1000) == 189
    assert planned_steps(first, 1_000_000) == 62_500


def test_an_override_changes_any_key(recipe: Path) -> None:
    found = load_recipe(str(recipe), ["stages.0.learning_rate=1e-4", "stages.0.lora.r=2", "held_out.rows=7", "seed=3"])

    assert found.stages[0].learning_rate == 1e-4
    assert found.stages[0].lora is not None
    assert found.stages[0].lora.r == 2
    assert (found.held_out.rows, found.seed) == (7, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "stages.0.learning_rat=1",
            "--set stages.0.learning_rat: a recipe has no such key; the nearest is learning_rate",
        ),
        ("stages.0.max_steps=many", "--set stages.0.max_steps: must be a whole number, not 'many'."),
        ("stages.0.max_steps=3.5", "--set stages.0.max_steps: must be a whole number, not 3.5."),
        ("stages.0.max_steps=", "--set stages.0.max_steps: must be a whole number, not nothing."),
        ("report_to=wandb", "--set report_to: must be a list, not 'wandb'; write it as [wandb]."),
        ("report_to=[excel]", "--set report_to.0: must be wandb or tensorboard, not 'excel'."),
        ("title=5", '--set title: must be a text, not 5; write it as "5".'),
        ("stages.0.gradient_checkpointing=maybe", "must be true or false, not 'maybe'."),
        ("stages.0.lora=4", "--set stages.0.lora: must be settings by name, not 4; write it as {name: value}."),
        ("stages.0.lora.targets=[]", "--set stages.0.lora.targets: this is empty; give one at least."),
        ("stages.0.lora.dropout=2", "--set stages.0.lora.dropout: must be 1 or less, not 2."),
        (
            "stages.0.optim=adam",
            "must be adamw_torch, adamw_torch_fused, adamw_8bit, paged_adamw_8bit or sgd, not 'adam'.",
        ),
        ("name=A b", "--set name: must be small letters, digits, dots and hyphens,"),
        ("stages.7.max_steps=1", "there is no stages.7"),
        ("learning_rate", "write KEY=VALUE"),
        ("stages.0.learning_rate=[", "not valid YAML"),
        ("stages.0.learning_rate=-1", "--set stages.0.learning_rate: must be more than 0, not -1."),
    ],
)
def test_a_wrong_override_is_named(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=r".*") as caught:
        load_recipe(str(recipe), [override])

    assert message in str(caught.value)


def test_a_value_of_several_types_is_told_all_of_them() -> None:
    with pytest.raises(
        InvalidInput, match=r"^--set stages.0.label_smoothing: must be measured or a number, not 'high'\.$"
    ):
        load_recipe("demo-dpo", ["stages.0.label_smoothing=high"])


def places_in(value: Any, place: str = "") -> Iterator[str]:
    """The key of every setting."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        key = f"{place}.{name}".lstrip(".")
        yield key
        yield from places_in(part, key)


@pytest.mark.parametrize("name", ["demo-grpo", "demo-dpo"])
def test_no_wrong_value_is_told_in_words_of_a_library(name: str) -> None:
    wrong = ("words", "-7", "3.5", "true", "[]", "[[1]]", "{a: 1}", "null", '""', "99999999999999999999999")
    told = set()
    for key in places_in(load_recipe(name).resolved()):
        for value in wrong:
            try:
                load_recipe(name, [f"{key}={value}"])
            except InvalidInput as error:
                told.add(str(error))
    assert len(told) > 300
    theirs = re.compile(r"[Ii]nput should|a valid|[Uu]nable|pydantic|literal\[|function-")
    assert not [line for line in told if theirs.search(line)]


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        ("max_steps: 6", "max_step: 6", "max_step: 6", "the nearest is max_steps"),
        ("kind: sft", "kind: ppo", "kind: ppo", "a stage is one of sft, grpo, dpo, kto"),
        ("title: Tiny", "title: ''", "title", "title:"),
        ("r: 4", "r: 0", "r: 0", "must be 1 or more, not 0"),
        ("answer_format: think", "answer_format: thinks", "answer_format", "there is no format 'thinks'"),
        ("seed", "seed", "", ""),
    ][:-1],
)
def test_a_fault_names_its_line(recipe: Path, old: str, new: str, at: str, message: str) -> None:
    changed(recipe, old, new)

    with pytest.raises(InvalidInput, match=r".*") as caught:
        load_recipe(str(recipe))

    assert str(caught.value).startswith(f"mine.yaml:{line_of(recipe, at)}: ")
    assert message in str(caught.value)


def test_an_unknown_recipe_is_told_the_nearest() -> None:
    with pytest.raises(NotFound, match="Did you mean demo-sft"):
        load_recipe("demo-stf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"double_quant": True}, "double_quant: is for the precision nf4"),
        ({"early_stopping": {"patience": 2}, "eval_steps": 0}, "early_stopping: needs evaluations"),
        ({"keep_step": 9}, "keep_step: comes after the last step, 6"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_recipe(tmp_path / "r.yaml", tmp_path, tmp_path, [stage("sft", **changes)])

    with pytest.raises(InvalidInput, match=message):
        load_recipe(str(path))


def test_a_later_stage_brings_no_adapter_of_its_own(tmp_path: Path) -> None:
    lora = {"r": 4, "alpha": 8, "targets": ["q_proj"]}
    path = write_recipe(tmp_path / "r.yaml", tmp_path, tmp_path, [stage("sft"), stage("dpo", lora=lora)])

    with pytest.raises(
        InvalidInput, match=r"stages\.1\.lora: a later stage goes on with the adapter of the one before"
    ):
        load_recipe(str(path))


def test_a_grpo_batch_that_cannot_be_parted_into_groups_is_refused(tmp_path: Path) -> None:
    grpo = stage("grpo", per_device_train_batch_size=6, gradient_accumulation_steps=4, num_generations=5)
    path = write_recipe(tmp_path / "r.yaml", tmp_path, tmp_path, [grpo])

    with pytest.raises(InvalidInput, match=r".*") as caught:
        load_recipe(str(path))

    # 6 x 4 = 24 answers; of the groups that part them 6 is the recipe's own.
    assert str(caught.value).startswith(
        f"r.yaml:{line_of(path, 'num_generations')}: stages.0.num_generations: 24 answers"
    )
    assert "2, 3, 4, 6, 8, 12 or 24" in str(caught.value)


def test_a_reward_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "r.yaml", tmp_path, tmp_path, [stage("grpo", rewards=[{"name": "niceness"}])])

    with pytest.raises(InvalidInput, match="there is no reward 'niceness'"):
        load_recipe(str(path))


# 4 batches of 2 make a step; 8 batches from each round, each learnt from once: a round lasts 2 steps.
@pytest.mark.parametrize(("batches", "times", "steps"), [(0, 1, 1), (8, 1, 2), (4, 2, 2), (2, 1, 1), (6, 1, 3)])
def test_checkpoints_of_grpo_are_taken_where_its_answers_are_used_up(batches: int, times: int, steps: int) -> None:
    values = stage("grpo", gradient_accumulation_steps=4, steps_per_generation=batches, num_iterations=times)

    assert steps_between_generations(GrpoStage.model_validate(values)) == steps


# The base


def resolved(tmp_path: Path, base: str) -> Any:
    recipe = load_recipe("demo-sft", [f"base={base}"])
    return resolve_base(recipe, Catalogue(tmp_path / "models"), tmp_path / "models")


def test_the_bundled_base_is_trained_from_its_safetensors(tmp_path: Path) -> None:
    base = resolved(tmp_path, "demo-base")

    assert base.folder.name == "demo-base"
    assert (base.spec.answer_format, base.spec.grounded, base.adapter) == ("gemma-grpo", True, None)


def test_a_base_of_the_hub_is_found_by_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "unsloth--gemma-3-1b-it"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")

    assert resolved(tmp_path, "unsloth/gemma-3-1b-it").folder == folder
    assert resolved(tmp_path, "gemma-3-1b-it").name == "unsloth/gemma-3-1b-it"
    assert resolved(tmp_path, str(folder)).folder == folder


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            "unsloth/gemma-3-1b-it",
            "is not on this machine; fetch it with `python -m medchat models fetch gemma-3-1b-it`",
        ),
        ("nobody/nothing", "there is no model 'nobody/nothing' on this machine"),
        ("gemma-3-1b-it-gguf", "is a GGUF file, and training needs weights of transformers; choose gemma-3-1b-it"),
        ("baichuan-m3-235b", "answers on a server"),
    ],
)
def test_a_base_that_is_not_here_is_refused_with_the_line(tmp_path: Path, base: str, message: str) -> None:
    catalogue = Catalogue(tmp_path)
    if base == "baichuan-m3-235b":
        base = next(spec.id for spec in catalogue.values() if spec.endpoint)
    path = write_recipe(tmp_path / "r.yaml", base, tmp_path, [stage("sft")])

    with pytest.raises(RecipeFault, match=r".*") as caught:
        resolve_base(load_recipe(str(path)), catalogue, tmp_path)

    told = str(at_line(str(path), [], caught.value))
    assert told.startswith(f"r.yaml:{line_of(path, 'base:')}: base: ")
    assert message in told


def test_a_base_that_was_fetched_in_part_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "unsloth--gemma-3-1b-it"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / ".unfinished").touch()

    with pytest.raises(RecipeFault, match="is not on this machine but in part"):
        resolved(tmp_path, "gemma-3-1b-it")


# The data


def of(kind: str, folder: Path, data: Path) -> Recipe:
    return load_recipe(str(write_recipe(folder / "r.yaml", folder, data, [stage(kind)])))


def look(recipe: Recipe, tmp_path: Path) -> Any:
    return find_data(recipe, None, tmp_path, print)


def test_the_rows_of_each_split_are_counted(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")

    for kind in ("sft", "dpo", "kto", "grpo"):
        assert look(of(kind, tmp_path, data), tmp_path).rows[0].n == {"train": 20, "validation": 4, "test": 0}


def test_a_file_without_splits_leaves_one_question_of_ten_to_validate(tmp_path: Path) -> None:
    rows = [{key: value for key, value in example(n).items() if key != "split"} for n in range(400)]
    file = write_rows(tmp_path / "mine.jsonl", rows)

    counted = look(of("sft", tmp_path, file), tmp_path).rows[0].n

    assert counted["train"] + counted["validation"] == 400
    assert 20 <= counted["validation"] <= 60


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize(
    ("kind", "name", "rows", "message"),
    [
        ("sft", "train.jsonl", [], "train.jsonl is empty; put one question with its answer in each line."),
        ("dpo", "dpo.jsonl", [], "dpo.jsonl is empty: there are no pairs from ratings yet."),
        ("kto", "kto.jsonl", [], "there are no rated answers from ratings yet"),
        ("sft", "train.jsonl", [example(1), example(1)], "one question only"),
        ("sft", "train.jsonl", [example(1), without(example(2), "answer")], "train.jsonl, line 2: 'answer' is missing"),
        ("sft", "train.jsonl", [example(1), example(2) | {"answer": None}], "line 2: 'answer' is null"),
        ("dpo", "dpo.jsonl", [pair(1), without(pair(2), "rejected")], "line 2: 'rejected' is missing"),
        ("dpo", "dpo.jsonl", [pair(1), pair(2) | {"chosen": pair(2)["rejected"]}], "the chosen answer is the rejected"),
        ("kto", "kto.jsonl", [rated(1), without(rated(2), "label")], "line 2: 'label' is missing"),
        ("sft", "dpo.jsonl", [pair(1)], "a stage of sft needs sft.jsonl or train.jsonl in 'data', which has dpo.jsonl"),
        ("grpo", "grpo.jsonl", [example(1, "test"), example(2, "test")], "has no row of the split 'train'"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, kind: str, name: str, rows: list[dict[str, Any]], message: str
) -> None:
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / name, rows)

    with pytest.raises(MedChatError, match=r".*") as caught:
        look(of(kind, tmp_path, tmp_path / "data"), tmp_path)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_on_ratings_says_how_to_write_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeFault, match="python -m train feedback"):
        look(load_recipe("demo-dpo"), tmp_path)


def test_a_recipe_on_a_data_set_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeFault, match=r"medical-o1-reasoning-SFT.*python -m train prepare"):
        look(load_recipe("llama32-3b-cot"), tmp_path)


def test_a_resolved_recipe_says_every_setting_in_plain_values() -> None:
    resolved = load_recipe("demo-dpo").resolved()

    assert yaml.safe_load(yaml.safe_dump(resolved)) == resolved
    assert resolved["stages"][0]["weight_decay"] == 0.0
    assert Recipe.model_validate(resolved) == load_recipe("demo-dpo")


def test_the_disagreement_of_the_raters_is_the_default_of_the_robust_loss() -> None:
    (stage,) = load_recipe("demo-dpo").stages

    assert isinstance(stage, DpoStage)
    assert (stage.loss_type, stage.label_smoothing) == ("robust", "measured")


def test_where_curves_go_must_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from train.run import train

    monkeypatch.setattr("train.run.find_spec", lambda _: None)  # wandb may be installed here

    with pytest.raises(RecipeFault, match="report_to: the package wandb is not installed; run `pip install wandb`"):
        train(
            load_recipe("demo-sft", ["report_to=[wandb]"]), None, RunDir(tmp_path / "run"),
            Settings(data_dir=tmp_path), resume=False, say=print,
        )  # fmt: skip


def test_an_estimate_needs_neither_the_base_nor_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for machine in ("T4", "H200"):
        assert main(["run", "medgemma-27b-lora", "--estimate", machine, "--data-dir", str(tmp_path)]) == 0

    t4, h200 = (part for part in capsys.readouterr().out.split("medgemma-27b-lora on ") if part)
    assert t4.startswith("T4 (16 GB, no bf16)\nStage 1: SFT: about ")
    assert "It does not fit: there are 16 GB." in t4
    assert "As it is it fits on one A100 (40 GB)." in t4
    for told in ("its shape is a guess", "models fetch medgemma-27b-text-it", "Give --data DIR."):
        assert told in t4
    assert "It fits." in h200
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()


def test_an_estimate_on_this_machine_knows_the_demo_s_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo-sft", "--estimate", "--data-dir", str(tmp_path)]) == 0

    told = capsys.readouterr().out
    assert re.match(r"demo-sft on .*: .* are free\nStage 1: SFT: about [\d.]+ GB of memory while learning \(", told)
    assert "240 steps, time not known before the first steps" in told
    assert not re.search("guess|Before it can|Its data", told)


def test_an_estimate_uses_the_data_that_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path / "rows.jsonl", [example(n, "train") for n in range(320)])
    command = ["run", "medgemma-27b-lora", "--estimate", "H200", "--data", str(tmp_path / "rows.jsonl")]
    assert main([*command, "--data-dir", str(tmp_path)]) == 0

    told = capsys.readouterr().out
    assert "; 60 steps, " in told  # 320 rows, 3 times, 2 x 8 a step
    assert "from the number of operations" in told


def test_an_estimate_of_what_nobody_knows_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "demo-sft", "--estimate", "--set", "base=nobody/knows"]
    assert main([*command, "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("train: --set base: there is no model 'nobody/knows' on this machine")


def test_the_command_says_in_one_line_what_is_to_be_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["run", "llama32-3b-cot", "--set", "base=demo-base", "--data-dir", str(tmp_path)])

    line = line_of(RECIPES / "llama32-3b-cot.yaml", "data:")
    assert status == 1
    assert capsys.readouterr().err.startswith(f"train: llama32-3b-cot.yaml:{line}: data: this recipe needs a folder")
    assert not (tmp_path / "runs").exists()
