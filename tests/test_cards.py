"""A card says what a model is, was made from and can do, and nothing that is nobody's business."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from medchat.catalogue import ModelSpec
from medchat.models_file import unknown_model
from medchat.records import Example
from train.cards import licence_name, merged_card, model_card
from train.data_facts import data_facts, hub_names
from train.plan import Data, Rows

SPEC = replace(
    unknown_model("transformers"),
    id="ours",
    name="Llama 3.2 3B + our-recipe",
    licence="Llama 3.2 Community License",
    languages=("en", "de"),
    limits=("Reads no images.", "Not for the care of patients."),
    path=Path("/home/anna/models/llama"),
)
LORA = {"r": 16, "alpha": 32, "dropout": 0.05, "targets": ["q_proj", "v_proj"], "why": ""}
CONFIG: dict[str, Any] = {
    "kind": "train",
    "recipe": {
        "name": "our-recipe",
        "base": "/home/anna/models/llama",
        "data": "/home/anna/patients",
        "seed": 7,
        "stages": [
            {"kind": "sft", "lora": LORA, "precision": "nf4", "learning_rate": 0.0001},
            {"kind": "grpo", "lora": None, "rewards": [{"name": "hybrid", "weight": 2.0, "options": {"judge": "x"}}]},
        ],
    },
    "base": {"id": "llama", "name": "meta-llama/Llama-3.2-3B", "folder": "/home/anna/models/llama", "adapter": None},
    "data": {"folder": "/home/anna/patients", "files": []},
    "versions": {"torch": "2.13.0", "trl": "1.16.0", "python": "3.11.7"},
}


def measured(value: float | None, low: float | None = None, high: float | None = None, n: int = 40) -> dict[str, Any]:
    return {"value": value, "n": n, "n_unscored": 0, "low": low, "high": high, "method": "Wilson, 95 %"}


RESULT: dict[str, Any] = {
    "kind": "training",
    "stages": [
        {
            "kind": "sft", "step": 150, "final_step": 200, "notes": ["2 of 90 rows were left out."],
            "rows": {"in_files": {"train": 1200, "validation": 0, "test": 0}, "used": {"train": 1100, "validation": 0},
                     "seen": 800},
            "metrics": {
                "exact_before": measured(0.1, 0.04, 0.23),
                "exact": measured(0.5, 0.352, 0.648),
                "exact_training": measured(0.95, 0.83, 0.99),
                "supported": measured(None, n=0),
            },
        },
        {"kind": "grpo", "step": 32, "final_step": 32, "notes": [], "metrics": {"exact": measured(0.6, None, None)}},
    ],
    "data": {
        "files": [{"file": "train.jsonl", "sha256": "ab" * 32, "rows": 1200}],
        "sources": [
            {"name": "FreedomIntelligence/medical-o1-reasoning-SFT (en)", "licence": "Apache-2.0", "rows": 1100},
            {"name": "ratings", "licence": "not named", "rows": 100},
        ],
        "ratings": 31, "raters": 3, "disagreement": 0.125,
    },
}  # fmt: skip


def card(spec: ModelSpec = SPEC, result: dict[str, Any] = RESULT, revision: str = "0123abc") -> str:
    return model_card(spec, "meta-llama/Llama-3.2-3B", revision, CONFIG, result)


def front_matter(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_front_matter_is_what_the_hub_reads() -> None:
    assert front_matter(card()) == {
        "base_model": "meta-llama/Llama-3.2-3B",
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "llama3.2",
        "language": ["en", "de"],
        "datasets": ["FreedomIntelligence/medical-o1-reasoning-SFT"],
        "tags": ["medical", "reasoning", "lora", "medchat", "sft", "grpo"],
    }


@pytest.mark.parametrize(
    ("licence", "name"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("Gemma Terms of Use", "gemma"),
        ("Apache-2.0, as its card says; Gemma Terms of Use for the base", "other"),
        ("Health AI Developer Foundations terms", "other"),
        ("not known", "other"),
    ],
)
def test_a_licence_with_conditions_never_passes_for_a_free_one(licence: str, name: str) -> None:
    assert licence_name(licence) == name
    front = front_matter(card(replace(SPEC, licence=licence)))
    assert front["license"] == name
    assert front.get("license_name", licence) == licence


def test_each_stage_has_its_metrics_before_and_after_with_intervals() -> None:
    text = card()
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")][:5]
    assert head == "| stage | metric | before | after | on rows trained on | n |"
    assert rows == [
        "| 0-sft | exact | 0.100 (0.040 to 0.230) | 0.500 (0.352 to 0.648) | 0.950 (0.830 to 0.990) | 40 |",
        "| 0-sft | supported | – | – | – | 0 |",
        "| 1-grpo | exact | – | 0.600 | – | 40 |",
    ]
    bare = copy.deepcopy(RESULT)
    for stage in bare["stages"]:
        stage["metrics"] = {}
    assert "Nothing was measured on held-out rows" in card(result=bare)


def test_base_recipe_data_ratings_and_limits_are_there() -> None:
    text = card()
    for words in (
        "`meta-llama/Llama-3.2-3B` at revision `0123abc`",
        "by the recipe `our-recipe`: supervised fine-tuning on questions with reasoning and answer, then group",
        "LoRA of rank 16, alpha 32, dropout 0.05, on q_proj, v_proj.",
        "200 steps, the adapter of step 150 was kept",
        "Rewards: hybrid x 2.0.",
        "Rows: 1,200 rows in the file to train on, 1,100 used, 800 seen.",
        "2 of 90 rows were left out.",
        "torch 2.13.0, trl 1.16.0; seed 7",
        "| FreedomIntelligence/medical-o1-reasoning-SFT (en) | Apache-2.0 | 1,100 |",
        f"| train.jsonl | 1,200 | `{'ab' * 32}` |",
        "31 ratings and votes of 3 raters stand behind these rows; their disagreement was 0.12.",
        "**Not for the care of a patient**",
        "- Reads no images.",
        "## Bias",
        "Its training used judgements of raters",
        "dettmers2023qlora",
        "shao2024deepseekmath",
    ):
        assert words in text
    assert "rafailov2023dpo" not in text


def test_no_place_of_this_machine_and_no_name_of_a_person_is_there() -> None:
    text = card()
    assert "anna" not in text
    assert "patients/" not in text
    assert "/home" not in text


def test_the_card_of_a_merged_model_says_that_it_is_one() -> None:
    text = merged_card(card())
    front = front_matter(text)
    assert (front["base_model_relation"], front["library_name"]) == ("finetune", "transformers")
    assert "A merged model: a LoRA adapter in the weights of `meta-llama/Llama-3.2-3B`" in text


# What the data was


def write(path: Path, *examples: Example) -> Path:
    path.write_text("".join(example.to_json() + "\n" for example in examples), encoding="utf-8")
    return path


def data_of(path: Path, kind: str = "sft", report: dict[str, Any] | None = None) -> Data:
    rows = Rows(kind, path, None, None, {"train": 1, "validation": 0, "test": 0})
    return Data(path.parent, (rows,), ({"file": path.name, "sha256": "00", "rows": 1},), report or {})


def test_rows_are_counted_by_source_and_ratings_once(tmp_path: Path) -> None:
    rated = {"ratings": ["r1", "r2"], "raters": 2}
    path = write(
        tmp_path / "train.jsonl",
        Example("a?", "A", source="ratings", licence="CC-BY-4.0", meta=rated),
        Example("b?", "B", source="ratings", licence="CC-BY-4.0", meta={**rated, "ratings": ["r2", "r3"]}),
        Example("c?", "C"),
    )
    found = data_facts(data_of(path, report={"raters": {"anna": {}, "ben": {}, "eva": {}}, "disagreement": 0.25}))
    assert found["sources"] == [
        {"name": "ratings", "licence": "CC-BY-4.0", "rows": 2},
        {"name": "not named", "licence": "not named", "rows": 1},
    ]
    assert (found["ratings"], found["raters"], found["disagreement"]) == (3, 3, 0.25)
    assert "anna" not in str(found)


def test_pairs_are_from_ratings_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "dpo.jsonl"
    answers = '"chosen": {"solution": "A"}, "rejected": {"solution": "B"}'
    path.write_text(f'{{"question": "a?", {answers}, "ratings": ["v1"], "raters": 1, "split": "train"}}\n')
    found = data_facts(data_of(path, "dpo"))
    assert found["sources"] == [{"name": "ratings of answers", "licence": "not named", "rows": 1}]
    assert (found["ratings"], found["raters"], found["disagreement"]) == (1, 1, None)


def test_a_file_is_named_without_its_folders(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", Example("a?", "A", source="/home/anna/ward 3/cases.csv"))
    assert data_facts(data_of(path))["sources"][0]["name"] == "cases.csv"


def test_only_names_of_the_hub_are_data_sets_of_the_hub() -> None:
    names = ["owner/set (en)", "ratings", "a/b/c", "/some/where", "generated from assets/knowledge"]
    assert hub_names([{"name": name} for name in names]) == ["owner/set"]
