"""The base and its adapter in memory, ready to be trained, and the tokens of what it reads and writes."""

import json
import logging
import shutil
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, set_seed

from medchat.backends.hf_files import (
    as_safetensors,
    matrix_shapes,
    packing_of,
    read_adapter,
    read_config,
    require_base,
    shown,
    weight_files,
)
from medchat.backends.hf_model import LOAD_ERRORS, memory_checked
from medchat.errors import InvalidInput, ModelUnavailable
from train.recipe_schema import Lora, Stage

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What this process computes on. process: its number among those of the run, which all do the same."""

    device: torch.device
    has_bf16: bool
    process: int = 0
    processes: int = 1

    def wait(self) -> None:
        """Go on when all processes of the run have come so far."""
        if self.processes > 1:
            PartialState().wait_for_everyone()


def hardware() -> Hardware:
    """The GPU of this process where there is one, else the CPU."""
    state = PartialState(cpu=not torch.cuda.is_available())
    on_gpu = state.device.type == "cuda"
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else True
    return Hardware(state.device, has_bf16, state.process_index, state.num_processes)


class Precision(NamedTuple):
    """In which the weights are held and products computed; notes: where that is not what the recipe says, and why."""

    weights: str
    double_quant: bool
    compute: str
    attention: str
    notes: tuple[str, ...]


def settle_precision(stage: Stage, packing: str, machine: Hardware) -> Precision:
    """What the recipe asks for as far as the machine has it. packing: how the folder's weights are quantised, or ""."""
    weights, compute, notes = stage.precision, stage.compute, []
    if packing and weights not in ("nf4", "int8"):
        notes.append(
            f"The base's weights are quantised already ({packing}); they are used as they are, not in {weights}."
        )
    for name, value in (("weights", weights), ("compute", compute)):
        on_cpu = value == "fp16" and machine.device.type == "cpu"
        if not on_cpu and not (value == "bf16" and not machine.has_bf16):
            continue
        why = "the CPU does not train in fp16" if on_cpu else "this GPU has no bf16"
        notes.append(f"{name} in fp32 instead of {value}: {why}.")
        weights, compute = ("fp32", compute) if name == "weights" else (weights, "fp32")
    attention = "sdpa"
    if stage.flash_attention and machine.device.type == "cuda" and find_spec("flash_attn"):
        attention = "flash_attention_2"
    elif stage.flash_attention:
        why = "there is no GPU" if machine.device.type == "cpu" else "the package flash-attn is not installed"
        notes.append(f"PyTorch's own attention instead of FlashAttention 2: {why}.")
    return Precision(weights, stage.double_quant, compute, attention, tuple(notes))


def packing_of_folder(folder: Path) -> str:
    """How the folder's weights are quantised already, "" where they are not. Raises ModelUnavailable."""
    return packing_of(read_config(folder))


def use_threads(n: int) -> None:
    """So many cores for the work on the CPU."""
    torch.set_num_threads(n)


def quiet_libraries() -> None:
    """No bars, hints and notes on coming versions in the log; errors stay."""
    from datasets.utils.logging import disable_progress_bar
    from transformers.utils import logging as of_transformers

    disable_progress_bar()
    of_transformers.disable_progress_bar()
    of_transformers.set_verbosity_error()
    for name in ("trl", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="(transformers|trl|peft)")


def load_base(folder: Path, precision: Precision, machine: Hardware) -> Any:
    """The model in the folder, frozen. Raises ModelUnavailable with one line when it cannot be loaded."""
    config = read_config(folder)
    files = weight_files(folder)
    packing = packing_of(config)
    dtype = DTYPES[precision.compute if precision.weights in ("nf4", "int8") else precision.weights]
    with memory_checked(shown(folder)):
        source = as_safetensors(folder, files, 1 << 62)
        try:
            model = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=dtype,
                quantization_config=None if packing else _quantisation(precision),
                device_map={"": machine.device},
                attn_implementation=_attention(config, precision),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except LOAD_ERRORS as error:
            if isinstance(error, torch.OutOfMemoryError) or "t allocate memory" in str(error):
                raise
            log.warning("%s: %s: %s", shown(folder), type(error).__name__, error)
            raise ModelUnavailable(
                f"The base {shown(folder)!r} cannot be loaded: its weights are damaged or do not fit its config.json;"
                " fetch it again or choose another."
            ) from error
    model.requires_grad_(False)
    for module in model.modules():
        # On some processors bitsandbytes repacks 4-bit weights at the first answer, for a kernel without gradients.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    model.config.use_cache = False
    return model


def _attention(config: Any, precision: Precision) -> str:
    # Gemma 2 caps its attention scores, which sdpa cannot: its authors train it with the plain form.
    return "eager" if config.model_type == "gemma2" and precision.attention == "sdpa" else precision.attention


def _quantisation(precision: Precision) -> BitsAndBytesConfig | None:
    if precision.weights == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if precision.weights == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=precision.double_quant,
            bnb_4bit_compute_dtype=DTYPES[precision.compute],
        )
    return None


def load_trainable(base: Any, folder: Path, adapter: Path | None, lora: Lora | None, seed: int) -> PeftModel:
    """The base with a LoRA in fp32 that is trained: the one in `adapter`, or a new one.

    folder: the base's, to see whether the adapter was made for it. Raises ModelUnavailable where it was not, or is
    damaged, and InvalidInput when the base has no layers of the names that a new one is to change.
    """
    if adapter is not None:
        return _load_adapter(base, folder, adapter)
    assert lora is not None  # recipes.py wants one where there is no adapter
    names = {name.rpartition(".")[2] for name in matrix_shapes(base)}
    missing = [target for target in lora.targets if target not in names]
    if missing:
        raise InvalidInput(
            f"The base {shown(folder)!r} has no layer {missing[0]!r} for the adapter; set lora.targets to some of"
            f" {', '.join(sorted(names - {'lm_head', 'output_projection', 'embed_tokens'}))}."
        )
    set_seed(seed)
    config = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets), bias="none",
        task_type="CAUSAL_LM",
    )  # fmt: skip
    return get_peft_model(base, config)


def _load_adapter(base: Any, folder: Path, adapter: Path) -> PeftModel:
    found = read_adapter(adapter)
    require_base(found._replace(base=""), folder, matrix_shapes(base))
    require_same_tokens(adapter, folder)
    try:
        model = PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
    except LOAD_ERRORS as error:
        log.warning("%s: %s: %s", adapter.name, type(error).__name__, error)
        raise ModelUnavailable(f"The adapter {adapter.name!r} is damaged; train or fetch it again.") from error
    # PEFT looks at the base's configuration when it saves: here, and not on the Hub under the base's name.
    model.peft_config["default"].base_model_name_or_path = str(folder)
    return model


def require_same_tokens(adapter: Path, folder: Path) -> None:
    """Raise ModelUnavailable where the adapter came with another tokenizer than the base in the folder has."""
    if not any((adapter / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        return
    theirs, ours = (AutoTokenizer.from_pretrained(path, local_files_only=True) for path in (adapter, folder))
    if theirs.get_vocab() != ours.get_vocab():
        raise ModelUnavailable(
            f"The adapter {adapter.name!r} was trained with another tokenizer than that of {shown(folder)!r}: the same"
            " words have other numbers there. Choose the base that the adapter was made from."
        )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of the folder, with something to pad with. Raises ModelUnavailable when there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (*LOAD_ERRORS, ImportError) as error:
        raise ModelUnavailable(f"The base {shown(folder)!r} has no usable tokenizer; fetch it again.") from error
    if tokenizer.eos_token is None:
        raise ModelUnavailable(
            f"The tokenizer of {shown(folder)!r} names no token that ends a text; choose another base."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def trainable_weights(model: Any) -> dict[str, torch.Tensor]:
    """Copies of what is trained, by name."""
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def put_back(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give what is trained these values, in their precision.

    TRL rounds the adapter of a quantised base to bf16, in which steps of 1e-5 vanish; it stays in fp32 here.
    """
    for name, weight in model.named_parameters():
        if name in weights:
            weight.data = weights[name].float()


def use_adapter(model: Any, folder: Path) -> None:
    """Give the adapter that is trained the weights in a checkpoint."""
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"), "default")


def save_adapter(source: Path, target: Path, base_name: str) -> None:
    """Copy the adapter in a checkpoint, with the tokenizer, to the folder of what came out.

    Left out: optimiser and random state, and the frozen `ref` adapter. The base is called by its name, not by where
    it lies on this machine.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in (*ADAPTER_FILES, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "vocab.json",
                 "merges.txt", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"):  # fmt: skip
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    config = json.loads((target / "adapter_config.json").read_bytes())
    config["base_model_name_or_path"] = base_name
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
