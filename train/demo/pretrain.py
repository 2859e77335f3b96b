"""Trains the bundled models from scratch: plain PyTorch, one loop, two stages.

Stage `base` reads lessons as textbook prose, with some chats whose answers carry no tags: it learns the facts and
sees the tags, but not when to write them. Stage `answer` goes on from there with tagged answers in the chat.
"""

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medchat.records import Message
from train.demo.lessons import Lesson, Teacher
from train.demo.tokenizer import CONTEXT_TOKENS


@dataclass(frozen=True, slots=True)
class Stage:
    """tokens: budget. batch_tokens: a step's. learning_rate falls linearly over the last `decay` of the budget."""

    name: str
    tokens: int
    learning_rate: float
    batch_tokens: int = 3072
    warmup_steps: int = 30
    decay: float = 0.65


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained Llama of about 5 million parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="sdpa",
        )
    )


Sequence = tuple[list[int], list[float]]


def encode_chat(tokenizer: PreTrainedTokenizerFast, lesson: Lesson, answer: str, prompt_weight: float) -> Sequence:
    """Token ids and loss weights of a chat in which the last answer is learnt, and the prompt by its weight."""
    messages = [
        asdict(Message(*turn))
        for question, reply in lesson.history
        for turn in (("user", question), ("assistant", reply))
    ]
    messages.append(asdict(Message("user", f"{lesson.question_text}\n\n{lesson.grounding_text}")))
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    after = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return before + after, [prompt_weight] * len(before) + [1.0] * len(after)


def encode_prose(tokenizer: PreTrainedTokenizerFast, text: str) -> Sequence:
    """Token ids and loss weights of plain text."""
    ids = tokenizer(f"{tokenizer.bos_token}{text}{tokenizer.eos_token}", add_special_tokens=False)["input_ids"]
    return ids, [0.6] * len(ids)


def prose(lesson: Lesson, rng: random.Random) -> str:
    """The reasoning and answer as running text without numbers and tags."""
    text = " ".join(line.partition(". ")[2] for line in lesson.reasoning.splitlines())
    return rng.choice(
        (f"{text} Answer: {lesson.solution}", f"{text} Therefore: {lesson.solution}", f"{lesson.solution}. {text}")
    )


def base_sequence(tokenizer: PreTrainedTokenizerFast, teacher: Teacher, rng: random.Random) -> Sequence:
    """60 % prose, 25 % chat with an untagged answer, 15 % tagged text outside a chat."""
    lesson = teacher.lesson(rng)
    share = rng.random()
    if share < 0.25:
        return encode_chat(tokenizer, lesson, prose(lesson, rng), 0.3)
    answer = lesson.answer if share < 0.4 else prose(lesson, rng)
    return encode_prose(tokenizer, f"{lesson.question_text}\n\n{lesson.grounding_text}\n{answer}")


def answer_sequence(tokenizer: PreTrainedTokenizerFast, teacher: Teacher, rng: random.Random) -> Sequence:
    """A chat with a tagged answer."""
    lesson = teacher.lesson(rng)
    return encode_chat(tokenizer, lesson, lesson.answer, 0.0)


SEQUENCES = {"base": base_sequence, "answer": answer_sequence}


def batches(
    sequences: Iterator[Sequence], batch_tokens: int, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Right-padded ids (B, T) and weights (B, T) of sequences of like length, about batch_tokens a batch."""
    while True:
        pool = sorted((next(sequences) for _ in range(640)), key=lambda s: len(s[0]))
        groups: list[list[Sequence]] = [[]]
        for sequence in pool:
            if (len(groups[-1]) + 1) * len(sequence[0]) > batch_tokens and groups[-1]:
                groups.append([])
            groups[-1].append(sequence)
        rng.shuffle(groups)
        for group in groups:
            length = min(CONTEXT_TOKENS, max(len(ids) for ids, _ in group))
            ids = torch.zeros(len(group), length, dtype=torch.long)  # (B, T)
            weights = torch.zeros(len(group), length)  # (B, T)
            for row, (tokens, loss_weights) in enumerate(group):
                n = min(length, len(tokens))
                ids[row, :n] = torch.tensor(tokens[:n])
                weights[row, :n] = torch.tensor(loss_weights[:n])
            yield ids, weights


def weighted_loss(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over the tokens by weight; logits are made only where there is one."""
    learnt = weights[:, 1:] > 0  # (B, T-1)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state  # (B, T-1, D)
        logits = model.lm_head(hidden[learnt])  # (learnt, V)
    losses = F.cross_entropy(logits.float(), ids[:, 1:][learnt], reduction="none")
    return (losses * weights[:, 1:][learnt]).sum() / weights[:, 1:].sum()


def optimizers(model: LlamaForCausalLM, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=learning_rate, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train_stage(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    teacher: Teacher,
    stage: Stage,
    seed: int,
    run_dir: Path,
    report: Callable[[str], None],
) -> None:
    """Train the model for the stage's budget; resumes from the run directory's checkpoint of this stage.

    Appends step, loss, learning rate and tokens/s to progress.jsonl every 20 steps.
    """
    checkpoint = run_dir / f"{stage.name}.pt"
    both = optimizers(model, stage.learning_rate)
    step = tokens = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(both, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, tokens = state["step"], state["tokens"]
    rng = random.Random(f"{seed} {stage.name} {step}")
    make = SEQUENCES[stage.name]
    stream = batches(iter(lambda: make(tokenizer, teacher, rng), None), stage.batch_tokens, rng)
    started, first_tokens, smooth = time.monotonic(), tokens, math.nan
    model.train()
    while tokens < stage.tokens:
        ids, weights = next(stream)
        share = tokens / stage.tokens
        factor = min(1.0, (step + 1) / stage.warmup_steps, max(0.02, (1 - share) / stage.decay))
        for optimizer in both:
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * factor
        loss = weighted_loss(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        tokens += int((ids != tokenizer.pad_token_id).sum())
        smooth = loss.item() if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss.item()
        if step % 20 == 0:
            rate = (tokens - first_tokens) / (time.monotonic() - started)
            left_min = (stage.tokens - tokens) / rate / 60
            report(
                f"{stage.name}: step {step}, {share:.0%}, loss {smooth:.3f}, "
                f"{rate:,.0f} tokens/s, {left_min:.0f} min left"
            )
            line = {
                "stage": stage.name,
                "step": step,
                "tokens": tokens,
                "loss": smooth,
                "learning_rate": stage.learning_rate * factor,
                "tokens_per_s": rate,
            }
            with (run_dir / "progress.jsonl").open("a") as progress:
                progress.write(json.dumps(line) + "\n")
        if step % 200 == 0:
            _save_checkpoint(checkpoint, model, both, step, tokens)
    _save_checkpoint(checkpoint, model, both, step, tokens)


def _save_checkpoint(
    path: Path, model: LlamaForCausalLM, both: list[torch.optim.Optimizer], step: int, tokens: int
) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {"model": model.state_dict(), "optimizers": [o.state_dict() for o in both], "step": step, "tokens": tokens},
        partial,
    )
    partial.replace(path)
