"""Real questions and answers for the tests that compare metrics with their reference implementations.

They are public benchmarks, kept beside the project and never in it; tests that want them run where they are.
"""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

needs_real_texts = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the public benchmarks beside the project")


def free_answers(n: int = 200) -> list[tuple[str, str]]:
    """n questions with their answers: K-QA's, then MedQuAD's."""
    pairs = []
    for path in sorted((FOLDER / "kqa").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        pairs += [(row["Question"], row["Free_form_answer"]) for row in rows if row.get("Free_form_answer")]
    for path in sorted((FOLDER / "medquad").rglob("*.xml")):
        for pair in ET.parse(path).getroot().iter("QAPair"):
            question, answer = (pair.findtext(name) or "" for name in ("Question", "Answer"))
            if question.strip() and answer.strip():
                pairs.append((question, answer))
    return pairs[:n]
