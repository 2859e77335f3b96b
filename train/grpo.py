"""Group relative policy optimisation: answers are sampled, scored by the recipe's rewards, and learnt from.

The "penalty" form that some descriptions give, loss = cross-entropy + lambda (1 - reward), does not do this: the
reward is computed on sampled text, sampling has no derivative, and so the penalty is a constant to the optimiser;
what is left is plain SFT. GRPO weighs the log-probability of each sampled answer by how far its reward lies above
its group's mean, which has a gradient; the other way is reward-weighted SFT (`reward_weighted` of an sft stage).
"""

import shutil
from collections.abc import Callable, Sequence
from typing import Any, cast

from datasets import Dataset
from transformers import TrainerControl
from trl import GRPOConfig, GRPOTrainer

from medchat.errors import InvalidInput
from medchat.records import Example
from train.completions import write_completions
from train.fitting import Fitted, StageJob, counted, fit, settings_of
from train.plan import each_row, planned_steps
from train.recipe_schema import GrpoStage, RewardSpec, generated_at_once
from train.rewards import score
from train.templates import question_of

TOO_FEW = (
    "{} has {} questions to train on, and a round of answers takes {} ({} answers in groups of {}); raise"
    " stages.{}.num_generations, make the batch smaller, or add questions."
)
RewardFunction = Callable[..., list[float | None]]


class PromptedTrainer(GRPOTrainer):
    """TRL's trainer with the chat's own tokens as prompts, whole answers with their special tokens, and the tables
    of answers where the app looks for them. Evaluation writes one answer a question, the likeliest words first.
    """

    control: TrainerControl

    def __init__(self, job: StageJob, prompt_ids: dict[str, list[int]], names: Sequence[str], **given: Any) -> None:
        self._job, self._prompt_ids, self._names = job, prompt_ids, tuple(names)
        super().__init__(**given)
        self.eos_token_ids = sorted(job.encoder.ends)
        self.generation_config.eos_token_id = self.generation_kwargs["eos_token_id"] = self.eos_token_ids

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self._prompt_ids[prompt] for prompt in prompts], None, {}

    def _generate(self, prompts: list[str]) -> tuple[Any, ...]:
        prompt_ids, completion_ids, mask, _, *rest = super()._generate(prompts)
        return prompt_ids, completion_ids, mask, [self._job.encoder.text(ids) for ids in completion_ids], *rest

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """eval_reward, the weighted sum of the rewards' means on the validation's questions, and each of them."""
        metrics = _validated(self, self._job, self._names)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Move the step's table of answers to the run's."""
        super().log(logs, start_time)
        table = self._job.folder / "completions" / f"completions_{self.state.global_step:05d}.parquet"
        if table.is_file():
            self._job.completions.mkdir(exist_ok=True)
            target = self._job.completions / f"{self._job.name}-{self.state.global_step:06d}.parquet"
            shutil.move(table, target)


def train_grpo(job: StageJob, resume: bool) -> Fitted:
    """Train the stage. Raises MedChatError."""
    stage = cast(GrpoStage, job.stage)
    examples, prompts, notes = _questions(job, stage, "train")
    a_round, group = generated_at_once(stage, job.machine.processes), stage.num_generations
    if len(examples) < a_round // group:
        raise InvalidInput(
            TOO_FEW.format(job.rows.train.name, len(examples), a_round // group, a_round, group, job.number)
        )
    steps = planned_steps(stage, len(examples), job.machine.processes)
    has_validation = bool(job.rows.n["validation"])
    config = GRPOConfig(
        **settings_of(job, steps, has_validation),
        num_generations=group,
        num_generations_eval=1,
        steps_per_generation=stage.steps_per_generation or None,
        num_iterations=stage.num_iterations,
        max_completion_length=stage.max_completion_length,
        temperature=stage.temperature,
        top_p=stage.top_p,
        top_k=stage.top_k,
        beta=stage.beta,
        epsilon=stage.epsilon,
        loss_type=stage.loss_type,
        scale_rewards=stage.scale_rewards,
        mask_truncated_completions=stage.mask_truncated_completions,
        reward_weights=[reward.weight for reward in stage.rewards],
        log_completions=job.machine.process == 0,
        num_completions_to_print=0,
    )
    names = _names(stage.rewards)
    functions = [_function(job, spec, name, examples) for spec, name in zip(stage.rewards, names, strict=True)]
    keys = list(prompts)
    rows = [{"prompt": keys[i], "row": i} for i in range(len(examples))]
    trainer = PromptedTrainer(
        job,
        prompts,
        names,
        model=job.model,
        args=config,
        reward_funcs=functions,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:1]) if has_validation else None,
        processing_class=job.encoder.tokenizer,
    )
    used = {"train": len(examples), "validation": len(_questions(job, stage, "validation")[0])}
    return fit(trainer, job, steps, used, resume=resume, notes=notes)


def _questions(
    job: StageJob, stage: GrpoStage, split: str
) -> tuple[list[Example], dict[str, list[int]], tuple[str, ...]]:
    """The examples of a split whose prompts are not too long, and these prompts by their text, in the same order.

    A question that comes twice is asked once.
    """
    file = {"train": job.rows.train, "validation": job.rows.validation}[split] or job.rows.train
    limit = stage.train_rows if split == "train" else stage.validation_rows
    examples: list[Example] = []
    prompts: dict[str, list[int]] = {}
    n_all = n_long = 0
    for of, row in each_row("grpo", file):
        if of != split or (limit and n_all >= limit):
            continue
        messages = job.encoder.messages(*question_of(row))
        text = messages[-1].content
        if text in prompts:
            continue
        n_all += 1
        ids = job.encoder.prompt(messages, stage.max_prompt_length)
        if ids is None:
            n_long += 1
        else:
            prompts[text] = ids
            examples.append(row)
    if split != "train":
        return examples, prompts, ()
    notes = counted(n_all - n_long, n_all, job, stage.max_prompt_length, "max_prompt_length", file.name)
    return examples, prompts, notes


def _names(rewards: Sequence[RewardSpec]) -> list[str]:
    """Names for the log; a reward that is there again, with other options, gets its number."""
    names: list[str] = []
    for reward in rewards:
        before = [spec.name for spec in rewards[: len(names)]].count(reward.name)
        names.append(f"{reward.name}_{before + 1}" if before else reward.name)
    return names


def _function(job: StageJob, spec: RewardSpec, name: str, examples: Sequence[Example]) -> RewardFunction:
    """The reward as TRL calls it."""

    def reward(completions: list[str], row: list[int], **_: Any) -> list[float | None]:
        return score(spec.name, completions, [examples[i] for i in row], job.rewards, **spec.options)

    reward.__name__ = name
    return reward


def _validated(trainer: PromptedTrainer, job: StageJob, names: Sequence[str]) -> dict[str, float]:
    """The evaluation's values."""
    stage = cast(GrpoStage, job.stage)
    examples, prompts, _ = _questions(job, stage, "validation")
    written = write_completions(
        trainer.model,
        job.encoder,
        list(prompts.values()),
        stage.max_completion_length,
        stage.per_device_eval_batch_size,
    )
    texts = [one.text for one in written]
    metrics = {"eval_reward": 0.0}
    for spec, name in zip(stage.rewards, names, strict=True):
        values = [v for v in score(spec.name, texts, examples, job.rewards, **spec.options) if v is not None]
        if values:
            mean = sum(values) / len(values)
            metrics[f"eval_rewards/{name}"] = mean
            metrics["eval_reward"] += spec.weight * mean
    if job.watched is not None:
        metrics |= {f"eval_{name}": value for name, value in job.watched.means(trainer.model).items()}
    return metrics
