"""From the teaching facts to the two bundled models: `python -m train demo`."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from medchat.errors import InvalidInput
from medchat.grounding_fit import cache_name, fit, save
from medchat.knowledge import load_cases, load_knowledge
from train.demo.lessons import Teacher
from train.demo.pretrain import Stage, new_model, train_stage
from train.demo.suites import write_suites
from train.demo.tokenizer import train_tokenizer
from train.export import to_gguf

GGUF_KIND = "q8_0"
MODELS = {"demo-base": "base", "demo": "answer"}  # name -> the stage after which it is taken


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the bundled models are made: token budgets in millions, learning rates, seed."""

    base_tokens: float = 0.7
    answer_tokens: float = 3.4
    learning_rate: float = 3e-3
    answer_learning_rate: float = 2e-3
    seed: int = 1

    @property
    def stages(self) -> tuple[Stage, Stage]:
        """The two stages in order."""
        return (
            Stage("base", int(self.base_tokens * 1e6), self.learning_rate),
            Stage("answer", int(self.answer_tokens * 1e6), self.answer_learning_rate),
        )


def build(
    out: Path,
    suites: Path,
    run_dir: Path,
    cache_dir: Path,
    recipe: Recipe,
    threads: int,
    report: Callable[[str], None],
) -> None:
    """Train both models; write GGUF, safetensors, tokenizer and card to `out`, the generated test suites to `suites`.

    A run that was stopped goes on from run_dir, which belongs to one recipe and one state of the knowledge.
    Raises InvalidInput when a folder cannot be made.
    """
    for folder in (out, suites, run_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"The folder {folder} cannot be made ({error.strerror}); choose another.") from error
    torch.set_num_threads(threads)
    knowledge = load_knowledge()
    cases = load_cases(knowledge)
    _claim(run_dir, {"recipe": repr(recipe), "knowledge": knowledge.digest, "cases": cases.digest})
    report(f"{len(knowledge.conditions)} conditions, {len(knowledge.findings)} findings; fitting the grounding")
    grounder = fit(knowledge, cases)
    for old in out.glob("grounding-*.npz"):
        old.unlink()
    save(grounder, out / cache_name(knowledge, cases))
    write_suites(knowledge, cases, suites, recipe.seed)
    teacher = Teacher(knowledge, cases, grounder)

    tokenizer_dir = run_dir / "tokenizer"
    if not (tokenizer_dir / "tokenizer.json").exists():
        report("training the tokenizer")
        train_tokenizer(teacher, tokenizer_dir, recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir)
    model = new_model(tokenizer, recipe.seed)
    report(f"{model.num_parameters() / 1e6:.1f} million parameters")
    for stage in recipe.stages:
        train_stage(model, tokenizer, teacher, stage, recipe.seed, run_dir, report)
        name = next(model_name for model_name, of in MODELS.items() if of == stage.name)
        _save(model, tokenizer, run_dir / name)
    for name in MODELS:
        report(f"writing {name}")
        _publish(run_dir / name, out, name, cache_dir, report)
    _write_card(out, recipe, knowledge.digest, len(knowledge.conditions))


def _claim(run_dir: Path, config: dict[str, str]) -> None:
    path = run_dir / "config.json"
    if path.exists() and json.loads(path.read_text()) != config:
        raise InvalidInput(f"{run_dir} holds a run of another recipe or of other knowledge; choose another --run-dir.")
    path.write_text(json.dumps(config, indent=2) + "\n")


def _save(model: LlamaForCausalLM, tokenizer: AutoTokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _publish(folder: Path, out: Path, name: str, cache_dir: Path, say: Callable[[str], None]) -> None:
    """GGUF for the app; bfloat16 safetensors, half as large, for training."""
    target = out / name
    target.mkdir(parents=True, exist_ok=True)
    to_gguf(folder, out / f"{name}-{GGUF_KIND}.gguf", GGUF_KIND, cache_dir, say)
    LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(target)
    for file in folder.glob("*"):
        if file.suffix in (".json", ".jinja") and file.name not in ("config.json", "generation_config.json"):
            shutil.copy(file, target / file.name)


def _write_card(out: Path, recipe: Recipe, digest: str, n_conditions: int) -> None:
    files = sorted(p for p in out.rglob("*") if p.suffix in (".gguf", ".safetensors"))
    rows = "\n".join(
        f"| {path.relative_to(out)} | {path.stat().st_size / 1e6:.1f} MB | {_sha256(path)[:16]} |" for path in files
    )
    (out / "README.md").write_text(f"""# The bundled models

Two small Llama-architecture models, trained from scratch by `python -m train demo` on the teaching facts in
`assets/knowledge`: no downloaded weights, no patient data. `demo` answers with reasoning and solution apart;
`demo-base` is the same model before it learnt to do so.

They know {n_conditions} conditions and nothing else. They exist so that the whole of MedChat runs anywhere, at once.
They are for teaching and research, **never for the care of a patient**. English only; no images.

| file | size | SHA-256 begins |
|---|---|---|
{rows}

Made with {recipe!r}, torch {version("torch")}, transformers {version("transformers")},
knowledge {digest[:16]}. Licence: Apache-2.0, like the project. Measure them with
`python -m evaluation run --model demo --suite handwritten --out DIR`.
""")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
