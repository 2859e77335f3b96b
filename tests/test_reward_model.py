"""A reward model of transformers, tiny and random: loaded as a real one, its numbers those of the bare model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_hf import N_VOCAB, write_random_model, write_tokenizer
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from medchat.errors import InvalidInput, ModelUnavailable
from train.reward_model import RewardModel

PAIRS = [("Cough?", "Rest."), ("Fever for a week?", "See a doctor, and drink."), ("Gout?", "Colchicine.")] * 4


def write_reward_model(folder: Path, *, labels: int = 1, template: bool = True) -> Path:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=N_VOCAB, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, num_labels=labels, pad_token_id=0,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(folder)
    if template:
        write_tokenizer(folder)
    else:
        write_tokenizer(folder, None)
    return folder


def by_hand(folder: Path, question: str, answer: str, *, chat: bool) -> float:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    if chat:
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        ids = tokenizer(question, answer)["input_ids"]
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return float(model(input_ids=torch.tensor([ids[-64:]])).logits[0, 0])


@pytest.mark.parametrize("template", [True, False])
def test_each_pair_has_the_number_that_the_model_gives_it_alone(template: bool, tmp_path: Path) -> None:
    folder = write_reward_model(tmp_path / "model", template=template)

    found = RewardModel(folder).score(PAIRS)

    assert found[:3] == pytest.approx([by_hand(folder, *pair, chat=template) for pair in PAIRS[:3]], abs=1e-4)
    assert found[3:6] == pytest.approx(found[:3], abs=1e-4)  # wherever it stands
    assert len({round(value, 4) for value in found}) == 3


def test_what_is_too_long_keeps_its_answer(tmp_path: Path) -> None:
    folder = write_reward_model(tmp_path / "model")
    model = RewardModel(folder)

    one, same = model.score([("x" * 500, "Rest and drink."), ("y" * 10 + "x" * 490, "Rest and drink.")])

    assert one == pytest.approx(same, abs=1e-4)


def test_a_classifier_of_classes_and_a_broken_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="3 classes"):
        RewardModel(write_reward_model(tmp_path / "classes", labels=3))
    with pytest.raises(InvalidInput, match=r"no config\.json"):
        RewardModel(tmp_path)
    with pytest.raises(InvalidInput, match="no reward model"):  # a language model, whose head would be random
        RewardModel(write_random_model(tmp_path / "language"))
    broken = write_reward_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        RewardModel(broken)
