"""Folders of stored predictions, as `python -m evaluation run` leaves them, made up for tests of reports."""

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medchat.records import question_id

SPECIALTIES = ("cardiology", "neurology", "respiratory", "rheumatology", "dermatology")
CONDITIONS = ("gout", "asthma", "migraine", "heart failure", "psoriasis", "pneumonia")


def line(number: int, model: str = "toy", suite: str = "mine", **values: Any) -> dict[str, Any]:
    """A prediction with every field; values replace those of a plain right answer."""
    question = values.get("question", f"Question {number}?")
    return {
        "id": f"q{number}", "model": model, "suite": suite, "kind": "free", "question": question, "context": "",
        "options": None, "reference": "gout", "raw": "gout", "reasoning": "", "solution": "gout", "complete": True,
        "finish_reason": "stop", "choice": None, "option_logprobs": None, "scores": {"exact": 1.0}, "outcome": "",
        "groups": {}, "question_id": question_id("", question), "ttft_ms": 20.0, "total_ms": 200.0,
        "prompt_tokens": 40, "completion_tokens": 50, "price": None,
    } | values  # fmt: skip


def write_run(folder: Path, lines: Iterable[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]] = ()) -> Path:
    """The folder of a run with these predictions, and a result.json that says what the models are."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in lines)
    (folder / "predictions.jsonl").write_text(text, encoding="utf-8")
    result = {"kind": "evaluation", "evaluations": list(evaluations)}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def vignettes(model: str, skill: float, n: int = 120, *, words: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """Diagnoses of which this share is right; the same questions for every model."""
    asked, rng = random.Random(1), random.Random(f"{model} {seed}")
    lines = []
    for number in range(n):
        answer, hard = asked.choice(CONDITIONS), asked.random()
        right = rng.random() < min(0.99, skill + 0.5 * (0.5 - hard))
        said = answer if right else rng.choice([name for name in CONDITIONS if name != answer])
        groups = {
            "specialty": asked.choice(SPECIALTIES), "sex": asked.choice(("female", "male")),
            "age": asked.choices(("adult", "child", "old"), (70, 6, 24))[0],
            "rare": asked.choices(("common", "rare"), (80, 20))[0],
        }  # fmt: skip
        similarity = rng.gauss(0.55 + 0.35 * right, 0.1)
        scores = {
            "exact": float(right), "diagnosis": 1.0 if right else rng.choice((0.0, 0.0, 0.5)),
            "diagnosis_strict": float(right), "embedding_similarity": min(1.0, max(0.0, similarity)),
            "format_ok": float(rng.random() < 0.4 + 0.6 * skill),
            "supported": None if rng.random() < 0.1 else rng.betavariate(8, 2),
            "unsupported_claims": float(rng.choices((0, 1, 2, 3), (skill * 10, 3, 1, 0.5))[0]),
            "unsafe_advice": float(rng.random() < 0.02), "answer_words": max(1.0, rng.gauss(words, 12)),
            "ttft_ms": rng.lognormvariate(3, 0.4), "completion_tokens": max(4.0, rng.gauss(words * 1.4, 15)),
        }  # fmt: skip
        lines.append(
            line(
                number,
                model,
                "wordings",
                kind="diagnosis",
                reference=answer,
                solution=said.capitalize(),
                scores=scores,
                question=f"Case {number}: a patient with findings of {answer} came to the ward.",
                groups=groups,
                total_ms=rng.lognormvariate(5 + words / 60, 0.3),
                completion_tokens=int(scores["completion_tokens"] or 0),
            )
        )
    return lines


def multiple_choice(
    model: str, skill: float, suite: str = "medqa", n: int = 200, *, seed: int = 0
) -> list[dict[str, Any]]:
    """Four options each, with log-probabilities that are surer than they should be."""
    asked, rng = random.Random(2), random.Random(f"{model} {suite} {seed}")
    lines = []
    for number in range(n):
        key, outcome = asked.choice("ABCD"), rng.choices(("", "unparsable", "refused", "cut off"), (92, 4, 1, 3))[0]
        likeliest = key if rng.random() < skill else rng.choice([letter for letter in "ABCD" if letter != key])
        logits = {letter: rng.gauss(0, 0.7) + (rng.uniform(1, 4) if letter == likeliest else 0) for letter in "ABCD"}
        total = math.log(sum(math.exp(value) for value in logits.values()))
        best = max(logits, key=lambda letter: logits[letter])
        outcome = outcome or ("right" if best == key else "wrong")
        scores = {
            "mcq_generated": float(outcome == "right"), "mcq_loglikelihood": float(best == key),
            "mcq_consistency": rng.choice((0.5, 1.0, 1.0)), "format_ok": float(outcome != "cut off"),
            "truncated": float(outcome == "cut off"), "answer_words": max(1.0, rng.gauss(25, 6)),
        }  # fmt: skip
        lines.append(
            line(
                number,
                model,
                suite,
                kind="mcq",
                options=dict.fromkeys("ABCD", "text"),
                reference=key,
                outcome=outcome,
                solution=best if outcome in ("right", "wrong") else "",
                scores=scores,
                choice=best if outcome in ("right", "wrong") else None,
                option_logprobs={letter: value - total for letter, value in logits.items()},
                question=f"Question {number} of the examination: which of these is the treatment?",
                groups={"step": asked.choice(("step 1", "step 2 and 3"))},
                total_ms=rng.lognormvariate(5, 0.3),
            )
        )
    return lines


def own_questions(model: str, quality: float, n: int = 30) -> list[dict[str, Any]]:
    """A user's own questions, free answers."""
    rng = random.Random(f"{model} own")
    lines = []
    for number in range(n):
        scores = {
            "key_term_f1": min(1.0, max(0.0, rng.gauss(quality, 0.15))), "rouge_l": rng.betavariate(3, 9),
            "unsafe_advice": float(rng.random() < 0.1), "unverified_citations": 0.0,
        }  # fmt: skip
        lines.append(line(number, model, "forum", scores=scores, total_ms=rng.lognormvariate(6, 0.3)))
    return lines
