"""llama.cpp in a process of its own, for exports: quantises a file, or says what a model's next words are.

    python -m train.gguf_process quantise SOURCE TARGET TYPE
    python -m train.gguf_process logits REQUEST.json ANSWER.npz

It can abort its process, and its messages would stand between ours. The exit status is 0 when it worked.
"""

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

TYPES = {
    "f16": llama.LLAMA_FTYPE_MOSTLY_F16,
    "q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q4_k_m": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}
BATCH = 512


def quantise(source: str, target: str, kind: str) -> int:
    """Write the model in another type; 0 when it worked."""
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = TYPES[kind]
    return int(llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)))


def logits(request: Path, answer: Path) -> int:
    """Write what a model says after each token of some texts.

    request: model, adapter ("" for none), prompts (their texts), ids (tokens of each text: prompt and continuation)
    and n_scored (of how many of its last tokens the successors are wanted). answer: logits_I (n_scored, words) and
    tokens_I, which the model's own tokenizer makes of the prompt, for each text I.
    """
    wanted = json.loads(request.read_text(encoding="utf-8"))
    longest = max(len(ids) for ids in wanted["ids"])
    model = llama.Llama(
        wanted["model"], lora_path=wanted["adapter"] or None, n_ctx=longest + 1, n_batch=BATCH, verbose=False
    )
    found: dict[str, Any] = {}
    for number, (prompt, ids) in enumerate(zip(wanted["prompts"], wanted["ids"], strict=True)):
        model.reset()
        n_scored = wanted["n_scored"][number]
        rows = []
        model.eval(ids[: len(ids) - n_scored + 1])
        for token in [*ids[len(ids) - n_scored + 1 :], None]:
            last = llama.llama_get_logits_ith(model.ctx, -1)
            rows.append(np.ctypeslib.as_array(last, (model.n_vocab(),)).astype(np.float32))
            if token is not None:
                model.eval([token])
        found[f"logits_{number}"] = np.stack(rows)
        found[f"tokens_{number}"] = np.array(model.tokenize(prompt.encode(), add_bos=False, special=True))
    np.savez(answer, **found)
    model.close()
    return 0


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    sys.exit(quantise(*arguments) if task == "quantise" else logits(*map(Path, arguments)))
