"""Made-up rows for the bench of `prepare`, with known repeats: copies, near copies, and others that only look so."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medchat.settings import ASSETS

SHARES = {"copy": 0.05, "near": 0.10, "other": 0.05}  # of the rows; the rest repeat nothing
SHORT_SHARE = 0.2  # of the questions; as in sets with one question for each disease
QUESTION_WORDS, ANSWER_WORDS = (30, 80), (30, 70)
REMEMBERED = 5000  # rows of which later ones are made
BATCH = 5000
COMMON = (
    "the of and to in is with a for was on that by at from are has had his her as an be or which not this after been"
).split()
COMMON_SHARE = 0.4
ASKED = ("symptoms", "causes", "treatments", "complications", "risk factors")
_LONG_WORD = re.compile(r"\b[a-z]{7,}\b")


def write_rows(path: Path, n: int, seed: int) -> dict[str, int]:
    """Write `n` rows of about 100 words to the file, one JSON object a line; how many there are of each kind.

    The id of a row begins with its kind: "new"; "copy"; "near" (typo, letter case, punctuation, greeting; the same
    answer); "other" (another dose, or a negation: no repeat).
    """
    rng = np.random.default_rng(seed)
    words = _vocabulary()
    counts = {"new": 0, **dict.fromkeys(SHARES, 0)}
    before: list[tuple[str, str]] = []
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, n, BATCH):
            kinds = rng.choice(list(counts), size=min(BATCH, n - start), p=[1 - sum(SHARES.values()), *SHARES.values()])
            for number, (kind, fresh) in enumerate(zip(kinds, _fresh(len(kinds), words, rng), strict=True), start):
                kind = str(kind) if before else "new"
                question, answer = fresh if kind == "new" else before[rng.integers(len(before))]
                counts[kind] += 1
                if kind == "new":
                    _remember(before, fresh, rng)
                elif kind != "copy":
                    question = _near(question, rng) if kind == "near" else _other(question, rng)
                row = {"id": f"{kind}-{number}", "question": question, "answer": answer}
                file.write(json.dumps(row) + "\n")
    return counts


def _vocabulary() -> list[str]:
    """The words of the teaching facts, as a stand-in for those of the field."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((ASSETS / "knowledge").glob("*.yaml")))
    return sorted({word for text in texts for word in re.findall(r"\b[a-z]{4,}\b", text)})


def _fresh(n: int, words: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Questions and answers; each with a dose and an age, so that what care depends on is in every row."""
    for short in rng.random(n) < SHORT_SHARE:
        dose, age = rng.integers(1, 400), rng.integers(1, 95)
        if short:
            name = " ".join(words[place] for place in rng.integers(len(words), size=3))
            question = f"What are the {ASKED[rng.integers(len(ASKED))]} of {name} at {age} years?"
        else:
            question = f"I am {age} years old and take {dose} mg. {_sentence(QUESTION_WORDS, words, rng)}, what is it?"
        yield question, f"{_sentence(ANSWER_WORDS, words, rng)} {dose} mg.".capitalize()


def _sentence(lengths: tuple[int, int], words: Sequence[str], rng: np.random.Generator) -> str:
    n = rng.integers(*lengths)
    common = rng.random(n) < COMMON_SHARE
    return " ".join(
        COMMON[place % len(COMMON)] if usual else words[place % len(words)]
        for usual, place in zip(common, rng.integers(1 << 30, size=n).tolist(), strict=True)
    )


def _remember(before: list[tuple[str, str]], fresh: tuple[str, str], rng: np.random.Generator) -> None:
    if len(before) < REMEMBERED:
        before.append(fresh)
    else:
        before[rng.integers(REMEMBERED)] = fresh


def _near(question: str, rng: np.random.Generator) -> str:
    """The question again, as somebody else types it."""
    how = rng.integers(4)
    if how == 0:
        return f"Hello doctor, {question}"
    if how == 1:
        return question.upper()
    if how == 2:
        return question.replace(".", " ...").replace("?", " ??").replace(",", "")
    found = list(_LONG_WORD.finditer(question))
    if not found:
        return question + "?"
    word = found[rng.integers(len(found))]
    place = word.start() + int(rng.integers(2, len(word[0]) - 1))
    return question[:place] + question[place + 1 :]


def _other(question: str, rng: np.random.Generator) -> str:
    """The question about another dose or age, or with a negation."""
    if rng.random() < 0.5:
        times = int(rng.integers(2, 1000))
        return re.sub(r"\d+", lambda found: str(int(found[0]) * times), question, count=1)
    words = question.split()
    words.insert(int(rng.integers(1, len(words))), "without")
    return " ".join(words)
