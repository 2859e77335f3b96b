"""A model that somebody adds: a file, an adapter, a server's or one of the Hub, checked and made a ModelSpec."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from medchat.backends import Backends
from medchat.catalogue import Catalogue, Endpoint, HubSource, ModelSpec, Precision
from medchat.errors import NAME_CHARS, DownloadFailed, InvalidInput, NotFound, one_of
from medchat.formats import FORMATS
from medchat.hub import Downloads
from medchat.models_file import hub_path, is_gguf, unknown_model

SERVER_N_CTX = 8192  # no server says how much it takes; those of today take at least this

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*(KEY|TOKEN)", re.ASCII)
# Keys for something else than a model: whoever may add a server could have them sent to it.
FOREIGN_VARIABLES = re.compile(r"HF_|HUGGING_?FACE|AWS_|AZURE_CLIENT|GITHUB_|GH_|GITLAB_|MEDCHAT_", re.ASCII)
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
GGUF_FILE = re.compile(r"(\w[\w.-]*/)*\w[\w.-]*\.gguf", re.ASCII)
PART_OF_GGUF = re.compile(r"-\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody says of the model that is added; "" for what is usual, or for an adapter what its base has.

    answer_format: how it writes, one of FORMATS. system_prompt: for its chat template. prompt: the whole prompt
    that it was trained with, instead of a chat; {question} stands in it. precision: in which transformers loads it.
    """

    name: str = ""
    answer_format: str = ""
    system_prompt: str = ""
    prompt: str = ""
    precision: Precision | None = None


def from_file(
    path: Path,
    catalogue: Catalogue,
    backends: Backends,
    *,
    base: str = "",
    wishes: Wishes = Wishes(),
    allowed_dirs: Sequence[Path] | None = None,
) -> ModelSpec:
    """A GGUF file or a model folder, or with base, a model of the catalogue, an adapter for that one.

    allowed_dirs: the folders it must be in; None allows any. Raises InvalidInput, NotFound or ModelUnavailable
    with the reason why it cannot be used.
    """
    place = _place(path, allowed_dirs)
    if place.is_file() and not is_gguf(place):
        raise InvalidInput(f"{place.name!r} is no GGUF file; give one, or a folder with a model or an adapter.")
    is_adapter_folder = (place / "adapter_config.json").is_file()
    if base:
        if place.is_dir() and not is_adapter_folder:
            raise InvalidInput(f"{place.name!r} holds no adapter_config.json: a whole model is added without a base.")
        spec = _on_base(_base(base, catalogue), catalogue, is_adapter_folder, place.name)
        spec = replace(spec, adapter=place)
    else:
        if is_adapter_folder:
            raise InvalidInput(f"{place.name!r} is an adapter: name the model that it was made for as its base.")
        if place.is_dir() and not (place / "config.json").is_file():
            raise InvalidInput(f"{place.name!r} is no model folder: it holds no config.json.")
        spec = replace(unknown_model("llamacpp" if place.is_file() else "transformers"), path=place)
    name = place.stem if place.is_file() else place.name
    return checked(_as_wished(spec, name, wishes, catalogue), backends)


def from_hub(
    repo: str,
    catalogue: Catalogue,
    downloads: Downloads,
    *,
    file: str = "",
    revision: str = "main",
    base: str = "",
    wishes: Wishes = Wishes(),
) -> ModelSpec:
    """A model of the Hub: one GGUF file of its repository or, without file, its weights; with base an adapter.

    The Hub was asked whether it can be fetched; it can be checked() when it was. Raises InvalidInput, NotFound, or
    DownloadFailed when it cannot be fetched, or the Hub cannot be asked now.
    """
    repo = repo.strip().removeprefix("https://huggingface.co/").rstrip("/")
    if not REPO.fullmatch(repo):
        raise InvalidInput("A model of the Hub is named OWNER/NAME, such as google/medgemma-4b-it.")
    if not REVISION.fullmatch(revision):
        raise InvalidInput("A revision is a branch, a tag or a commit, such as main.")
    if file and not GGUF_FILE.fullmatch(file):
        raise InvalidInput("The file must be a GGUF file of the repository, its name as it stands there.")
    if PART_OF_GGUF.search(file):
        raise InvalidInput("This GGUF is split into several files; choose one that is whole.")
    hub = HubSource(repo, revision, file)
    place = hub_path(downloads.models_dir, hub)
    if base:
        spec = _on_base(_base(base, catalogue, must_be_here=False), catalogue, not file, repo)
        spec = replace(spec, adapter=place, adapter_hub=hub)
    else:
        spec = replace(unknown_model("llamacpp" if file else "transformers"), path=place, hub=hub)
    name = Path(file).stem if file else repo.partition("/")[2]
    spec = _as_wished(spec, name, wishes, catalogue)
    try:
        found = downloads.look(hub, is_adapter=bool(base))
    except DownloadFailed as error:
        raise DownloadFailed(f"{repo} was not added, for it is checked first. {error}") from error
    return replace(spec, download_gb=(spec.download_gb or 0) + found.gb, gated=spec.gated or found.gated)


def from_endpoint(
    base_url: str,
    model: str,
    catalogue: Catalogue,
    backends: Backends,
    *,
    key_variable: str = "",
    wishes: Wishes = Wishes(),
) -> ModelSpec:
    """A model of a server that speaks OpenAI's protocol, which was asked whether it has it.

    key_variable: the name of the environment variable that holds the server's key. Raises InvalidInput,
    AccessDenied or ModelUnavailable.
    """
    model = model.strip()
    if not model:
        raise InvalidInput("Give the model's name on the server.")
    _check_variable(key_variable.strip())
    endpoint = Endpoint(_checked_url(base_url.strip()), model, key_variable.strip())
    if endpoint.clear_text_fault:
        raise InvalidInput(endpoint.clear_text_fault)
    spec = replace(
        unknown_model("openai"),
        endpoint=endpoint,
        n_ctx=SERVER_N_CTX,
        description=f"A model of the server {endpoint.host}.",
    )
    return checked(_as_wished(spec, model.rpartition("/")[2], wishes, catalogue), backends)


def checked(spec: ModelSpec, backends: Backends) -> ModelSpec:
    """The model with what a look at it says of it; nothing of it stays loaded.

    Raises the backend's ModelUnavailable, NotEnoughMemory or InvalidInput when it cannot be used.
    """
    try:
        found = backends.get(spec).check()
    finally:
        backends.forget(spec.id)
    if not (found.has_chat_template or spec.prompt):
        raise InvalidInput(f"{spec.name} has no chat template: give the prompt that it was trained with.")
    memory_gb = max(found.memory_gb, 0.001) if spec.path else None
    if spec.adapter:
        return replace(spec, memory_gb=memory_gb)
    # Half of a short context stays for the question.
    sampling = replace(spec.sampling, max_new_tokens=max(1, min(spec.sampling.max_new_tokens, found.n_ctx // 2)))
    parameters = found.parameters if found.parameters > 0 else None
    return replace(spec, n_ctx=found.n_ctx, sampling=sampling, parameters=parameters, memory_gb=memory_gb)


def _place(path: Path, allowed_dirs: Sequence[Path] | None) -> Path:
    """The file or folder without links; raises InvalidInput when it is not where it may be."""
    try:
        place = path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no such home, a NUL
        raise InvalidInput("This path cannot be read; look at it once more.") from error
    # Before anything is said about it: whether a file elsewhere exists is nobody's business.
    if allowed_dirs is not None and not any(place.is_relative_to(folder.resolve()) for folder in allowed_dirs):
        folders = " or ".join(str(folder) for folder in allowed_dirs)
        raise InvalidInput(f"Only what lies in {folders} can be added here; put it there, or use the command line.")
    if not (place.is_file() or place.is_dir()):
        raise NotFound(f"There is no file or folder {path.name!r} there.")
    return place


def _base(model_id: str, catalogue: Catalogue, *, must_be_here: bool = True) -> ModelSpec:
    """The model an adapter goes onto; raises NotFound or InvalidInput when there cannot be one."""
    base = catalogue.get(model_id)
    if base is None:
        raise NotFound(f"There is no model {model_id[:NAME_CHARS]!r} to be the base; give the id of one in the list.")
    if base.endpoint:
        raise InvalidInput(f"{base.name} runs on a server; an adapter needs a base whose files are here.")
    if base.adapter:
        raise InvalidInput(f"{base.name} has an adapter already; choose the model below it as the base.")
    if must_be_here and not base.is_here:
        raise InvalidInput(f"{base.name} is not here yet; fetch it first, then add the adapter.")
    return base


def _on_base(base: ModelSpec, catalogue: Catalogue, is_folder: bool, name: str) -> ModelSpec:
    """The base as an adapter runs on it: transformers for a PEFT folder, llama.cpp for a GGUF file."""
    spec = replace(
        base, base=base.name, description=f"{base.name} with the adapter {name}.", limits=_limits(base), languages=(),
        own=True,
    )  # fmt: skip
    if not is_folder and base.backend == "transformers":
        raise InvalidInput(f"{name!r} is a file for llama.cpp, and {base.name} runs in transformers; give its folder.")
    if not is_folder or base.backend == "transformers":
        return replace(spec, safetensors=None)
    if base.safetensors is None:
        raise InvalidInput(
            f"{name!r} is an adapter for transformers, and {base.name} runs in llama.cpp. Convert it, then add FILE:"
            " python -m train export FOLDER --to gguf --base FOLDER_OF_THE_BASE --out FILE"
        )
    return replace(spec, backend="transformers", path=base.safetensors, safetensors=None, hub=None)


def _limits(base: ModelSpec) -> tuple[str, ...]:
    return ("Nothing is known here about what the adapter changed.", *base.limits)


def _as_wished(spec: ModelSpec, name: str, wishes: Wishes, catalogue: Catalogue) -> ModelSpec:
    """The model with its name, an id made from that, and what else was wished."""
    if wishes.answer_format and wishes.answer_format not in FORMATS:
        raise InvalidInput(f"There is no answer format {wishes.answer_format[:NAME_CHARS]!r}; give {one_of(FORMATS)}.")
    if wishes.prompt and "{question}" not in wishes.prompt:
        raise InvalidInput("The prompt must hold {question}: there the question is put in.")
    if wishes.prompt and wishes.system_prompt:
        raise InvalidInput("A model with a prompt of its own takes no system prompt; give one of the two.")
    if wishes.precision and spec.backend != "transformers":
        raise InvalidInput("The precision can be chosen for models that run in transformers only.")
    name = " ".join((wishes.name or name).split())[:NAME_CHARS]
    spec = replace(
        spec,
        id=_new_id(name, catalogue),
        name=name,
        answer_format=wishes.answer_format or spec.answer_format,
        precision=wishes.precision or spec.precision,
    )
    if wishes.prompt:
        return replace(
            spec, prompt=wishes.prompt, prompt_with_context="", system_prompt="", case_form="", answer_start="",
            grounded=False,
        )  # fmt: skip
    if wishes.system_prompt:
        return replace(spec, system_prompt=wishes.system_prompt, prompt="", prompt_with_context="", max_input_tokens=0)
    return spec


def _new_id(name: str, taken: Collection[str]) -> str:
    """An id that no other model has: the name in small letters, with a number where needed."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "model"
    number = 1
    while (found := plain if number == 1 else f"{plain}-{number}") in taken or found == "default":
        number += 1
    return found


def _check_variable(name: str) -> None:
    if not name:
        return
    if not VARIABLE.fullmatch(name):
        # What was typed is not repeated: it may be a key.
        if re.search(r"[a-z]", name) or len(name) > 40:
            raise InvalidInput(
                "That looks like a key. Put it into an environment variable and give that one's name, such as"
                " VLLM_API_KEY."
            )
        raise InvalidInput("Give the name of an environment variable that ends in KEY or TOKEN, such as VLLM_API_KEY.")
    if FOREIGN_VARIABLES.match(name):
        raise InvalidInput(f"{name} is no key of a model server; put that server's key into a variable of its own.")


def _checked_url(url: str) -> str:
    """The address without a slash at its end; raises InvalidInput for one that holds more than an address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput("The server's address must be like https://host/v1, without a name, password or key in it.")
    return url.rstrip("/")
