"""The obvious way to make training data of rows: `datasets.map` and datasketch; run as a program by the bench.

    python -m evaluation.bench.prepare_rival ROWS.jsonl OUT GRAMS.json CORES

Cleaned, checked against the suites' runs of 13 words and 120 characters, near duplicates by MinHash with the bands of
`prepare` and checked by the same Jaccard similarity, split by a hash of the question. It does less than `prepare`: no
language is looked for (py3langid as it comes takes several ms a row), no signatures, no encodings, no numbers compared.
"""

import hashlib
import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import xxhash
from datasets import Dataset, load_dataset
from datasketch import MinHash, MinHashLSH

WORDS, CHARACTERS = 13, 120  # in a row, that a row must not share with a suite
BANDS, BAND_ROWS = 20, 5
NEAR = 0.8  # Jaccard similarity of the words from which on a row repeats another
HELD_OUT_SHARE = 0.1
LIMITS = {"question": (8, 8_000), "answer": (2, 12_000)}
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_SPACES = re.compile(r"[^\S\n]+")
_GREETING = re.compile(r"^(?:hi|hello|dear)(?: doctor| sir| madam)?[,.! ]+", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_GRAMS: set[str] = set()


def clean(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """A batch of rows with their texts cleaned, and the rule that drops them ("" for none)."""
    cleaned: dict[str, list[Any]] = {"question": [], "answer": [], "dropped": []}
    for question, answer in zip(rows["question"], rows["answer"], strict=True):
        texts = {"question": _clean_text(question), "answer": _clean_text(answer)}
        outside = any(not low <= len(texts[name]) <= high for name, (low, high) in LIMITS.items())
        echo = texts["answer"].casefold() in texts["question"].casefold()
        cleaned["dropped"].append("length" if outside else "answer in question" if echo else "")
        for name, text in texts.items():
            cleaned[name].append(text)
    return cleaned


def check(rows: dict[str, list[Any]], grams_file: str) -> dict[str, list[bool]]:
    """Which rows have 13 words or 120 characters in a row in common with a suite."""
    if not _GRAMS:
        _GRAMS.update(json.loads(Path(grams_file).read_text()))
    found = []
    for question, answer in zip(rows["question"], rows["answer"], strict=True):
        words = _WORD.findall(f"{question} {answer}".casefold())
        grams = (" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
        spaced = " ".join(words)
        stretches = (spaced[start : start + CHARACTERS] for start in range(len(spaced) - CHARACTERS + 1))
        found.append(any(gram in _GRAMS for gram in grams) or any(stretch in _GRAMS for stretch in stretches))
    return {"leak": found}


def sketch(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The rows' MinHash values."""
    words = [[word.encode() for word in set(_WORD.findall(text.casefold()))] for text in rows["question"]]
    hashes = MinHash.generator(words, num_perm=BANDS * BAND_ROWS, hashfunc=xxhash.xxh32_intdigest, scheme="affine32")
    return {"hashes": [minhash.hashvalues for minhash in hashes]}


def kept_rows(rows: Dataset) -> list[int]:
    """Numbers of the rows that repeat no earlier one."""
    plain = MinHash(num_perm=BANDS * BAND_ROWS, scheme="affine32")
    index = MinHashLSH(num_perm=BANDS * BAND_ROWS, params=(BANDS, BAND_ROWS))
    kept: list[int] = []
    words: dict[int, set[str]] = {}
    number = 0
    for batch in rows.with_format("numpy", columns=["hashes", "question"]).iter(1000):
        for values, question in zip(batch["hashes"], batch["question"], strict=True):
            minhash = MinHash(hashvalues=values, permutations=plain.permutations, scheme="affine32")
            its = set(_WORD.findall(str(question).casefold()))
            if not any(len(its & words[other]) >= NEAR * len(its | words[other]) for other in index.query(minhash)):
                index.insert(number, minhash, check_duplication=False)
                words[number] = its
                kept.append(number)
            number += 1
    return kept


def split_of(row: dict[str, Any]) -> dict[str, str]:
    """The split that the question's hash draws."""
    digest = hashlib.sha256(" ".join(row["question"].casefold().split()).encode()).hexdigest()
    share = int(digest[:12], 16) / 16**12
    held_out = "validation" if share < HELD_OUT_SHARE else "test"
    return {"split": held_out if share < 2 * HELD_OUT_SHARE else "train"}


def main(rows_file: str, out: str, grams_file: str, cores: int) -> None:
    """Write train, validation and test to the folder."""
    folder = Path(out)
    rows = load_dataset("json", data_files=rows_file, split="train", cache_dir=str(folder / "cache"))
    rows = rows.map(clean, batched=True, num_proc=cores).filter(lambda row: not row["dropped"], num_proc=cores)
    rows = rows.map(check, batched=True, num_proc=cores, fn_kwargs={"grams_file": grams_file})
    rows = rows.filter(lambda row: not row["leak"], num_proc=cores)
    rows = rows.map(sketch, batched=True, num_proc=cores)
    rows = rows.select(kept_rows(rows)).remove_columns(["hashes", "leak", "dropped"])
    rows = rows.map(split_of, num_proc=cores).shuffle(seed=0)
    for name in ("train", "validation", "test"):
        part = rows.filter(lambda row, name=name: row["split"] == name, num_proc=cores)
        part.to_json(folder / f"{name}.jsonl", force_ascii=False)


def _clean_text(text: str) -> str:
    return _GREETING.sub("", _SPACES.sub(" ", html.unescape(_TAG.sub(" ", text))).strip())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
