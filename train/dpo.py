"""Learning from preferences: DPO on pairs of answers, KTO on single answers that were found good or bad."""

from collections.abc import Sequence
from typing import Any, cast

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from medchat.errors import InvalidInput
from train.fitting import Fitted, StageJob, Watched, counted, fit, settings_of
from train.plan import each_row, planned_steps
from train.recipe_schema import DpoStage, KtoStage
from train.templates import question_of

UNKNOWN_DISAGREEMENT = 0.1  # share of pairs taken for wrong where nobody rated twice
MOST_DISAGREEMENT = 0.45  # at a half the robust loss has no direction any more
Row = dict[str, Any]


class PairTrainer(Watched, DPOTrainer):
    """TRL's trainer on pairs that are tokens already."""


class RatedTrainer(Watched, KTOTrainer):
    """TRL's trainer on single answers that are tokens already."""


def train_dpo(job: StageJob, resume: bool) -> Fitted:
    """Train a stage of DPO. Raises MedChatError."""
    stage = cast(DpoStage, job.stage)
    pairs, notes = _rows(job, stage, ("chosen", "rejected"))
    steps = planned_steps(stage, len(pairs["train"]), job.machine.processes)
    smoothing, said = _smoothing(job, stage)
    config = DPOConfig(
        **settings_of(job, steps, bool(pairs["validation"])),
        max_length=stage.max_length,
        beta=stage.beta,
        loss_type=[stage.loss_type],
        label_smoothing=smoothing,
    )
    trainer = PairTrainer(
        job,
        model=job.model,
        args=config,
        train_dataset=Dataset.from_list(pairs["train"]),
        eval_dataset=Dataset.from_list(pairs["validation"]) if pairs["validation"] else None,
        processing_class=job.encoder.tokenizer,
    )
    used = {split: len(its) for split, its in pairs.items()}
    return fit(trainer, job, steps, used, resume=resume, notes=(*notes, *said))


def train_kto(job: StageJob, resume: bool) -> Fitted:
    """Train a stage of KTO. Raises MedChatError."""
    stage = cast(KtoStage, job.stage)
    rows, notes = _rows(job, stage, ("completion",))
    rows = {split: _with_others(its, stage.per_device_train_batch_size) for split, its in rows.items()}
    steps = planned_steps(stage, len(rows["train"]), job.machine.processes)
    config = KTOConfig(
        **settings_of(job, steps, bool(rows["validation"])),
        max_length=stage.max_length,
        beta=stage.beta,
        desirable_weight=stage.desirable_weight,
        undesirable_weight=stage.undesirable_weight,
    )
    trainer = RatedTrainer(
        job,
        model=job.model,
        args=config,
        train_dataset=Dataset.from_list(rows["train"]),
        eval_dataset=Dataset.from_list(rows["validation"]) if rows["validation"] else None,
        processing_class=job.encoder.tokenizer,
    )
    used = {split: len(its) for split, its in rows.items()}
    return fit(trainer, job, steps, used, resume=resume, notes=notes)


def _rows(
    job: StageJob, stage: DpoStage | KtoStage, columns: Sequence[str]
) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """The rows of training and validation as tokens, without those that are too long."""
    kept: dict[str, list[Row]] = {"train": [], "validation": []}
    n = dict.fromkeys(kept, 0)
    limits = {"train": stage.train_rows, "validation": stage.validation_rows}
    for split, row in each_row(stage.kind, job.rows.train):
        if split not in kept or (limits[split] and n[split] >= limits[split]):
            continue
        n[split] += 1
        encoded = _encoded(job, row, columns, stage.max_length)
        if encoded is not None:
            kept[split].append(encoded)
    return kept, counted(len(kept["train"]), n["train"], job, stage.max_length, "max_length", job.rows.train.name)


def _encoded(job: StageJob, row: Row, columns: Sequence[str], limit: int) -> Row | None:
    encoder = job.encoder
    messages = encoder.messages(*question_of(row))
    prompt = encoder.prompt(messages, limit)
    if prompt is None:
        return None
    answers = {
        f"{column}_ids": encoder.answer(messages, prompt, row[column].get("reasoning", ""), row[column]["solution"])
        for column in columns
    }
    if len(prompt) + max(map(len, answers.values())) > limit:
        return None
    return {"prompt_ids": prompt, **answers, **({"label": row["label"]} if "label" in row else {})}


def _with_others(rows: list[Row], batch: int) -> list[Row]:
    """Each row with the answer of the one before it in its batch: KTO estimates its KL term on such mismatched pairs.

    Raises InvalidInput when a batch would have a single row.
    """
    if len(rows) == 1:
        raise InvalidInput("kto.jsonl has one row only in a split; KTO compares rows, so it needs two or more.")
    out = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        others = [part[-1], *part[:-1]]
        out += [{**row, "KL_completion_ids": other["completion_ids"]} for row, other in zip(part, others, strict=True)]
    return out


def _smoothing(job: StageJob, stage: DpoStage) -> tuple[float, tuple[str, ...]]:
    """The share of pairs that are taken for the wrong way round, and a line on where it comes from."""
    if stage.loss_type != "robust":
        return 0.0, ()
    if stage.label_smoothing != "measured":
        return float(stage.label_smoothing), ()
    measured = job.data.report.get("disagreement")
    if not isinstance(measured, int | float):
        return UNKNOWN_DISAGREEMENT, (
            f"The raters' disagreement could not be measured; {UNKNOWN_DISAGREEMENT} of the pairs count as wrong.",
        )
    used = min(MOST_DISAGREEMENT, float(measured))
    return used, (f"The raters disagree on {measured:.2f} of the pairs; {used:.2f} of them count as wrong.",)
