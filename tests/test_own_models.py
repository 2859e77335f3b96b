"""What somebody adds is checked and becomes a model of the list, or one line says why not."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tiny_models import write_chain_model

from medchat.backends import Backends, ModelFacts
from medchat.catalogue import Catalogue, HubSource, ModelSpec
from medchat.errors import DownloadFailed, InvalidInput, MedChatError, ModelUnavailable, NotFound
from medchat.hub import Downloads, Found
from medchat.own_models import Wishes, from_endpoint, from_file, from_hub
from medchat.settings import ROOT

FACTS = ModelFacts("llama", 1.2, 32_768, True, 2.6)
SERVED = ModelFacts("", 0.0, 8192, True, 0.0)  # what a server's model says of itself
FOUND = Found(4.5, gated=False)


class FakeBackends:
    """Backends whose models say `found` when they are checked, or raise it."""

    def __init__(self, found: ModelFacts | MedChatError = FACTS) -> None:
        self.found = found
        self.checked: list[ModelSpec] = []
        self.held: set[str] = set()

    def get(self, spec: ModelSpec) -> "FakeBackends":
        self.checked.append(spec)
        self.held.add(spec.id)
        return self

    def forget(self, model_id: str) -> None:
        self.held.discard(model_id)

    def check(self) -> ModelFacts:
        if isinstance(self.found, MedChatError):
            raise self.found
        return self.found


def backends(found: ModelFacts | MedChatError = FACTS) -> Backends:
    return cast(Backends, FakeBackends(found))


def hub(models_dir: Path, found: Found | DownloadFailed = FOUND) -> Downloads:
    """A Hub that has whatever is looked for, or says why not."""

    class FakeDownloads(Downloads):
        def look(self, hub: HubSource, *, is_adapter: bool = False) -> Found:
            if isinstance(found, DownloadFailed):
                raise found
            return found

    return FakeDownloads(models_dir, lambda: "")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "models", tmp_path / "models.yaml")


def gguf(folder: Path, name: str = "Med Chat 7B.gguf") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"GGUF")
    return folder / name


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        (path / name).write_text("{}")
    return path


def test_a_gguf_file_becomes_a_model(catalogue: Catalogue, tmp_path: Path) -> None:
    fakes = FakeBackends()
    spec = from_file(gguf(tmp_path), catalogue, cast(Backends, fakes))

    assert (spec.id, spec.name, spec.backend, spec.path) == (
        "med-chat-7b", "Med Chat 7B", "llamacpp", tmp_path / "Med Chat 7B.gguf",
    )  # fmt: skip
    assert (spec.n_ctx, spec.parameters, spec.memory_gb, spec.own) == (32_768, 1.2, 2.6, True)
    assert "Nothing is known here about what it can do and cannot do." in spec.limits
    assert spec.is_here
    assert not fakes.held
    catalogue.add(spec)
    assert Catalogue(tmp_path / "models", tmp_path / "models.yaml")["med-chat-7b"] == spec


def test_the_bundled_file_is_checked_by_llama_cpp(catalogue: Catalogue) -> None:
    real = Backends(1, 1, 1024)
    try:
        spec = from_file(ROOT / "assets" / "demo" / "demo-q8_0.gguf", catalogue, real)
    finally:
        real.close()
    assert spec.n_ctx == 1024
    assert spec.sampling.max_new_tokens == 512  # half of it stays for the question
    assert spec.parameters == pytest.approx(0.005, rel=0.1)


def test_a_damaged_file_is_refused_by_llama_cpp(catalogue: Catalogue, tmp_path: Path) -> None:
    whole = write_chain_model(tmp_path / "whole.gguf", ["ab"])
    (tmp_path / "cut.gguf").write_bytes(whole.read_bytes()[:100_000])
    real = Backends(1, 1, 1024)
    try:
        with pytest.raises(ModelUnavailable) as refusal:
            from_file(tmp_path / "cut.gguf", catalogue, real)
    finally:
        real.close()
    assert "\n" not in str(refusal.value)


def test_a_folder_becomes_a_model_of_transformers(catalogue: Catalogue, tmp_path: Path) -> None:
    place = folder_of(tmp_path / "It", "config.json")
    spec = from_file(place, catalogue, backends(), wishes=Wishes(precision="nf4", name="  My \n model "))
    assert (spec.id, spec.name, spec.backend, spec.precision) == ("my-model", "My model", "transformers", "nf4")


def test_ids_are_new_and_never_a_bundled_one(catalogue: Catalogue, tmp_path: Path) -> None:
    path = gguf(tmp_path, "demo.gguf")
    first = from_file(path, catalogue, backends())
    catalogue.add(first)
    assert [first.id, from_file(path, catalogue, backends()).id] == ["demo-2", "demo-3"]
    assert from_file(path, catalogue, backends(), wishes=Wishes(name="Default")).id == "default-2"
    assert from_file(path, catalogue, backends(), wishes=Wishes(name="Медицина")).id == "model"


def test_what_the_backend_refuses_is_not_added(catalogue: Catalogue, tmp_path: Path) -> None:
    fakes = FakeBackends(ModelUnavailable("'it' is damaged."))
    with pytest.raises(ModelUnavailable, match="damaged"):
        from_file(gguf(tmp_path), catalogue, cast(Backends, fakes))
    assert not fakes.held


def test_a_model_without_a_chat_template_needs_its_prompt(catalogue: Catalogue, tmp_path: Path) -> None:
    bare = FACTS._replace(has_chat_template=False)
    with pytest.raises(InvalidInput, match="no chat template"):
        from_file(gguf(tmp_path), catalogue, backends(bare))
    spec = from_file(gguf(tmp_path), catalogue, backends(bare), wishes=Wishes(prompt="Question: {question}\n"))
    assert spec.prompt == "Question: {question}\n"


@pytest.mark.parametrize(("wishes", "words"), [
    (Wishes(answer_format="nonsense"), "no answer format 'nonsense'; give"),
    (Wishes(prompt="Answer this:"), r"must hold \{question\}"),
    (Wishes(prompt="{question}", system_prompt="Be brief."), "one of the two"),
    (Wishes(precision="nf4"), "transformers only"),
])  # fmt: skip
def test_wishes_that_cannot_be_met_are_refused(
    catalogue: Catalogue, tmp_path: Path, wishes: Wishes, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        from_file(gguf(tmp_path), catalogue, backends(), wishes=wishes)


def test_from_the_app_only_the_allowed_folders_are_read(catalogue: Catalogue, tmp_path: Path) -> None:
    allowed, elsewhere = [tmp_path / "data", tmp_path / "models"], gguf(tmp_path / "elsewhere")
    inside = gguf(tmp_path / "data")
    (tmp_path / "models").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "link.gguf").symlink_to(elsewhere)

    assert from_file(inside, catalogue, backends(), allowed_dirs=allowed).path == inside
    assert from_file(tmp_path / "models" / inside.name, catalogue, backends(), allowed_dirs=allowed).path == inside
    for path in (
        elsewhere, tmp_path / "data" / "link.gguf", tmp_path / "data" / ".." / "elsewhere" / elsewhere.name,
        Path("/etc/passwd"), Path("/etc/none"), tmp_path / "data-2" / "x.gguf",
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="can be added here"):
            from_file(path, catalogue, backends(), allowed_dirs=allowed)


def test_what_is_no_model_is_named(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file or folder 'none'"):
        from_file(tmp_path / "none", catalogue, backends())
    with pytest.raises(InvalidInput, match=r"holds no config\.json"):
        from_file(folder_of(tmp_path / "empty"), catalogue, backends())
    with pytest.raises(InvalidInput, match="cannot be read"):
        from_file(Path("a\0b"), catalogue, backends())


def test_a_file_that_is_no_gguf_is_named_before_any_model_is_asked(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "medchat.db").write_bytes(b"SQLite format 3\0")
    fakes = FakeBackends()
    for base in ("", "demo"):
        with pytest.raises(InvalidInput, match=r"^'medchat\.db' is no GGUF file; give one, or a folder"):
            from_file(tmp_path / "medchat.db", catalogue, cast(Backends, fakes), base=base)
    assert not fakes.checked


def test_an_adapter_takes_over_what_its_base_has(catalogue: Catalogue, tmp_path: Path) -> None:
    spec = from_file(gguf(tmp_path, "lora.gguf"), catalogue, backends(), base="demo")
    demo = catalogue["demo"]

    assert (spec.path, spec.adapter, spec.backend) == (demo.path, tmp_path / "lora.gguf", "llamacpp")
    assert (spec.answer_format, spec.sampling, spec.n_ctx) == (demo.answer_format, demo.sampling, demo.n_ctx)
    assert spec.demo
    assert spec.grounded
    assert spec.own
    assert set(demo.limits) < set(spec.limits)
    assert spec.languages == ()
    catalogue.add(spec)
    assert Catalogue(tmp_path / "models", tmp_path / "models.yaml")[spec.id] == spec


def test_a_peft_adapter_of_a_gguf_base_runs_on_its_safetensors(catalogue: Catalogue, tmp_path: Path) -> None:
    lora = folder_of(tmp_path / "lora", "adapter_config.json")
    demo = catalogue["demo"]
    spec = from_file(lora, catalogue, backends(), base="demo")
    assert (spec.backend, spec.path, spec.adapter) == ("transformers", demo.safetensors, lora)
    assert spec.is_here

    alone = replace(demo, id="alone", name="Alone", safetensors=None, own=True)
    catalogue.add(alone)
    with pytest.raises(InvalidInput, match="python -m train export"):
        from_file(lora, catalogue, backends(), base="alone")


def test_adapters_and_bases_that_do_not_go_together_are_named(catalogue: Catalogue, tmp_path: Path) -> None:
    lora, file = folder_of(tmp_path / "lora", "adapter_config.json"), gguf(tmp_path, "lora.gguf")
    folder = folder_of(tmp_path / "whole", "config.json")
    catalogue.add(replace(from_file(folder, catalogue, backends()), id="whole", name="Whole"))
    catalogue.add(from_file(file, catalogue, backends(), base="demo", wishes=Wishes(name="tuned")))
    server = from_endpoint("http://localhost:1", "m", catalogue, backends(SERVED), wishes=Wishes(name="server"))
    catalogue.add(server)
    catalogue.add(from_hub("org/far", catalogue, hub(tmp_path / "models")))
    for path, base, words in (
        (lora, "", "name the model that it was made for"),
        (lora, "none", "no model 'none' to be the base"),
        (file, "whole", "is a file for llama.cpp"),
        (file, "tuned", "has an adapter already"),
        (file, "server", "runs on a server"),
        (lora, "far", "not here yet; fetch it first"),
        (folder, "demo", r"holds no adapter_config\.json"),
    ):
        with pytest.raises(MedChatError, match=words):
            from_file(path, catalogue, backends(), base=base)


def test_a_prompt_of_its_own_replaces_all_that_the_base_told(catalogue: Catalogue, tmp_path: Path) -> None:
    spec = from_file(
        gguf(tmp_path), catalogue, backends(), base="demo", wishes=Wishes(prompt="Q: {question}", name="raw")
    )
    assert (spec.prompt, spec.system_prompt, spec.grounded) == ("Q: {question}", "", False)
    catalogue.add(spec)


def test_a_model_of_the_hub_waits_to_be_fetched(catalogue: Catalogue, tmp_path: Path) -> None:
    models = tmp_path / "models"
    spec = from_hub(
        "https://huggingface.co/org/Med-7B/", catalogue, hub(models, Found(15.2, gated=True)), revision="v2"
    )
    assert (spec.id, spec.hub, spec.backend) == ("med-7b", HubSource("org/Med-7B", "v2"), "transformers")
    assert (spec.download_gb, spec.gated, spec.languages) == (15.2, True, ())
    assert not spec.is_here
    catalogue.add(spec)
    assert Catalogue(models, tmp_path / "models.yaml")["med-7b"] == spec

    one = from_hub("org/files", catalogue, hub(models), file="sub/med.Q4_K_M.gguf")
    assert (one.name, one.backend, one.path) == ("med.Q4_K_M", "llamacpp", models / "org--files/sub/med.Q4_K_M.gguf")


def test_an_adapter_of_the_hub_goes_onto_a_base(catalogue: Catalogue, tmp_path: Path) -> None:
    catalogue.add(from_hub("org/base", catalogue, hub(tmp_path / "models")))
    spec = from_hub("org/lora", catalogue, hub(tmp_path / "models", Found(0.5, gated=True)), base="base")
    assert (spec.download_gb, spec.gated) == (4.5 + 0.5, True)
    assert spec.hub == HubSource("org/base")
    assert spec.adapter_hub == HubSource("org/lora")
    assert spec.path == tmp_path / "models" / "org--base"
    catalogue.add(spec)
    assert Catalogue(tmp_path / "models", tmp_path / "models.yaml")["lora"] == spec


@pytest.mark.parametrize(("repo", "file", "revision", "words"), [
    ("model", "", "main", "OWNER/NAME"),
    ("../../etc", "", "main", "OWNER/NAME"),
    ("org/..", "", "main", "OWNER/NAME"),
    ("org/a/b", "", "main", "OWNER/NAME"),
    ("org/a", "../x.gguf", "main", "GGUF file of the repository"),
    ("org/a", "/x.gguf", "main", "GGUF file of the repository"),
    ("org/a", "pytorch_model.bin", "main", "GGUF file of the repository"),
    ("org/a", "x-00001-of-00003.gguf", "main", "split"),
    ("org/a", "", "a b", "A revision is"),
])  # fmt: skip
def test_what_cannot_be_on_the_hub_is_refused(
    catalogue: Catalogue, tmp_path: Path, repo: str, file: str, revision: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        from_hub(repo, catalogue, hub(tmp_path), file=file, revision=revision)


def test_what_the_hub_cannot_give_is_not_made_a_model(catalogue: Catalogue, tmp_path: Path) -> None:
    unreachable = hub(tmp_path, DownloadFailed("The Hub cannot be reached (huggingface.co); check the network."))
    with pytest.raises(DownloadFailed, match=r"^org/a was not added, for it is checked first\. The Hub cannot be"):
        from_hub("org/a", catalogue, unreachable)


def test_an_endpoint_becomes_a_model(catalogue: Catalogue, tmp_path: Path) -> None:
    spec = from_endpoint(
        "https://llm.example.org/v1/", "med-1", catalogue, backends(SERVED), key_variable="EXAMPLE_API_KEY"
    )
    assert (spec.n_ctx, spec.parameters, spec.memory_gb, spec.languages) == (8192, None, None, ())
    assert spec.endpoint is not None
    assert (spec.endpoint.base_url, spec.endpoint.model) == ("https://llm.example.org/v1", "med-1")
    assert (spec.endpoint.key_variable, spec.external, spec.backend) == (
        "EXAMPLE_API_KEY", "llm.example.org", "openai",
    )  # fmt: skip
    catalogue.add(spec)
    assert Catalogue(tmp_path / "models", tmp_path / "models.yaml")[spec.id] == spec


def test_a_model_that_the_server_does_not_list_is_refused(catalogue: Catalogue) -> None:
    missing = InvalidInput("llm.example.org has no model 'x'; it has a or b.")
    with pytest.raises(InvalidInput, match="has no model 'x'"):
        from_endpoint("https://llm.example.org", "x", catalogue, backends(missing))
    with pytest.raises(ModelUnavailable, match="does not answer"):
        from_endpoint("https://llm.example.org", "x", catalogue, backends(ModelUnavailable("It does not answer.")))


@pytest.mark.parametrize(("url", "key", "words"), [
    ("llm.example.org", "", "must be like https://"),
    ("ftp://llm.example.org", "", "must be like https://"),
    ("https://", "", "must be like https://"),
    ("https://me:secret@llm.example.org", "", "must be like https://"),
    ("https://llm.example.org/v1?key=abc", "", "must be like https://"),
    ("https://llm.example.org:port", "", "must be like https://"),
    ("https://[::1", "", "must be like https://"),
    ("http://llm.example.org/v1", "", "must begin with https://"),
    ("http://8.8.8.8/v1", "", "must begin with https://"),
    ("http://169.254.169.254/latest", "", "must begin with https://"),
    ("http://192.168.1.5:8000/v1", "VLLM_API_KEY", "for everybody to read"),
])  # fmt: skip
def test_addresses_that_are_not_safe_are_refused(catalogue: Catalogue, url: str, key: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refusal:
        from_endpoint(url, "m", catalogue, backends(SERVED), key_variable=key)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(("url", "key"), [
    ("http://localhost:8000/v1", "VLLM_API_KEY"), ("http://127.0.0.1:1", ""), ("http://[::1]:8000/v1", ""),
    ("http://192.168.1.5:8000/v1", ""), ("http://10.0.0.3", ""), ("http://gpu-box:8000/v1", ""),
    ("http://llm.lan/v1", ""),
])  # fmt: skip
def test_plain_http_is_taken_where_nobody_else_can_read_it(catalogue: Catalogue, url: str, key: str) -> None:
    assert from_endpoint(url, "m", catalogue, backends(SERVED), key_variable=key).endpoint


@pytest.mark.parametrize(("name", "words"), [
    ("sk-proj-AbCd1234", "looks like a key"), ("hf_AbCdEfGh", "looks like a key"), ("nvapi-x", "looks like a key"),
    ("AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7EXAMPLE0", "looks like a key"), ("PATH", "ends in KEY or TOKEN"),
    ("MY KEY", "ends in KEY or TOKEN"), ("HF_TOKEN", "no key of a model server"),
    ("AWS_SECRET_ACCESS_KEY", "no key of a model server"), ("GITHUB_TOKEN", "no key of a model server"),
])  # fmt: skip
def test_a_key_is_named_by_its_variable_and_never_repeated(catalogue: Catalogue, name: str, words: str) -> None:
    fakes = FakeBackends(SERVED)
    with pytest.raises(InvalidInput, match=words) as refusal:
        from_endpoint("https://llm.example.org", "m", catalogue, cast(Backends, fakes), key_variable=name)
    if "looks like" in words:
        assert name not in str(refusal.value)
    assert not fakes.checked


def test_a_server_model_needs_its_name(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidInput, match="name on the server"):
        from_endpoint("https://llm.example.org", " ", catalogue, backends(SERVED))
