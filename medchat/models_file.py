"""What is known of a model, and the files that say it: their schema, reading and writing."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from medchat.errors import InvalidInput
from medchat.formats import FORMATS
from medchat.records import Sampling
from medchat.settings import LOOPBACK, ROOT

UNFINISHED = ".unfinished"  # stands in a model folder as long as it is being fetched
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C, ten times faster, where it was built

BackendName = Literal["llamacpp", "transformers", "openai", "scripted"]
Precision = Literal["nf4", "int8", "bf16", "fp32"]


@dataclass(frozen=True, slots=True)
class HubSource:
    """Where on the Hugging Face Hub a model is. file: the one GGUF file that is wanted; "" for all of its weights."""

    repo: str
    revision: str = "main"
    file: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks OpenAI's protocol. model: its name there.

    key_variable: the environment variable that holds its key, "" for none. sends_sampling: whether it takes
    temperature, top_p and top_k. extra: further fields of each request's body.

    For many requests: key_variables: further variables that may hold a key; key_projects: variable -> project, for keys
    that share a quota; requests_per_minute, tokens_per_minute and at_once: what each quota allows, 0 where nobody says;
    input_price and output_price: US dollars for a million tokens, None where that is not known.
    """

    base_url: str
    model: str
    key_variable: str = ""
    sends_sampling: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    key_variables: tuple[str, ...] = ()
    key_projects: Mapping[str, str] = field(default_factory=dict, hash=False)
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    at_once: int = 0
    input_price: float | None = None
    output_price: float | None = None

    @property
    def all_key_variables(self) -> tuple[str, ...]:
        """key_variable and the further ones, each once."""
        return tuple(dict.fromkeys(filter(None, (self.key_variable, *self.key_variables))))

    @property
    def host(self) -> str:
        """The host's name, to be shown."""
        return urlsplit(self.base_url).hostname or self.base_url

    @property
    def clear_text_fault(self) -> str:
        """Why nothing may travel there unencrypted, in a line; "" where it is encrypted or nobody else can read it."""
        if urlsplit(self.base_url).scheme != "http" or self.host in LOOPBACK:
            return ""
        if not _is_private(self.host):
            return f"{self.host} is outside of your network: its address must begin with https://."
        if self.all_key_variables:
            return f"A key would travel to {self.host} for everybody to read; use https://, or no key."
        return ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model. id: its stable key.

    path: its GGUF file, or its folder of weights; for a model of the Hub where its download goes; None for
    an endpoint. safetensors: the folder of the same weights for transformers, for when llama.cpp cannot be
    used. adapter: a LoRA on top of path: a GGUF file for llama.cpp, a PEFT folder for transformers;
    adapter_hub: where on the Hub that is.
    n_ctx: tokens of prompt and answer together. precision: in which transformers loads it.
    parameters: how many, in billions; download_gb and memory_gb: of the download and the loaded weights
    with a context of 8,000 tokens, in GB; None where nobody said. gated: the Hub wants its terms accepted.
    limits: what it cannot do, in plain words. languages: ISO 639-1 codes of those that its authors name, none
    where that is not known.
    system_prompt: for the chat template. prompt: the whole prompt that it was trained with, instead of a
    chat: {question}, and {context} where prompt_with_context is taken because there is one. max_input_tokens:
    to which such a prompt is cut, 0 for none. case_form: what the user says in a chat, with {case} where context and
    question stand, "" for these alone. answer_start: with what each of its answers in a chat begins, as it was
    trained; it writes what comes after. template_options: what its chat template is also told.
    demo: one of the bundled teaching models. grounded: it is told what was recognised in the case.
    own: added here by somebody.
    """

    id: str
    name: str
    backend: BackendName
    answer_format: str
    sampling: Sampling
    n_ctx: int
    description: str
    licence: str
    limits: tuple[str, ...]
    path: Path | None = None
    hub: HubSource | None = None
    safetensors: Path | None = None
    adapter: Path | None = None
    adapter_hub: HubSource | None = None
    endpoint: Endpoint | None = None
    base: str = ""
    precision: Precision = "bf16"
    parameters: float | None = None
    download_gb: float | None = None
    memory_gb: float | None = None
    gated: bool = False
    languages: tuple[str, ...] = ()
    system_prompt: str = ""
    prompt: str = ""
    prompt_with_context: str = ""
    max_input_tokens: int = 0
    case_form: str = ""
    answer_start: str = ""
    template_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    demo: bool = False
    grounded: bool = False
    own: bool = False

    @property
    def external(self) -> str:
        """The host to which its prompts go; "" when they stay on this machine."""
        return self.endpoint.host if self.endpoint and self.endpoint.host not in LOOPBACK else ""

    @property
    def is_here(self) -> bool:
        """Whether it can be loaded, or asked, without fetching anything."""
        wanted = [path for path in (self.path, self.adapter) if path is not None]
        needs_nothing = self.endpoint is not None or self.backend == "scripted"
        return needs_nothing or (bool(wanted) and all(is_complete(path) for path in wanted))


def unknown_model(backend: BackendName) -> ModelSpec:
    """A model that nothing is known about, without id and name; `think` is also right for one that writes no marks."""
    return ModelSpec(
        id="",
        name="",
        backend=backend,
        answer_format="think",
        sampling=Sampling(max_new_tokens=1024, temperature=0.6, top_p=0.95, top_k=20),
        n_ctx=4096,
        description="A model of your own.",
        licence="not known",
        limits=("Nothing is known here about what it can do and cannot do.", "Not for the care of patients."),
        own=True,
    )


def is_gguf(path: Path) -> bool:
    """Whether the file begins as GGUF files do."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def is_complete(path: Path) -> bool:
    """Whether the file, or the folder of weights with all that was to be fetched into it, is there."""
    described = any((path / name).is_file() for name in ("config.json", "adapter_config.json"))
    return path.is_file() or (described and not (path / UNFINISHED).exists())


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name!r} is none of {', '.join(FORMATS)}")
    return name


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError("is no address like https://host/v1")
    return url


def _is_private(host: str) -> bool:
    """Whether the host is in the network at hand, as far as its name tells."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal", ".home.arpa"))
    return (address.is_private or address.is_loopback) and not address.is_link_local


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Words = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Amount = Annotated[float, Field(gt=0)]
Price = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Sampling(_Schema):
    max_new_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0


class _Hub(_Schema):
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^\w[\w./-]*$")] = "main"
    file: Annotated[str, Field(pattern=r"^(\w[\w.-]*/)*\w[\w.-]*\.gguf$|^$")] = ""


class _Endpoint(_Schema):
    base_url: Annotated[str, AfterValidator(_plain_url)]
    model: Words
    key_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$|^$")] = ""
    sends_sampling: bool = True
    extra: dict[str, Any] = {}
    key_variables: list[Variable] = []
    key_projects: dict[Variable, Words] = {}
    requests_per_minute: Count = 0
    tokens_per_minute: Count = 0
    at_once: Count = 0
    input_price: Price | None = None
    output_price: Price | None = None


class _Model(_Schema):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    name: Words
    backend: Literal["llamacpp", "transformers", "openai"]
    answer_format: Annotated[str, AfterValidator(_known_format)]
    sampling: _Sampling
    n_ctx: Annotated[int, Field(ge=64)]
    description: Words
    licence: Words
    limits: Annotated[list[Words], Field(min_length=1)]
    path: Words | None = None
    hub: _Hub | None = None
    safetensors: Words | None = None
    adapter: Words | None = None
    adapter_hub: _Hub | None = None
    endpoint: _Endpoint | None = None
    base: str = ""
    precision: Precision = "bf16"
    parameters: Amount | None = None
    download_gb: Amount | None = None
    memory_gb: Amount | None = None
    gated: bool = False
    languages: list[Annotated[str, Field(pattern=r"^[a-z]{2}$")]] = []
    system_prompt: str = ""
    prompt: str = ""
    prompt_with_context: str = ""
    max_input_tokens: Annotated[int, Field(ge=0)] = 0
    case_form: str = ""
    answer_start: str = ""
    template_options: dict[str, Any] = {}
    demo: bool = False
    grounded: bool = False


class _File(_Schema):
    models: Annotated[list[_Model], Field(min_length=1)]


def read_models(path: Path, models_dir: Path, *, own: bool = False) -> dict[str, ModelSpec]:
    """The models of a file by id, in its order.

    Raises InvalidInput with one line that names the place.
    """
    try:
        raw = yaml.load(path.read_bytes(), Loader=LOADER)
    except OSError as error:
        raise InvalidInput(f"The model catalogue {path.name} cannot be read; is the installation whole?") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{path.name}:{line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path.name}: not a YAML text in UTF-8.") from error
    return parse_models(raw, path.name, models_dir, own=own)


def parse_models(raw: object, where: str, models_dir: Path, *, own: bool) -> dict[str, ModelSpec]:
    """The models of a file's content; relative paths in it are relative to the project. Raises InvalidInput."""
    try:
        models = _File.model_validate(raw).models
    except ValidationError as error:
        raise InvalidInput(f"{where}: {_first_fault(error, raw)}.") from error
    specs: dict[str, ModelSpec] = {}
    for model in models:
        fault = "id: this id is taken" if model.id in (*specs, "default") else _conflict(model)
        if fault:
            raise InvalidInput(f"{where}: {model.id}: {fault}.")
        specs[model.id] = _spec(model, models_dir, own)
    return specs


def _conflict(model: _Model) -> str:
    """The first field that does not go together with the others, and why; "" when all do."""
    places = [name for name in ("path", "hub", "endpoint") if getattr(model, name) is not None]
    served, its = model.backend == "openai", model.endpoint
    prompts = (
        ("prompt", ("{question}",)), ("prompt_with_context", ("{question}", "{context}")), ("case_form", ("{case}",)),
    )  # fmt: skip
    continues = its is None or its.extra.get("continue_final_message")
    missing = [(name, mark) for name, marks in prompts for mark in marks if mark not in (getattr(model, name) or mark)]
    faults = {
        "endpoint.key_projects: names a variable that is no key of this server": (
            its and its.key_projects.keys() - {its.key_variable, *its.key_variables}
        ),
        "endpoint.input_price: goes together with output_price": (
            its and (its.input_price is None) != (its.output_price is None)
        ),
        "endpoint: a server's model has this, and neither path nor hub": served and places != ["endpoint"],
        "path: a model that runs here has either this or hub": not served and places not in (["path"], ["hub"]),
        "hub.file: llama.cpp needs the name of one GGUF file": (
            model.backend == "llamacpp" and model.hub and not model.hub.file
        ),
        "hub.file: only llama.cpp takes a GGUF file": model.backend == "transformers" and model.hub and model.hub.file,
        "adapter: there is an adapter_hub too": model.adapter and model.adapter_hub,
        "system_prompt: a model with a prompt of its own takes none": model.prompt and model.system_prompt,
        "prompt_with_context: needs a prompt for questions without context": (
            model.prompt_with_context and not model.prompt
        ),
        "max_input_tokens: is for models with a prompt of their own": model.max_input_tokens and not model.prompt,
        "max_input_tokens: leaves no room in n_ctx for an answer": model.max_input_tokens >= model.n_ctx,
        "sampling.max_new_tokens: is more than n_ctx": model.sampling.max_new_tokens > model.n_ctx,
        "grounded: a model with a prompt of its own cannot be told more": model.prompt and model.grounded,
        "case_form: a model with a prompt of its own takes none": model.prompt and model.case_form,
        "answer_start: a model with a prompt of its own takes none": model.prompt and model.answer_start,
        "answer_start: a server takes one only with extra.continue_final_message": model.answer_start and not continues,
        **{f"{name}: {mark} is missing in it": True for name, mark in missing},
    }
    return next((fault for fault, holds in faults.items() if holds), "")


def _spec(model: _Model, models_dir: Path, own: bool) -> ModelSpec:
    given = model.model_dump(exclude={"path", "hub", "safetensors", "adapter", "adapter_hub", "endpoint", "sampling"})
    hub, adapter_hub = (HubSource(**it.model_dump()) if it else None for it in (model.hub, model.adapter_hub))
    path, safetensors, adapter = (ROOT / it if it else None for it in (model.path, model.safetensors, model.adapter))
    return ModelSpec(
        **given | {"limits": tuple(model.limits), "languages": tuple(model.languages)},
        sampling=Sampling(**model.sampling.model_dump()),
        path=hub_path(models_dir, hub) if hub else path,
        hub=hub,
        safetensors=safetensors,
        adapter=hub_path(models_dir, adapter_hub) if adapter_hub else adapter,
        adapter_hub=adapter_hub,
        endpoint=_endpoint(model.endpoint) if model.endpoint else None,
        own=own,
    )


def _endpoint(given: _Endpoint) -> Endpoint:
    return Endpoint(**given.model_dump() | {"key_variables": tuple(given.key_variables)})


def hub_path(models_dir: Path, hub: HubSource) -> Path:
    """Where a model of the Hub goes."""
    return models_dir / hub.repo.replace("/", "--") / hub.file


def row_of(spec: ModelSpec) -> dict[str, Any]:
    """The spec as an entry of a file: what _spec() makes into it again."""
    row = {
        f.name: getattr(spec, f.name)
        for f in fields(spec)
        if f.default is MISSING or getattr(spec, f.name) != f.default
    }
    for name in ("own", "path" if spec.hub else "own", "adapter" if spec.adapter_hub else "own"):
        row.pop(name, None)
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """The value in YAML's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def write_models(path: Path, rows: list[dict[str, Any]]) -> None:
    """The models of one's own as a file; none when there are none. Raises InvalidInput when it cannot be written."""
    try:
        if not rows:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(yaml.safe_dump({"models": rows}, sort_keys=False, allow_unicode=True, width=120), "utf-8")
        unfinished.replace(path)
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path.name} cannot be written in the data folder; the model was not saved.") from error


def _first_fault(error: ValidationError, raw: object) -> str:
    """Model, field and reason of the first thing that is wrong."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if len(place) > 1 and isinstance(raw, dict):
        row = raw["models"][int(place[1])]
        model_id = row.get("id") if isinstance(row, dict) else None
        place = [str(model_id or f"model {int(place[1]) + 1}"), ".".join(place[2:])]
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return ": ".join([*filter(None, place), message[:1].lower() + message[1:]])
