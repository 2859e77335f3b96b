"""A small text classifier: multinomial naive Bayes over TF-IDF of words, word pairs and character n-grams.

Naive Bayes needs few examples a class (Rennie et al., ICML 2003). scikit-learn fits it; what is kept is sparse, since
most features occur with few classes, so that it loads from npz at once and scores a case in a millisecond.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import softmax

Floats = NDArray[np.float32]

_WORD = re.compile(r"[a-z0-9']+")
_EMPTY_WORDS = frozenset(
    "a an the of is are was were be been has have had he she they i it its his her their my me him them this that "
    "these those there to in on at and or with for from by as some any so very quite really feels feel like am i'm "
    "i've".split()
)
_SMOOTHING = 0.05
_MIN_TEXTS = 2  # features of a single text are left out


def words_of(text: str) -> list[str]:
    """Lower-case words that carry meaning, digits masked."""
    return [re.sub(r"\d", "0", w) for w in _WORD.findall(text.lower()) if w not in _EMPTY_WORDS]


@lru_cache(maxsize=1 << 16)
def _ngrams(word: str) -> tuple[str, ...]:
    padded = f" {word} "
    return tuple(padded[i : i + n] for n in (2, 3, 4, 5) for i in range(len(padded) - n + 1))


def features_of(words: Sequence[str]) -> list[str]:
    """Character n-grams, words and neighbouring pairs of a text's words."""
    features = [f"{a}_{b}" for a, b in pairwise(words)]
    for word in words:
        features.append(f"_{word}")
        features.extend(_ngrams(word))
    return features


@dataclass(frozen=True)
class TextClassifier:
    """Scores texts over classes.

    vocabulary: feature -> row; idf (F,); weight (F, C) sparse, log P(feature | class) above `floor` (C,), the
    log-probability of a feature that the class has never shown.
    """

    vocabulary: dict[str, int]
    idf: Floats
    weight: sparse.csr_matrix
    floor: Floats

    @classmethod
    def fitted(cls, texts: Sequence[str], classes: Sequence[int]) -> "TextClassifier":
        """Fitted to texts with the number of their class, 0 to C - 1; each class needs a text."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer=lambda text: features_of(words_of(text)), min_df=_MIN_TEXTS)
        counts = vectorizer.fit_transform(texts)
        members = sparse.csr_matrix((np.ones(len(classes)), (classes, np.arange(len(classes)))))  # (C, N)
        mass = members @ counts  # (C, F)
        totals = np.asarray(mass.sum(axis=1)).ravel()
        share = sparse.diags(totals.mean() / totals) @ mass
        weight = sparse.csr_matrix(share.T)
        weight.data = np.log1p(weight.data / _SMOOTHING)
        floor = np.full(len(totals), np.log(_SMOOTHING / (totals.mean() + _SMOOTHING * counts.shape[1])))
        return cls(
            vocabulary={str(k): int(v) for k, v in vectorizer.vocabulary_.items()},
            idf=vectorizer.idf_.astype(np.float32),
            weight=weight.astype(np.float32),
            floor=floor.astype(np.float32),
        )

    def vectors(self, texts: Iterable[Sequence[str]]) -> sparse.csr_matrix:
        """(N, F) TF-IDF rows of unit length; each text given as its words."""
        indptr, indices = [0], list[int]()
        for words in texts:
            indices.extend(self.vocabulary[f] for f in features_of(words) if f in self.vocabulary)
            indptr.append(len(indices))
        rows = np.asarray(indices, dtype=np.int32)
        matrix = sparse.csr_matrix((self.idf[rows], rows, indptr), shape=(len(indptr) - 1, len(self.idf)))
        matrix.sum_duplicates()
        norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        return sparse.csr_matrix(sparse.diags(1 / np.maximum(norms, 1e-9)) @ matrix)

    def log_likelihood(self, vectors: sparse.csr_matrix) -> Floats:
        """(N, C) log P(text | class) up to a constant a text, from vectors()."""
        mass = np.asarray(vectors.sum(axis=1)).ravel()
        return np.asarray((vectors @ self.weight).toarray() + np.outer(mass, self.floor), dtype=np.float32)

    def probabilities(self, texts: Iterable[Sequence[str]]) -> Floats:
        """(N, C) class probabilities with equal priors."""
        return softmax(self.log_likelihood(self.vectors(texts)), axis=1)

    def known_share(self, words: Sequence[str]) -> float:
        """Share of the words that the fitting texts contain."""
        return sum(f"_{word}" in self.vocabulary for word in words) / max(1, len(words))

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays to be kept in an npz file, in half precision, their names beginning with the prefix."""
        return {
            f"{prefix}vocabulary": np.array(sorted(self.vocabulary, key=self.vocabulary.__getitem__)),
            f"{prefix}idf": self.idf,
            f"{prefix}floor": self.floor,
            f"{prefix}data": self.weight.data.astype(np.float16),
            f"{prefix}indices": self.weight.indices.astype(np.uint16),
            f"{prefix}indptr": self.weight.indptr,
        }

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> "TextClassifier":
        """The classifier whose arrays() these are."""
        idf, floor = arrays[f"{prefix}idf"], arrays[f"{prefix}floor"]
        parts = (
            arrays[f"{prefix}data"].astype(np.float32),
            arrays[f"{prefix}indices"].astype(np.int32),
            arrays[f"{prefix}indptr"],
        )
        names = arrays[f"{prefix}vocabulary"].tolist()
        return cls(
            vocabulary=dict(zip(names, range(len(names)), strict=True)),
            idf=idf,
            weight=sparse.csr_matrix(parts, shape=(len(idf), len(floor))),
            floor=floor,
        )
