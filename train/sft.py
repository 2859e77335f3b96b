"""Supervised fine-tuning: the loss is that of the answer's tokens alone, and of what ends it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from trl import SFTConfig, SFTTrainer

from medchat.records import Example
from train.completions import Encoder, write_completions
from train.fitting import Fitted, StageJob, Watched, counted, fit, settings_of
from train.plan import each_row, planned_steps
from train.recipe_schema import RewardWeighting, SftStage
from train.rewards import score
from train.templates import question_of

IGNORED = -100  # label of a token that is not learnt
CHUNK = 1000  # rows that are written to the disk at a time

_SCHEMA = pa.schema(
    [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32())), ("weight", pa.float32())]
)  # fmt: skip


class AnswerTrainer(Watched, SFTTrainer):
    """TRL's trainer on rows that are tokens already."""


class WeightedTrainer(AnswerTrainer):
    """The same with each row's loss multiplied by its weight (RewardWeighting says why)."""

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["input_ids", "labels", "weight"]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum of weight x cross-entropy over the answers' tokens, by their number."""
        weight = inputs.pop("weight")  # (B,)
        labels = inputs.pop("labels")[:, 1:]  # (B, T-1)
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()  # (B, T-1, V)
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORED
        )  # (B, T-1)
        n_tokens = num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum()
        loss = (losses * weight[:, None]).sum() / torch.as_tensor(n_tokens, device=losses.device).clamp(min=1)
        return (loss, {"logits": logits}) if return_outputs else loss


def train_sft(job: StageJob, resume: bool) -> Fitted:
    """Train the stage. Raises MedChatError."""
    stage = cast(SftStage, job.stage)
    n_all, used, kept = {}, {}, {}
    for split in ("train", "validation"):
        path = job.folder / f"{split}-{job.machine.process}.arrow"
        n_all[split], used[split] = _write_rows(path, _encoded(job, stage, split))
        kept[split] = Dataset.from_file(str(path))
    notes = counted(
        len(kept["train"]), n_all["train"], job, stage.max_length, "max_length", job.rows.train.name
    )  # fmt: skip
    steps = planned_steps(stage, len(kept["train"]), job.machine.processes)
    has_validation = bool(len(kept["validation"]))
    config = SFTConfig(
        **settings_of(job, steps, has_validation), max_length=None, dataset_kwargs={"skip_prepare_dataset": True}
    )
    kind = WeightedTrainer if stage.reward_weighted else AnswerTrainer
    trainer = kind(
        job,
        model=job.model,
        args=config,
        train_dataset=kept["train"] if stage.reward_weighted else kept["train"].remove_columns("weight"),
        eval_dataset=(kept["validation"] if stage.reward_weighted else kept["validation"].remove_columns("weight"))
        if has_validation
        else None,
        processing_class=job.encoder.tokenizer,
        data_collator=_Collator(job.encoder.tokenizer.pad_token_id),
    )
    return fit(trainer, job, steps, used, resume=resume, notes=notes)


class _Collator:
    """Rows padded on the right to ids, mask and labels (B, T), with weights (B,) where there are any."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = [torch.tensor(row["input_ids"], dtype=torch.long) for row in rows]
        labels = [torch.tensor(row["labels"], dtype=torch.long) for row in rows]
        batch = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self._pad),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        if "weight" in rows[0]:
            batch["weight"] = torch.tensor([row["weight"] for row in rows])
        return batch


Encoded = tuple[list[int], list[int], float]  # prompt, answer, weight


def _encoded(job: StageJob, stage: SftStage, split: str) -> Iterator[list[Encoded | None]]:
    """The answers to learn from each row of a split, as tokens; None for one that is too long."""
    limit = stage.train_rows if split == "train" else stage.validation_rows
    file = {"train": job.rows.train, "validation": job.rows.validation}[split] or job.rows.train
    n = 0
    for of, row in each_row("sft", file):
        if of == split and (not limit or n < limit):
            n += 1
            yield _encode(job, stage, row, weighted=split == "train")


def _encode(job: StageJob, stage: SftStage, row: Example, *, weighted: bool) -> list[Encoded | None]:
    encoder, limit = job.encoder, stage.max_length
    messages = encoder.messages(*question_of(row))
    prompt = encoder.prompt(messages, limit)
    if prompt is None:
        return [None]
    if weighted and stage.reward_weighted:
        answers = _weighted(job, stage.reward_weighted, row, messages, prompt)
    else:
        answers = [(encoder.answer(messages, prompt, row.rationale, row.answer or ""), 1.0)]
    return [(prompt, answer, weight) if len(prompt) + len(answer) <= limit else None for answer, weight in answers]


def _weighted(
    job: StageJob, how: RewardWeighting, row: Example, messages: Any, prompt: list[int]
) -> list[tuple[list[int], float]]:
    """The completions of a row, its own or sampled ones, each with its reward as weight; unscored ones are left out."""
    encoder: Encoder = job.encoder
    if how.completions == "given":
        ids = [encoder.answer(messages, prompt, row.rationale, row.answer or "")]
    else:
        written = write_completions(
            job.model, encoder, [prompt] * how.samples, how.max_new_tokens, how.samples, temperature=how.temperature
        )
        ids = [encoder.completion(messages, prompt, one.text) for one in written if one.complete]
    if not ids:
        return []
    texts = [encoder.text(one) for one in ids]
    rewards = score(how.reward, texts, [row] * len(texts), job.rewards, **how.options)
    return [(one, max(how.floor, reward)) for one, reward in zip(ids, rewards, strict=True) if reward is not None]


def _write_rows(path: Path, rows: Iterator[list[Encoded | None]]) -> tuple[int, int]:
    """Write the answers to an Arrow file, without those that are None.

    How many there were, those counted too, and of how many rows any was written.
    """
    n = n_used = 0
    chunk: list[Encoded] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, _SCHEMA) as out:
        for answers in rows:
            written = [answer for answer in answers if answer is not None]
            n, n_used = n + len(answers), n_used + bool(written)
            chunk += written
            if len(chunk) >= CHUNK:
                out.write_batch(_batch(chunk))
                chunk.clear()
        out.write_batch(_batch(chunk))
    return n, n_used


def _batch(rows: Sequence[Encoded]) -> pa.RecordBatch:
    ids = [[*prompt, *answer] for prompt, answer, _ in rows]
    labels = [[IGNORED] * len(prompt) + answer for prompt, answer, _ in rows]
    return pa.RecordBatch.from_pydict(
        {"input_ids": ids, "labels": labels, "weight": [weight for _, _, weight in rows]}, schema=_SCHEMA
    )
