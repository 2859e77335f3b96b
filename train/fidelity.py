"""Whether an export says what the original says: the probabilities of the next word on ten prompts, side by side."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medchat.catalogue import ModelSpec
from medchat.errors import MedChatError
from medchat.settings import ROOT, child_environment
from train.completions import Encoder
from train.merge import load_whole

CONTINUED = 12  # words of the original's own answer after each prompt, which are compared too
QUESTIONS = (
    "A 54-year-old man has crushing chest pain that spreads to his left arm, and sweats. What is the diagnosis?",
    "A 7-year-old girl has a barking cough and stridor at night. What is the most likely diagnosis?",
    "What is the first-line treatment of community-acquired pneumonia in a healthy adult?",
    "A 30-year-old woman has polyuria, thirst and weight loss. Which test confirms the diagnosis?",
    "Which findings tell a migraine from a tension headache?",
    "A 70-year-old man has a swollen, red big toe since last night. What is the diagnosis?",
    "What are the side effects of metformin?",
    "A patient with asthma is breathless at rest and cannot finish a sentence. What is to be done first?",
    "How is iron deficiency anaemia told from anaemia of chronic disease?",
    "A 25-year-old man has a fever, a stiff neck and a rash that does not fade. What is the diagnosis?",
)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ: the mean divergence (Kullback-Leibler, nats a word), and the share of other likeliest words."""

    divergence: float
    other_first: float


# A weight of 16 bits moves the probabilities by rounding alone; one of 8 or 4 bits by more, and small models feel it
# more than large ones.
TOLERANCES = {
    "merged": Tolerance(0.002, 0.03),
    "f16": Tolerance(0.002, 0.03),
    "bf16": Tolerance(0.005, 0.05),
    "q8_0": Tolerance(0.005, 0.05),
    "q4_k_m": Tolerance(0.1, 0.15),
}


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What a comparison found over so many words."""

    divergence: float
    other_first: float
    n_words: int

    def line(self, kind: str) -> str:
        """It in words, with what is allowed for this kind of export."""
        allowed = TOLERANCES[kind]
        return (
            f"On {len(QUESTIONS)} prompts, {self.n_words} words: mean divergence {self.divergence:.2g} nats (at most"
            f" {allowed.divergence:g} for {kind}), another likeliest word in {self.other_first:.1%} (at most"
            f" {allowed.other_first:.0%})."
        )


@dataclass(frozen=True, slots=True)
class Original:
    """What the original says.

    prompts: as the model reads them, and the tokens of these texts; ids: of each with the beginning of its answer.
    logits: (words, vocabulary) after the last token of each prompt, and after each word of the answer.
    """

    prompts: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    ids: tuple[tuple[int, ...], ...]
    logits: tuple[Floats, ...]


def original(spec: ModelSpec, base: Path, adapter: Path | None) -> Original:
    """Ask the base, unquantised, with its adapter. spec: says how it is prompted. Raises ModelUnavailable."""
    model = load_whole(base, adapter)
    encoder = Encoder(spec, base, None)
    prompts, prompt_ids, ids, logits = [], [], [], []
    for question in QUESTIONS:
        tokens = encoder.prompt(encoder.messages(question, ""), spec.n_ctx - CONTINUED)
        if tokens is None:
            continue
        written = _continued(model, tokens)
        prompts.append(encoder.tokens.decode(tokens))
        prompt_ids.append(tuple(encoder.tokenizer.encode(prompts[-1], add_special_tokens=False)))
        ids.append(tuple(written))
        logits.append(_last_logits(model, written, len(written) - len(tokens) + 1))
    if not prompts:
        raise MedChatError(f"None of the ten prompts fits into the context of {spec.name}; nothing can be checked.")
    return Original(tuple(prompts), tuple(prompt_ids), tuple(ids), tuple(logits))


def check_merged(of: Original, folder: Path) -> Fidelity:
    """Compare with a merged model. Raises MedChatError when it says something else."""
    model = load_whole(folder, None)
    scored = [_last_logits(model, list(ids), len(own)) for ids, own in zip(of.ids, of.logits, strict=True)]
    return _accepted(compare(of.logits, scored), "merged")


def check_gguf(of: Original, file: Path, kind: str, adapter: Path | None = None) -> Fidelity:
    """Compare with a GGUF file, with an adapter in GGUF where that is given.

    Raises MedChatError when it says something else, or reads a prompt as other tokens.
    """
    scored, tokens = _gguf_logits(of, file, adapter)
    for mine, theirs in zip(of.prompt_ids, tokens, strict=True):
        if list(mine) != theirs:
            raise MedChatError(
                f"{file.name} reads a prompt as other tokens than the original, so that it would answer worse; its"
                " tokenizer cannot be exported to GGUF."
            )
    return _accepted(compare(of.logits, scored), kind)


def compare(mine: Sequence[Floats], theirs: Sequence[Floats]) -> Fidelity:
    """How far the second model is from the first, over the rows (words, vocabulary) of all texts.

    Columns that only one of them has, where a vocabulary was padded, are left out.
    """
    divergences, others = [], []
    for first, second in zip(mine, theirs, strict=True):
        width = min(first.shape[1], second.shape[1])
        a, b = _log_softmax(first[:, :width]), _log_softmax(second[:, :width])
        divergences.append((np.exp(a) * (a - b)).sum(1))
        others.append(a.argmax(1) != b.argmax(1))
    return Fidelity(
        float(np.concatenate(divergences).mean()), float(np.concatenate(others).mean()), sum(map(len, others))
    )


def _accepted(found: Fidelity, kind: str) -> Fidelity:
    allowed = TOLERANCES[kind]
    if not (found.divergence <= allowed.divergence and found.other_first <= allowed.other_first):
        raise MedChatError(f"The export does not say what the original says, and was not kept. {found.line(kind)}")
    return found


def _continued(model: Any, tokens: list[int]) -> list[int]:
    """The tokens with the likeliest ones after them."""
    written = list(tokens)
    for _ in range(CONTINUED):
        written.append(int(_last_logits(model, written, 1)[0].argmax()))
    return written


def _last_logits(model: Any, ids: Sequence[int], n_last: int) -> Floats:
    """Logits (n_last, words) after each of the last tokens."""
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -n_last:]  # (n_last, V)
    return out.float().numpy()


def _log_softmax(rows: Floats) -> npt.NDArray[np.float64]:
    shifted = rows.astype(np.float64) - rows.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def _gguf_logits(of: Original, file: Path, adapter: Path | None) -> tuple[list[Floats], list[list[int]]]:
    """What the file says of the same tokens, and which tokens it makes of the prompts."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.npz"
        wanted = {
            "model": str(file), "adapter": str(adapter or ""), "prompts": of.prompts, "ids": of.ids,
            "n_scored": [len(rows) for rows in of.logits],
        }  # fmt: skip
        request.write_text(json.dumps(wanted), encoding="utf-8")
        if run_llamacpp("logits", str(request), str(answer)):
            raise MedChatError(f"llama.cpp cannot run {file.name}, so it was not kept.")
        with np.load(answer) as found:
            n = range(len(of.ids))
            return [found[f"logits_{i}"] for i in n], [found[f"tokens_{i}"].tolist() for i in n]


def run_llamacpp(*arguments: str) -> int:
    """The exit status of gguf_process; it prints nothing."""
    command = [sys.executable, "-m", "train.gguf_process", *arguments]
    return subprocess.run(command, check=False, capture_output=True, cwd=ROOT, env=child_environment()).returncode
