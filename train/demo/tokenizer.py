"""A byte-level BPE tokenizer of the bundled models, trained on their lessons."""

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from medchat.knowledge import HE, say
from train.demo.lessons import Teacher

VOCABULARY = 4096
CONTEXT_TOKENS = 1024
SPECIAL = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
TURNS = ("<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def train_tokenizer(teacher: Teacher, folder: Path, seed: int, n_lessons: int = 8000) -> PreTrainedTokenizerFast:
    """The tokenizer, saved to the folder.

    It also sees the held-out wordings, as loose words, so that a test does not turn on odd splits.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIAL.values(), *TURNS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(teacher, random.Random(seed), n_lessons), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, padding_side="left", **SPECIAL)
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = CONTEXT_TOKENS
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return tokenizer


def _texts(teacher: Teacher, rng: random.Random, n_lessons: int) -> Iterator[str]:
    for _ in range(n_lessons):
        lesson = teacher.lesson(rng)
        yield lesson.question_text
        yield lesson.grounding_text
        yield lesson.answer
    for finding in teacher.knowledge.findings.values():
        yield " ".join(sorted({word for wording in finding.held_out for word in say(wording, HE).split()}))
