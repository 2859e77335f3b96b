"""lm-eval's `hf` model as a process: a line of JSON in orders log-likelihoods, a line out has them and the time."""

import json
import os
import sys
import time
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from medchat.machine import count_gpus

WARM_UP = 16  # pairs


def answer(order: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """Seconds and scores of the order's pairs. loaded: the model, kept from one order to the next."""
    device = "cuda" if count_gpus() else "cpu"
    if not loaded:
        loaded["first"] = HFLM(pretrained=order["folder"], dtype=order["dtype"], device=device, batch_size=1)
    first = loaded["first"]
    model = HFLM(
        pretrained=first.model, tokenizer=first.tokenizer, device=device, batch_size=order["batch_size"],
        softmax_dtype=order["softmax_dtype"],
    )  # fmt: skip
    requests = [
        Instance("loglikelihood", {}, (prompt, option), number)
        for number, (prompt, option) in enumerate(order["pairs"])
    ]
    model.loglikelihood(requests[:WARM_UP], disable_tqdm=True)
    began = time.perf_counter()
    found = model.loglikelihood(requests, disable_tqdm=True)
    return {"seconds": time.perf_counter() - began, "scores": [float(score) for score, _ in found]}


def main() -> None:
    """Serve standard input until it ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not end up between the replies
    loaded: dict[str, Any] = {}
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line), loaded)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
