"""A reward model: a sequence classifier of transformers with one output, the number of an answer to a question."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from medchat.errors import InvalidInput, ModelUnavailable

AT_ONCE = 8
MOST_TOKENS = 4096  # where neither model nor tokenizer names a limit
LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)


class RewardModel:
    """The model in a folder, loaded on the processor or the GPU. Raises ModelUnavailable and InvalidInput."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        if not (folder / "config.json").is_file():
            raise InvalidInput(f"{folder.name} is no folder of a reward model: it has no config.json.")
        torch.set_num_threads(threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, output_loading_info=True,
                dtype=torch.bfloat16 if self._device == "cuda" else torch.float32,
            )  # fmt: skip
        except LOAD_ERRORS as error:
            raise ModelUnavailable(f"The reward model {folder.name} cannot be loaded; fetch it again.") from error
        if info["missing_keys"]:  # they would be drawn by chance
            raise InvalidInput(f"{folder.name} is no reward model: it has no weights for the number of an answer.")
        if model.config.num_labels != 1:
            raise InvalidInput(
                f"{folder.name} is a classifier of {model.config.num_labels} classes; a reward model has one output."
            )
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.unk_token
        model.config.pad_token_id = self._tokenizer.pad_token_id
        self._tokenizer.truncation_side = "left"  # the answer stands at the end
        self._model = model.to(self._device).eval()
        self._most_tokens = _most_tokens(model.config, self._tokenizer)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The number of each pair of question and answer; a higher one is better. What is too long loses its start."""
        texts = [self._text(question, answer) for question, answer in pairs]
        order = sorted(range(len(texts)), key=lambda place: len("".join(texts[place])))
        found = [0.0] * len(texts)
        for start in range(0, len(order), AT_ONCE):
            places = order[start : start + AT_ONCE]
            for place, value in zip(places, self._batch([texts[place] for place in places]), strict=True):
                found[place] = value
        return found

    def _text(self, question: str, answer: str) -> tuple[str, ...]:
        """As one text where the model was trained on chats, else as the two texts of a pair."""
        if not self._tokenizer.chat_template:
            return question, answer
        chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return (self._tokenizer.apply_chat_template(chat, tokenize=False),)

    @torch.inference_mode()
    def _batch(self, texts: Sequence[tuple[str, ...]]) -> list[float]:
        parts = [list(part) for part in zip(*texts, strict=True)]
        encoded = self._tokenizer(
            *parts, padding=True, truncation=True if len(parts) == 1 else "longest_first", return_tensors="pt",
            max_length=self._most_tokens, add_special_tokens=len(parts) == 2,
        ).to(self._device)  # fmt: skip
        logits = self._model(**encoded).logits  # (B, 1)
        return logits[:, 0].float().tolist()


def _most_tokens(config: Any, tokenizer: Any) -> int:
    named = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min([n for n in named if isinstance(n, int) and 0 < n < 10**6], default=MOST_TOKENS)
