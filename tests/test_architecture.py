"""Who may import whom, and which library is used where."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("app.py", "medchat", "train", "evaluation")

GROUND = ("medchat", "medchat.errors", "medchat.records")
PLAIN = (
    "medchat.settings", "medchat.formats", "medchat.parsed", "medchat.prompts", "medchat.catalogue",
    "medchat.knowledge", "medchat.recognition", "medchat.grounding", "medchat.grounding_fit", "medchat.fragments",
    "medchat.negation", "medchat.measurements", "medchat.text_classifier", "medchat.language", "medchat.machine",
    "medchat.models_file", "medchat.rubrics", "medchat.rubric_files", "medchat.uploads", "medchat.masking",
    "medchat.word_diff", "medchat.yaml_lines", "medchat.processes", "medchat.run_files", "medchat.run_state",
    "medchat.rundir", "medchat.allocation*", "medchat.study_design", "medchat.run_comparison", "medchat.keys",
)  # fmt: skip
STORE = ("medchat.store", "medchat.store.*")
SERVICES = (
    "medchat.live", "medchat.turns", "medchat.writing", "medchat.chat", "medchat.conversation_file", "medchat.hub",
    "medchat.hub_worker", "medchat.own_models", "medchat.asked_models", "medchat.pacing", "medchat.paced_answer",
    "medchat.panel", "medchat.panel_views", "medchat.rating", "medchat.rating_form", "medchat.studies",
    "medchat.study_*", "medchat.adjudication", "medchat.accounts", "medchat.job_files", "medchat.job_keeper",
    "medchat.jobs", "medchat.intake", "medchat.lineage",
)  # fmt: skip
ROOF = ("medchat.ui", "medchat.ui.*")
LIBRARY = (*GROUND, *PLAIN, *STORE, *SERVICES, "medchat.backends", "medchat.backends.*")

# Of evaluation what scores an answer, reads questions and counts: training and its rewards use the same.
SCORING = (
    "evaluation.metric*", "evaluation.similarity", "evaluation.terms", "evaluation.vocabulary", "evaluation.spelling",
    "evaluation.reasoning", "evaluation.diagnosis", "evaluation.condition_groups", "evaluation.choice*",
    "evaluation.quantit*", "evaluation.units", "evaluation.calculators", "evaluation.safety*", "evaluation.unsafe",
    "evaluation.citations", "evaluation.embed", "evaluation.judge*", "evaluation.suite*", "evaluation.templates",
    "evaluation.benchmark*", "evaluation.stats", "evaluation.agreement", "evaluation.predictions", "evaluation.overlap",
    "evaluation.hub_rows",
)  # fmt: skip

# Module, or pattern of modules: what of the project it may import. The first row that fits holds.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "medchat": (),
    "medchat.errors": (),
    "medchat.records": ("medchat.errors",),
    **dict.fromkeys(PLAIN, (*GROUND, *PLAIN)),
    "medchat.study_command": (*LIBRARY, "medchat.jobs_command"),
    "medchat.backends": (  # the engines that all models of a kind share
        *GROUND, *PLAIN, "medchat.backends.llamacpp", "medchat.backends.hf_local", "medchat.backends.fallback",
        "medchat.backends.worker",
    ),
    "medchat.backends.llamacpp": (*GROUND, *PLAIN, "medchat.backends.worker"),
    "medchat.backends.hf_local": (*GROUND, *PLAIN, "medchat.backends.worker"),
    "medchat.backends.hf_*": (*GROUND, *PLAIN, "medchat.backends.hf_*"),
    "medchat.backends.openai_*": (
        *GROUND, *PLAIN, "medchat.backends.openai_protocol", "medchat.backends.server_errors",
    ),
    "medchat.backends.engine": (*GROUND, *PLAIN, "medchat.backends.decoding", "medchat.backends.gguf_*"),
    "medchat.backends.decoding": (*GROUND, *PLAIN, "medchat.backends.gguf_model"),
    "medchat.backends.gguf_model": (*GROUND, *PLAIN, "medchat.backends.gguf_weights"),
    "medchat.backends.*": (*GROUND, *PLAIN),
    **dict.fromkeys(STORE, (*GROUND, "medchat.rubrics", *STORE)),
    **dict.fromkeys(SERVICES, LIBRARY),
    "medchat.models_command": LIBRARY,
    "medchat.users_command": LIBRARY,
    "medchat.jobs_command": LIBRARY,
    "medchat.__main__": (*LIBRARY, "medchat.*_command"),
    "medchat.*sign_in*": (*LIBRARY, "medchat.*sign_in*"),
    **dict.fromkeys(ROOF, (*LIBRARY, *ROOF, "train.*", "evaluation.*")),  # of the last two only what needs no torch
    "medchat.server": (*LIBRARY, *ROOF, "medchat.sign_in", "train.launch"),
    "app": (*LIBRARY, "medchat.server", *ROOF),
    "evaluation*": (*LIBRARY, "evaluation*"),
    **dict.fromkeys(("train.*_report", "train.report_values"),
                    (*LIBRARY, "train*", "evaluation", *SCORING, "evaluation.report_blocks", "evaluation.plots")),
    "train*": (*LIBRARY, "train*", "evaluation", *SCORING),
}  # fmt: skip

TORCH_USERS = (
    "medchat.backends.hf_*", "evaluation.embed", "train.modeling", "train.fitting", "train.callbacks",
    "train.completions", "train.sft", "train.grpo", "train.dpo", "train.merge", "train.fidelity", "train.export",
    "train.reward_model",
    "train.demo.*",
)  # fmt: skip

# Library: the only modules that may import it.
ONLY_IN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("torch", "transformers", "peft", "trl", "bitsandbytes", "accelerate", "bert_score"), TORCH_USERS),
    "llama_cpp": ("medchat.backends.*", "evaluation.bench*", "train.export", "train.gguf_process"),
    "openai": ("medchat.backends.openai_api",),
    "huggingface_hub": ("medchat.hub_worker", "train.*"),
    "gradio": (*ROOF, "medchat.server", "app"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn"), ("medchat.server", "medchat.*sign_in*", "app", *ROOF)),
    **dict.fromkeys(("sqlalchemy", "alembic"), STORE),
}

# What a module may read of the environment's variables, everything else goes through Settings.
READ_ENVIRONMENT = ("medchat.settings",)


def modules() -> dict[str, Path]:
    """Path of every module of the project by its dotted name."""
    paths = (path for top in SOURCES for path in ([ROOT / top] if top.endswith(".py") else (ROOT / top).rglob("*.py")))
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: path for name, path in named.items() if ".migrations.versions." not in name}


MODULES = modules()


def imports_in(source: str, known: frozenset[str]) -> Iterator[str]:
    """Dotted names that a module imports anywhere, in functions too.

    A name out of a package is its submodule where there is one: `from a import b` gives a.b. Relative
    imports keep their dots, so that no rule allows them.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base


def imports_of(module: str) -> set[str]:
    """What a module of the project imports."""
    return set(imports_in(MODULES[module].read_text(encoding="utf-8"), frozenset(MODULES)))


def fits(module: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns names the module."""
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def is_ours(module: str) -> bool:
    """Whether a module is the project's own."""
    return module.split(".")[0] in ("", "app", "medchat", "train", "evaluation")


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import json, medchat.records
from medchat import errors, __version__
def later():
    from medchat.ui.common import App
    from . import layout
"""

    found = set(imports_in(source, frozenset({"medchat.errors", "medchat.ui.layout"})))

    assert found == {"json", "medchat.records", "medchat.errors", "medchat", "medchat.ui.common", "."}
    assert is_ours(".")


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    allowed = next((rule for pattern, rule in MAY_IMPORT.items() if fnmatchcase(module, pattern)), None)
    assert allowed is not None, f"{module} has no rule: say in MAY_IMPORT what it may import"

    wrong = {name for name in imports_of(module) if is_ours(name) and name != module and not fits(name, allowed)}

    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == library for name in imports_of(module))}

    wrong = {module for module in users if not fits(module, ONLY_IN[library])}

    assert not wrong, f"{library} may not be imported by {sorted(wrong)}"


@pytest.mark.parametrize("module", ["medchat.errors", "medchat.records"])
def test_the_ground_stands_on_the_standard_library_alone(module: str) -> None:
    assert {name.split(".")[0] for name in imports_of(module)} <= {*sys.stdlib_module_names, "medchat"}


def test_no_module_imports_itself_by_a_detour() -> None:
    waiting = {module: {name for name in imports_of(module) if name in MODULES} - {module} for module in MODULES}
    while free := [module for module, names in waiting.items() if not names & waiting.keys()]:
        for module in free:
            del waiting[module]

    assert not waiting, f"these import one another in a circle: {sorted(waiting)}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - set(READ_ENVIRONMENT)))
def test_the_environment_is_read_in_one_place(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    written = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    reads = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and id(node) not in written
    ]

    assert not reads, f"{module} reads the environment in lines {reads}; Settings does that"


def test_the_web_process_stays_without_torch_and_llama_cpp() -> None:
    code = "import sys, medchat.server, medchat.ui.layout; print(*{name.split('.')[0] for name in sys.modules})"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "gradio" in loaded
    assert not loaded & {"torch", "transformers", "llama_cpp", "sklearn"}
