"""Near duplicates among many rows."""

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from medchat.records import Example
from train.near_duplicates import BANDS, Duplicates, band_hashes, find_duplicates
from train.ties import said, text_of, tie_of

ANSWER = "Rest, ice, and an anti-inflammatory drug for a few days."
WORDS = (
    "abscess biopsy catheter dialysis embolism fracture glaucoma hernia insulin jaundice keratitis lesion migraine "
    "necrosis oedema pancreas quinsy rickets sepsis thrombus ulcer vertigo wheeze yaws zoster angina bursa colitis"
).split()


def found_in(rows: Sequence[Example], rank: Sequence[int] | None = None) -> Duplicates:
    its = [said(row) for row in rows]
    marks = np.array([int(row.question_id[:16], 16) for row in rows], dtype=np.uint64)
    return find_duplicates(
        band_hashes([text_of(row) for row in rows]), marks, lambda a, b: tie_of(its[a], its[b]),
        None if rank is None else np.array(rank),
    )  # fmt: skip


def rows(*questions: str) -> list[Example]:
    return [Example(question=question, answer=ANSWER) for question in questions]


def made_up(n: int, seed: int) -> list[str]:
    """Questions of ten words that have little in common."""
    rng = np.random.default_rng(seed)
    return [
        " ".join(
            f"{WORDS[a]}{'aeiou'[b]}" for a, b in zip(rng.integers(28, size=10), rng.integers(5, size=10), strict=True)
        )
        for _ in range(n)
    ]


def test_the_copy_repeats_the_first_and_the_look_alike_is_tied_to_it() -> None:
    found = found_in(
        rows(
            "Can he take 5 mg of warfarin?",
            "What is gout?",
            "can he take 5 mg of Warfarin",
            "Can he take 50 mg of warfarin?",
        )
    )

    assert found.same.tolist() == [-1, -1, 0, -1]
    assert found.tied.tolist() == [0, 1, 0, 0]


def test_the_row_of_lower_rank_is_kept() -> None:
    found = found_in(rows("What is gout?", "what is GOUT", "What is a gout"), rank=[2, 1, 1])

    assert found.same.tolist() == [1, -1, 1]
    assert found.tied.tolist() == [0, 0, 0]


def test_the_same_mark_ties_whatever_the_comparison_says() -> None:
    first = Example(question="Which is true?", kind="mcq", options={"A": "Gout is viral."}, answer="A")
    second = Example(question="Which is true?", kind="mcq", options={"A": "Rickets needs sun and lime."}, answer="A")

    found = found_in([first, second])

    assert (found.tied.tolist(), found.same.tolist()) == ([0, 0], [-1, -1])


def test_nearly_all_known_near_duplicates_are_found_and_nothing_else() -> None:
    asked = made_up(400, 1)
    changes = [
        lambda text: f"Hello doctor, {text}", str.upper, lambda text: text.replace(" ", ", ") + " ???",
        lambda text: text[:-4] + text[-3:],  # the last word with a letter less
    ]  # fmt: skip
    copies = [changes[number % 4](text) for number, text in enumerate(asked)]

    found = found_in(rows(*asked, *copies))

    repeated = found.same[400:] == np.arange(400)
    assert repeated[np.arange(400) % 4 != 3].all()
    assert repeated.mean() >= 0.97  # "colic" without its last letter but one is another word
    assert (found.tied[400:] == np.arange(400)).mean() >= 0.99
    assert (found.same[:400] == -1).all()
    assert (found.tied[:400] == np.arange(400)).all()


def test_short_questions_with_a_typo_are_found() -> None:
    asked = ["What is psoriasis?", "What causes dementia?", "Is migraine dangerous?", "What helps against vertigo?"]
    typed = ["What is psorasis?", "What causes demetnia?", "Is migrane dangerous?", "What helps against vertgo?"]

    assert found_in(rows(*asked, *typed)).same.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    "pattern", ["What are the symptoms of {} {}?", "Is a dose of {} mg enough for {} days of gout?"]
)
def test_a_long_run_of_likeness_takes_a_few_comparisons_a_row(pattern: str) -> None:
    n = 3000
    names = [f"{WORDS[a]}{WORDS[b]}" for a in range(28) for b in range(28)]
    texts = [
        pattern.format(number + 10, number)
        if "mg" in pattern
        else pattern.format(names[number % 784], names[number % 781])
        for number in range(n)
    ]

    found = found_in(rows(*texts))

    assert found.compared <= 4 * (BANDS + 1) * n  # all pairs would be 4.5 million
    assert found.compared < 0.06 * n * n / 2
    assert (found.same == -1).all()


def test_a_run_of_copies_has_one_row_left() -> None:
    found = found_in(rows(*["What is gout?", "what is GOUT?", "What is gout"] * 500))

    assert found.same[0] == -1
    assert set(found.same[1:].tolist()) == {0}
    assert found.compared < 10_000


def test_hashes_are_the_same_in_another_process_and_in_other_company() -> None:
    code = "from train.near_duplicates import band_hashes; print(band_hashes(['What helps gout?', 'x']).tolist())"
    here = band_hashes(["Something else entirely", "What helps gout?", "x"])

    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert str(here[1:].tolist()) == there.strip()
    assert here.shape == (3, BANDS)


def test_texts_without_words_are_like_none_but_themselves() -> None:
    found = found_in(rows("???", "!!", "is it", "痛风的症状是什么", "痛风的症状是什么？"))

    assert found.tied.tolist() == [0, 1, 2, 3, 3]
    assert band_hashes([]).shape == (0, BANDS)


def test_nothing_is_found_among_nothing() -> None:
    found = found_in([])

    assert (found.tied.tolist(), found.same.tolist(), found.compared) == ([], [], 0)


def test_progress_reaches_its_end_and_can_stop_the_search() -> None:
    reports: list[tuple[int, int]] = []
    marks = np.arange(3, dtype=np.uint64)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    bands = band_hashes(["What is gout?"] * 3)
    its = said(Example(question="What is gout?", answer=ANSWER))
    find_duplicates(bands, marks, lambda a, b: tie_of(its, its), progress=lambda *at: reports.append(at))
    with pytest.raises(Stop):
        find_duplicates(bands, marks, lambda a, b: tie_of(its, its), progress=stop)

    assert reports[-1][0] == reports[-1][1]
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
