"""The model catalogue: what it holds, how a model is found, what a broken file says, models of one's own."""

import logging
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medchat.catalogue import UNFINISHED, Catalogue, Endpoint, HubSource, ModelSpec
from medchat.errors import InvalidInput, NotFound, SettingsError
from medchat.machine import kind_of
from medchat.models_file import parse_models, row_of
from medchat.records import Sampling
from medchat.settings import ROOT, Settings

MODELS = Path("/models")
CATALOGUE = Catalogue(MODELS)
ENTRY = """
  - id: tiny
    name: Tiny
    backend: llamacpp
    path: models/tiny.gguf
    answer_format: think
    sampling: {max_new_tokens: 64, temperature: 0.5, top_p: 0.9, top_k: 40, seed: 7, presence_penalty: 1.5}
    n_ctx: 512
    description: A model.
    licence: MIT
    limits: [Knows nothing., Speaks English.]
"""
SERVED = """
  - id: served
    name: Served
    backend: openai
    endpoint: {base_url: "https://host.example/v1", model: m, key_variable: SOME_KEY}
    answer_format: plain
    sampling: {max_new_tokens: 64}
    n_ctx: 512
    description: A model.
    licence: MIT
    limits: [Knows nothing.]
"""
RAW = ENTRY.replace("    n_ctx: 512", '    n_ctx: 512\n    prompt: "Q: {question}"')
HUB = ENTRY.replace("path: models/tiny.gguf", "hub: {repo: a/b, file: c.gguf}")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str) -> Catalogue:
    return Catalogue(tmp_path / "models", path=write(tmp_path, text))


def own(model_id: str, **changes: object) -> ModelSpec:
    spec = ModelSpec(model_id, "Mine", "llamacpp", "think", Sampling(64), 512, "Mine.", "none", ("None.",),
                     path=Path("/files/mine.gguf"))  # fmt: skip
    return replace(spec, **changes)  # type: ignore[arg-type]


# --- What comes with MedChat ---


def test_the_bundled_models_are_there_and_the_first_is_the_default() -> None:
    assert list(CATALOGUE)[:2] == ["demo", "demo-base"]
    assert CATALOGUE.default.id == CATALOGUE.resolve("default").id == "demo"
    assert CATALOGUE.resolve("demo-base").path == ROOT / "assets/demo/demo-base-q8_0.gguf"
    assert (CATALOGUE["demo"].base, CATALOGUE["demo-base"].base) == ("demo-base", "")


@pytest.mark.parametrize("model_id", ["demo", "demo-base"])
def test_the_bundled_models_answer_as_they_were_trained_and_say_what_they_cannot(model_id: str) -> None:
    spec = CATALOGUE[model_id]

    assert spec.demo
    assert spec.grounded
    assert spec.is_here
    assert spec.safetensors == ROOT / "assets/demo" / model_id
    assert (spec.safetensors / "model.safetensors").is_file()
    assert (spec.answer_format, spec.n_ctx, spec.licence) == ("gemma-grpo", 1024, "Apache-2.0")
    assert spec.sampling == Sampling(max_new_tokens=320, temperature=0.0)
    limits = " ".join(spec.limits)
    for word in ("knowledge base", "English", "images", "never for the care of a patient"):
        assert word in limits


def test_the_medical_reasoning_gemma_has_its_authors_settings() -> None:
    spec = CATALOGUE["gemma-3-medical-grpo"]

    assert spec.hub == HubSource("naazimsnh02/gemma-3-finetune")
    assert (spec.backend, spec.precision, spec.answer_format) == ("transformers", "nf4", "gemma-grpo")
    assert spec.sampling == Sampling(max_new_tokens=1024, temperature=1.0, top_p=0.95, top_k=64)
    assert spec.n_ctx == 1024
    assert (spec.base, spec.languages, spec.gated) == ("unsloth/gemma-3-1b-it", ("en",), False)


def test_the_symptom_model_has_its_authors_settings() -> None:
    spec = CATALOGUE["medgemma-symptom-diagnosis"]

    assert (spec.hub, spec.path) == (HubSource("google/gemma-2-2b"), MODELS / "google--gemma-2-2b")
    assert spec.adapter_hub == HubSource("Sugandha-Chauhan/MedGemma-SymptomDiagnosis")
    assert spec.adapter == MODELS / "Sugandha-Chauhan--MedGemma-SymptomDiagnosis"
    assert (spec.precision, spec.answer_format, spec.max_input_tokens) == ("nf4", "diagnosis", 512)
    assert spec.sampling == Sampling(max_new_tokens=50, temperature=0.0)
    assert spec.gated
    limits = " ".join(spec.limits)
    for word in ("history", "images", "rare conditions", "7 billion", "English only", "medical professional"):
        assert word in limits


def test_the_chain_of_thought_llama_has_its_authors_settings() -> None:
    spec = CATALOGUE["llama-3.2-3b-medical-cot"]

    assert spec.hub == HubSource("unsloth/Llama-3.2-3B-Instruct-bnb-4bit")
    assert spec.adapter_hub == HubSource("abdulsamad99/medical-fine-tuning")
    assert (spec.precision, spec.answer_format, spec.n_ctx) == ("nf4", "think-response", 1024)
    assert "cut off" in " ".join(spec.limits)


@pytest.mark.parametrize(
    ("model_id", "answer_format", "sampling", "told"),
    [
        ("medgemma-1.5-4b-it", "medgemma-thought", Sampling(2048), {}),
        ("medgemma-27b-text-it", "medgemma-thought", Sampling(2048), {}),
        ("huatuogpt-o1-8b", "huatuo", Sampling(2048), {}),
        ("qwen3-4b", "think", Sampling(2048, 0.6, 0.95, 20), {"enable_thinking": True}),
        ("qwen3.5-9b", "think", Sampling(2048, 1.0, 0.95, 20, presence_penalty=1.5), {"enable_thinking": True}),
        ("baichuan-m2-32b", "think", Sampling(2048, 0.6), {"thinking_mode": "on"}),
        ("gpt-oss-20b", "harmony", Sampling(2048, 1.0), {}),
    ],
)
def test_models_that_reason_are_made_to_and_their_marks_are_known(
    model_id: str, answer_format: str, sampling: Sampling, told: dict[str, object]
) -> None:
    spec = CATALOGUE[model_id]

    assert (spec.answer_format, spec.sampling, spec.template_options) == (answer_format, sampling, told)
    if answer_format == "medgemma-thought":
        assert spec.system_prompt == "SYSTEM INSTRUCTION: think silently if needed."


def test_every_model_that_the_projects_name_is_there() -> None:
    hub = {source.repo for spec in CATALOGUE.values() for source in (spec.hub, spec.adapter_hub) if source}
    served = {spec.endpoint.model for spec in CATALOGUE.values() if spec.endpoint}

    assert hub == {
        "naazimsnh02/gemma-3-finetune", "unsloth/gemma-3-1b-it", "unsloth/gemma-3-1b-it-GGUF", "google/gemma-2-2b",
        "Sugandha-Chauhan/MedGemma-SymptomDiagnosis", "abdulsamad99/medical-fine-tuning",
        "unsloth/Llama-3.2-3B-Instruct-bnb-4bit", "BioMistral/BioMistral-7B", "mradermacher/BioMistral-7B-GGUF",
        "medalpaca/medalpaca-7b", "microsoft/biogpt", "microsoft/BioGPT-Large", "google/medgemma-4b-it",
        "google/medgemma-1.5-4b-it", "google/medgemma-27b-text-it", "FreedomIntelligence/HuatuoGPT-o1-8B",
        "FreedomIntelligence/HuatuoGPT-o1-7B", "Qwen/Qwen3-4B", "Qwen/Qwen3.5-4B", "Qwen/Qwen3.5-9B",
        "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit",
        "openai/gpt-oss-20b", "unsloth/gpt-oss-20b-GGUF", "aaditya/Llama3-OpenBioLLM-8B",
        "aaditya/OpenBioLLM-Llama3-8B-GGUF", "baichuan-inc/Baichuan-M2-32B", "baichuan-inc/Baichuan-M3-235B",
    }  # fmt: skip
    assert served == {
        "gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.6-flash", "gemini-3.5-flash", "gemini-3.5-flash-lite",
        "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite", "openai/gpt-oss-120b", "openai/gpt-oss-20b",
        "meta/llama-3.3-70b-instruct", "google/gemma-4-31b-it", "qwen/qwen3.5-122b-a10b",
        "nvidia/nemotron-3-super-120b-a12b",
    }  # fmt: skip


def test_gemini_is_asked_as_its_servers_want_it() -> None:
    gemini = {spec.id: spec for spec in CATALOGUE.values() if spec.id.startswith("gemini-")}

    sends = {model_id for model_id, spec in gemini.items() if spec.endpoint and spec.endpoint.sends_sampling}
    assert sends == {"gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"}
    assert {spec.endpoint.key_variable for spec in gemini.values() if spec.endpoint} == {"GEMINI_API_KEY"}
    assert {spec.external for spec in gemini.values()} == {"generativelanguage.googleapis.com"}
    for model_id in ("gemini-2.5-flash", "gemini-2.5-pro"):
        assert "1 December 2026" in gemini[model_id].name
        assert "1 December 2026" in gemini[model_id].description


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_entry_says_what_a_user_needs(spec: ModelSpec) -> None:
    assert not spec.own
    assert re.search(r"the care of a patient|for diagnosis or treatment", " ".join(spec.limits))
    assert spec.limits[0] != spec.description
    assert kind_of(spec)
    if spec.endpoint:
        assert spec.external
        assert "sent to" in spec.limits[0]
        return
    assert spec.parameters
    assert spec.memory_gb
    assert "mages" in " ".join(spec.limits)
    if spec.hub:
        assert not spec.is_here
        assert spec.download_gb
        assert spec.path == MODELS / spec.hub.repo.replace("/", "--") / spec.hub.file
        assert (spec.backend == "llamacpp") == bool(spec.hub.file)


def test_a_model_of_the_hub_is_here_once_all_of_it_has_arrived(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    base, adapter = tmp_path / "google--gemma-2-2b", tmp_path / "Sugandha-Chauhan--MedGemma-SymptomDiagnosis"
    spec = catalogue["medgemma-symptom-diagnosis"]

    assert not spec.is_here
    base.mkdir()
    (base / "another.gguf").touch()
    adapter.mkdir()
    (adapter / "adapter_config.json").touch()
    assert not spec.is_here
    (base / "config.json").touch()
    (adapter / UNFINISHED).touch()
    assert not spec.is_here
    (adapter / UNFINISHED).unlink()
    assert spec.is_here


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=list(CATALOGUE))
def test_an_entry_written_to_a_file_is_read_as_it_was(spec: ModelSpec) -> None:
    text = yaml.safe_dump({"models": [row_of(spec)]})

    assert parse_models(yaml.safe_load(text), "a file", MODELS, own=False) == {spec.id: spec}


# --- The file ---


def test_every_field_of_an_entry_arrives(tmp_path: Path) -> None:
    spec = read(tmp_path, "models:" + ENTRY)["tiny"]

    assert (spec.name, spec.backend, spec.answer_format, spec.n_ctx) == ("Tiny", "llamacpp", "think", 512)
    assert spec.path == ROOT / "models/tiny.gguf"
    assert spec.sampling == Sampling(64, 0.5, 0.9, 40, 7, 1.5)
    assert spec.limits == ("Knows nothing.", "Speaks English.")
    assert (spec.system_prompt, spec.demo, spec.grounded, spec.languages) == ("", False, False, ())


def test_an_endpoint_arrives_and_tells_where_its_text_goes(tmp_path: Path) -> None:
    spec = read(tmp_path, "models:" + SERVED)["served"]

    assert spec.endpoint == Endpoint("https://host.example/v1", "m", "SOME_KEY")
    assert (spec.path, spec.external, spec.is_here) == (None, "host.example", True)


def test_an_answer_may_be_as_long_as_the_context(tmp_path: Path) -> None:
    assert read(tmp_path, "models:" + ENTRY.replace("64", "512"))["tiny"].sampling.max_new_tokens == 512


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace("think", "thinking"), "tiny: answer_format: 'thinking' is none of gemma"),
        (ENTRY.replace("llamacpp", "llama"), "tiny: backend: input should be 'llamacpp', 'transformers' or 'openai'."),
        (ENTRY.replace("licence: MIT", ""), "tiny: licence: field required."),
        (ENTRY.replace("name:", "label:"), "tiny: name: field required."),
        (ENTRY + "    colour: red", "tiny: colour: extra inputs are not permitted."),
        (ENTRY.replace("0.5", "-1"), "tiny: sampling.temperature: input should be greater"),
        (ENTRY.replace("64", "'64'"), "tiny: sampling.max_new_tokens: input should be a valid integer"),
        (ENTRY.replace("id: tiny", "id: Tiny!"), "Tiny!: id: string should match"),
        (ENTRY.replace("64", "513"), "tiny: sampling.max_new_tokens: is more than n_ctx."),
        (ENTRY + "    languages: [english]", "tiny: languages.0: string should match"),
        (ENTRY + "    precision: int4", "tiny: precision: input should be 'nf4', 'int8', 'bf16' or 'fp32'."),
        (ENTRY + "    memory_gb: 0", "tiny: memory_gb: input should be greater than 0."),
        (ENTRY.replace("path:", "base:"), "tiny: path: a model that runs here has either this or hub."),
        (ENTRY + "    hub: {repo: a/b, file: c.gguf}", "tiny: path: a model that runs here has either this or hub."),
        (HUB.replace("a/b", "b"), "tiny: hub.repo: string should match"),
        (HUB.replace("c.gguf", "../c.gguf"), "tiny: hub.file: string should match"),
        (HUB.replace(", file: c.gguf", ""), "tiny: hub.file: llama.cpp needs the name of one GGUF file."),
        (HUB.replace("llamacpp", "transformers"), "tiny: hub.file: only llama.cpp takes a GGUF file."),
        (
            ENTRY + "    adapter: a\n    adapter_hub: {repo: a/b}",
            "tiny: adapter: there is an adapter_hub too.",
        ),
        (RAW.replace("{question}", "?"), "tiny: prompt: {question} is missing in it."),
        (RAW + '    prompt_with_context: "{question}"', "tiny: prompt_with_context: {context} is missing in it."),
        (
            ENTRY + '    prompt_with_context: "{question} {context}"',
            "tiny: prompt_with_context: needs a prompt for questions without context.",
        ),
        (RAW + "    system_prompt: S", "tiny: system_prompt: a model with a prompt of its own takes none."),
        (RAW + "    grounded: true", "tiny: grounded: a model with a prompt of its own cannot be told more."),
        (ENTRY + "    max_input_tokens: 9", "tiny: max_input_tokens: is for models with a prompt of their own."),
        (RAW + "    max_input_tokens: 512", "tiny: max_input_tokens: leaves no room in n_ctx for an answer."),
        (SERVED + "    path: a.gguf", "served: endpoint: a server's model has this, and neither path nor hub."),
        (SERVED.replace("https://", "ftp://"), "served: endpoint.base_url: is no address like https://host/v1."),
        (SERVED.replace("host.", "me:pass@host."), "served: endpoint.base_url: is no address like https://host/v1."),
        (SERVED.replace("SOME_KEY", "sk-1234"), "served: endpoint.key_variable: string should match"),
        (ENTRY + ENTRY, "tiny: id: this id is taken."),
        (ENTRY.replace("tiny", "default"), "default: id: this id is taken."),
    ],
)
def test_a_wrong_entry_gives_one_line_that_names_model_and_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(f"models.yaml: {message}")) as caught:
        read(tmp_path, "models:" + text)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [tiny]", "models.yaml: model 1: input should be"),
        ("models: []", "models.yaml: models: list should have at least 1 item"),
        ("- models", "models.yaml: input should be"),
        ("", "models.yaml: input should be"),
        ("models:\n  - id: [}", "models.yaml:2: not valid YAML: "),
        ("models: \x01", "models.yaml: not a YAML text in UTF-8."),
        ("models: !!python/object/apply:os.getcwd []", "models.yaml:1: not valid YAML: "),
    ],
)
def test_a_broken_file_gives_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(message)) as caught:
        read(tmp_path, text)

    assert "\n" not in str(caught.value)


def test_a_missing_file_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"The model catalogue none\.yaml cannot be read"):
        Catalogue(MODELS, path=tmp_path / "none.yaml")


# --- Names and paths ---


def test_a_gguf_file_of_ones_own_is_a_model_with_a_key_of_its_own(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my-model.gguf").write_bytes(b"GGUF")
    first, second = (catalogue.resolve(str(tmp_path / folder / "my-model.gguf")) for folder in ("a", "b"))

    assert first.path == tmp_path / "a/my-model.gguf"
    assert first.backend == "llamacpp"
    assert first.name == second.name == "my-model"
    assert first.id != second.id
    assert catalogue.resolve(str(tmp_path / "b/../a/my-model.gguf")) == first
    assert catalogue[first.id] == catalogue.resolve(first.id) == first
    assert not first.demo
    assert str(tmp_path) not in first.id


def test_a_folder_of_weights_is_a_model_for_transformers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    spec = Catalogue(MODELS).resolve(str(tmp_path))

    assert (spec.backend, spec.path, spec.precision) == ("transformers", tmp_path, "bf16")


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")

    with pytest.raises(InvalidInput, match="is an adapter; add it together with its base"):
        Catalogue(MODELS).resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["demoo", "missing.gguf", "", "x" * 5000, "~nobody/model.gguf", "a\0b", "Default"])
def test_an_unknown_model_gets_the_way_to_a_known_one(name: str) -> None:
    with pytest.raises(NotFound, match="give demo, another id that `python -m medchat models` lists") as caught:
        CATALOGUE.resolve(name)

    assert len(str(caught.value)) < 300


def test_a_name_that_is_nearly_right_gets_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"Did you mean medgemma-4b-it"):
        CATALOGUE.resolve("medgema-4b-it")


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="a GGUF file or a model folder"):
        CATALOGUE.resolve(str(tmp_path))


# --- Models of one's own ---


def test_what_is_added_is_there_at_once_and_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "data" / "models.yaml"
    catalogue = Catalogue(MODELS, file)
    mine = own("mine", prompt="Q: {question}\n", max_input_tokens=9, languages=("de",), template_options={"a": "on"})

    catalogue.add(mine)

    assert catalogue["mine"] == replace(mine, own=True)
    assert Catalogue(MODELS, file)["mine"] == replace(mine, own=True)
    assert list(Catalogue(MODELS, file)) == [*CATALOGUE, "mine"]
    assert [path.name for path in file.parent.iterdir()] == ["models.yaml"]


def test_own_models_of_the_hub_and_of_servers_are_kept_too(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS, tmp_path / "models.yaml")
    hub = own("hub", path=None, hub=HubSource("a/b", "v1", "c.gguf"), adapter_hub=HubSource("d/e", file="f.gguf"))
    endpoint = Endpoint("http://10.0.0.2:8000/v1", "m", "LAB_KEY", False, {"extra_body": {"x": [1, 2]}})

    catalogue.add(hub)
    catalogue.add(own("served", backend="openai", path=None, endpoint=endpoint))

    again = Catalogue(MODELS, tmp_path / "models.yaml")
    assert again["hub"].path == MODELS / "a--b" / "c.gguf"
    assert again["hub"].adapter == MODELS / "d--e" / "f.gguf"
    assert again["hub"].hub == hub.hub
    assert again["served"].endpoint == endpoint
    assert dict(again) == dict(catalogue)


def test_an_own_model_takes_the_place_of_an_own_one_and_of_no_other(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS, tmp_path / "models.yaml")
    catalogue.add(own("mine"))
    catalogue.add(own("mine", name="Newer"))

    assert catalogue["mine"].name == "Newer"
    for taken in ("demo", "default"):
        with pytest.raises(InvalidInput, match=f"'{taken}' is the id of a model that comes with MedChat"):
            catalogue.add(own(taken))
    assert catalogue["demo"].name == "MedChat Demo"


def test_own_models_are_removed_and_bundled_ones_are_not(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    catalogue = Catalogue(MODELS, file)
    catalogue.add(own("mine"))
    catalogue.add(own("other"))

    catalogue.remove("mine")
    assert "mine" not in catalogue
    assert list(Catalogue(MODELS, file)) == [*CATALOGUE, "other"]
    catalogue.remove("other")
    assert list(Catalogue(MODELS, file)) == list(CATALOGUE)
    with pytest.raises(NotFound, match="no model 'mine' that was added here"):
        catalogue.remove("mine")
    with pytest.raises(InvalidInput, match="'demo' comes with MedChat"):
        catalogue.remove("demo")


def test_a_model_that_cannot_be_saved_is_refused_by_its_field(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS, tmp_path / "models.yaml")

    with pytest.raises(InvalidInput, match=r"^The model: mine: answer_format: 'xml' is none of"):
        catalogue.add(own("mine", answer_format="xml"))
    with pytest.raises(InvalidInput, match=r"^The model: My Model: id: string should match"):
        catalogue.add(own("My Model"))
    assert list(catalogue) == list(CATALOGUE)


@pytest.mark.parametrize("text", ["models: [", "models:\n  - id: mine\n", "\x00", "models:" + ENTRY + "    x: 1"])
def test_a_broken_file_of_own_models_stops_nothing_and_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    file = write(tmp_path, text)

    with caplog.at_level(logging.WARNING):
        catalogue = Catalogue(MODELS, file)

    assert list(catalogue) == list(CATALOGUE)
    assert caplog.messages[0].startswith("The models added here cannot be read. models.yaml:")
    with pytest.raises(InvalidInput, match=r"^models\.yaml"):
        catalogue.add(own("mine"))
    with pytest.raises(InvalidInput, match=r"^models\.yaml"):
        catalogue.remove("mine")
    assert file.read_text() == text


def test_an_own_model_whose_id_is_bundled_by_now_gives_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        catalogue = Catalogue(MODELS, write(tmp_path, "models:" + ENTRY.replace("tiny", "demo", 1)))

    assert catalogue["demo"] == CATALOGUE["demo"]
    assert "The model demo that was added here is left out" in caplog.messages[0]


def test_what_another_process_added_is_not_lost(tmp_path: Path) -> None:
    app, command = (Catalogue(MODELS, tmp_path / "models.yaml") for _ in range(2))
    command.add(own("from-the-command-line"))

    app.add(own("from-the-app"))

    assert {"from-the-command-line", "from-the-app"} <= app.keys()
    assert {"from-the-command-line", "from-the-app"} <= Catalogue(MODELS, tmp_path / "models.yaml").keys()


def test_what_another_process_adds_and_removes_is_seen_at_once(tmp_path: Path) -> None:
    app, command = (Catalogue(MODELS, tmp_path / "models.yaml") for _ in range(2))
    command.add(own("mine"))
    assert app.get("mine") == command["mine"]
    assert app.resolve("mine") == command["mine"]

    command.add(own("mine", name="Newer"))
    assert [spec.name for spec in app.values() if spec.own] == ["Newer"]

    command.remove("mine")
    assert "mine" not in app
    assert len(app) == len(CATALOGUE)


def test_a_file_that_breaks_while_the_app_runs_takes_no_model_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "models.yaml"
    app = Catalogue(MODELS, file)
    app.add(own("mine"))
    whole = file.read_text()
    with caplog.at_level(logging.WARNING):
        file.write_text("models: [")
        assert [app["mine"].id for _ in range(3)] == ["mine"] * 3

    assert len(caplog.messages) == 1
    file.write_text(whole.replace("name: Mine", "name: Mended"))
    assert app["mine"].name == "Mended"


def test_of_a_model_of_ones_own_no_language_is_claimed(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS, tmp_path / "models.yaml")
    catalogue.add(replace(own("mine"), languages=()))
    (tmp_path / "it.gguf").write_bytes(b"GGUF")

    assert catalogue["mine"].languages == ()
    assert catalogue.resolve(str(tmp_path / "it.gguf")).languages == ()
    assert all(spec.languages for spec in CATALOGUE.values()), "of the bundled entries each says its own"


def test_a_file_that_cannot_be_written_gives_one_line_and_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the folder's place")
    catalogue = Catalogue(MODELS, tmp_path / "data" / "models.yaml")

    with pytest.raises(InvalidInput, match=r"models\.yaml cannot be written in the data folder"):
        catalogue.add(own("mine"))
    assert "mine" not in catalogue


def test_many_threads_add_and_read(tmp_path: Path) -> None:
    catalogue = Catalogue(MODELS, tmp_path / "models.yaml")
    seen: list[int] = []

    def add(number: int) -> None:
        for letter in "abc":
            catalogue.add(own(f"{letter}-{number}"))
            seen.append(len([spec.name for spec in catalogue.values()]))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(seen) == len(catalogue) == len(CATALOGUE) + 18
    assert dict(Catalogue(MODELS, tmp_path / "models.yaml")) == dict(catalogue)


def test_without_a_file_own_models_last_as_long_as_the_catalogue() -> None:
    catalogue = Catalogue(MODELS)
    catalogue.add(own("mine"))
    catalogue.add(own("other"))

    assert {"mine", "other"} <= catalogue.keys()


# --- Settings of the models ---


def test_models_go_into_the_data_folder_unless_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDCHAT_MODELS_DIR", raising=False)
    assert Settings.from_environment(data_dir=tmp_path).models_dir == tmp_path / "models"
    assert Settings(data_dir=tmp_path).own_models_file == tmp_path / "models.yaml"
    monkeypatch.setenv("MEDCHAT_MODELS_DIR", str(tmp_path / "large"))
    assert Settings.from_environment(data_dir=tmp_path).models_dir == tmp_path / "large"


def test_an_unknown_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDCHAT_PRECISION", "int4")
    with pytest.raises(SettingsError, match="MEDCHAT_PRECISION is 'int4'; it must be one of nf4, int8, bf16, fp32"):
        Settings.from_environment()
    monkeypatch.setenv("MEDCHAT_PRECISION", "nf4")
    assert Settings.from_environment().precision == "nf4"
