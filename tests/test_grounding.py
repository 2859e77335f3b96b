"""What is recognised in a case, and what is said to be outside of the knowledge."""

import json
import random
import time
from pathlib import Path

import pytest

from medchat.grounding import Grounder
from medchat.grounding_fit import cache_name, fitted_or_loaded, load, save
from medchat.knowledge import load_cases, load_knowledge
from medchat.measurements import measured_values
from medchat.recognition import Grounding
from medchat.settings import ASSETS

INFARCTION = (
    "A 61-year-old man has had crushing chest pain for an hour, going down his left arm. He is sweating. "
    "He denies fever and has no cough. Troponin is raised."
)


@pytest.fixture(scope="module")
def grounder(tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    return fitted_or_loaded(tmp_path_factory.mktemp("cache"))


def test_the_shipped_grounding_belongs_to_the_knowledge() -> None:
    knowledge = load_knowledge()
    assert (ASSETS / "demo" / cache_name(knowledge, load_cases(knowledge))).is_file()


def test_a_typical_case_is_recognised_with_its_findings_in_place(grounder: Grounder) -> None:
    said = grounder.ground(INFARCTION)
    assert not said.outside
    assert said.near[0].name == "myocardial infarction"
    assert said.near[0].probability > 0.5
    places = {r.name: INFARCTION[r.start : r.end] for r in said.recognised}
    assert "crushing chest pain" in places["crushing chest pain"]
    assert "fever" in said.denied
    assert "fever" not in said.present


def test_denied_findings_do_not_speak_for_a_condition(grounder: Grounder) -> None:
    case = "He has a productive cough with rusty sputum, fever and shaking chills."
    assert grounder.ground(case).near[0].name == "pneumonia"
    denied = grounder.ground(
        "He has no cough, no sputum, no fever and no chills. His big toe is red, hot and very painful."
    )
    assert denied.near[0].name == "gout"


@pytest.mark.parametrize(
    "text", ["hello", "How do I cook rice?", "What is the capital of France?", "thank you!", "?", "..."]
)
def test_what_is_no_case_is_outside(grounder: Grounder, text: str) -> None:
    assert grounder.ground(text).outside


@pytest.mark.parametrize("text", ["What is gout?", "Explain heart attack.", "How is asthma treated?", "what is MS?"])
def test_a_question_about_a_known_condition_is_inside(grounder: Grounder, text: str) -> None:
    said = grounder.ground(text)
    assert said.asked_about
    assert not said.outside


@pytest.mark.parametrize(
    "text",
    [
        "What is asthma", "What is asthma like?", "How is asthma treated?", "What is heart failure?",
        "what are migraines", "What is the weather", "my second question", "another question", "a second try",
        "tell me more", "hi there",
    ],
)  # fmt: skip
def test_what_tells_no_case_has_no_findings(grounder: Grounder, text: str) -> None:
    assert grounder.ground(text).recognised == ()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("fever", "fever"), ("she is tired", "fatigue"), ("short of breath", "breathlessness"),
        ("yellow eyes", "jaundice"), ("Does gout explain loose stools?", "diarrhea"),
    ],
)  # fmt: skip
def test_a_few_words_are_enough_for_a_finding(grounder: Grounder, text: str, finding: str) -> None:
    assert grounder.ground(text).present == (finding,)


def test_a_condition_in_the_history_is_not_what_is_asked_about(grounder: Grounder) -> None:
    assert grounder.ground("58M with asthma, crushing chest pain for an hour").asked_about == ""


def test_an_invented_finding_is_marked_and_a_stated_one_is_not(grounder: Grounder) -> None:
    reasoning = "1. Findings in this case: crushing chest pain and splinter hemorrhages."
    marks = grounder.unsupported(reasoning, INFARCTION)
    assert [name for _, _, name in marks] == ["splinter hemorrhages"]
    start, end, _ = marks[0]
    assert reasoning[start:end] == "splinter hemorrhages"


def test_a_finding_weighed_by_its_absence_is_not_marked(grounder: Grounder) -> None:
    reasoning = (
        "2. Pulmonary embolism is unlikely without swelling of one leg.\n"
        "3. Heart failure is less likely: it brings swollen ankles."
    )
    assert grounder.unsupported(reasoning, INFARCTION) == []


def test_a_denied_finding_cited_as_present_is_marked(grounder: Grounder) -> None:
    assert [n for _, _, n in grounder.unsupported("1. Findings in this case: fever.", INFARCTION)] == ["fever"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("T 38.9, HR 88", "fever"),
        ("temp 101.5 F", "fever"),
        ("SpO2 87% on air", "low_oxygen"),
        ("BP 84/50", "low_blood_pressure"),
        ("BP 186/104", "hypertension"),
        ("Hb 7.2 g/dL", "low_hemoglobin"),
        ("potassium of 6.1", "high_potassium"),
        ("TSH 24", "high_tsh"),
    ],
)
def test_measured_values_are_read_as_findings(text: str, finding: str) -> None:
    assert finding in {m.finding for m in measured_values(text)}


@pytest.mark.parametrize(
    "text",
    [
        "Vitals: temp 36.8, HR 72, BP 118/76, SpO2 99%. Sodium 141. Potassium 4.1",
        "Hb 13.9, K 4.2, Na 140, calcium 2.3, TSH 2.1, WBC 7.0, CRP 2",
    ],
)
def test_normal_values_are_no_findings(grounder: Grounder, text: str) -> None:
    assert [m for m in measured_values(text) if m.finding] == []
    assert grounder.ground(text).present == ()


@pytest.mark.parametrize("text", ["41F with a rash", "40 F, itching", "38 c/o itching"])
def test_an_age_is_no_temperature(grounder: Grounder, text: str) -> None:
    assert "fever" not in grounder.ground(text).present


def test_findings_told_side_by_side_are_both_recognised(grounder: Grounder) -> None:
    present = grounder.ground("She has had fever, a stiff neck and a headache since this morning.").present
    assert "fever" in present
    assert "neck stiffness" in present


def test_how_long_it_lasts_does_not_change_what_a_finding_is(grounder: Grounder) -> None:
    assert grounder.ground("A productive cough and three days of fever.").present == ("productive cough", "fever")


def test_a_long_text_is_read_in_time(grounder: Grounder) -> None:
    text = "She has had a cough and no fever for two days, and her knee is swollen. " * 280  # 20,000 characters
    start = time.process_time()
    grounder.ground(text)
    assert time.process_time() - start < 1.0


def test_grounding_survives_the_store(grounder: Grounder) -> None:
    said = grounder.ground(INFARCTION)
    assert Grounding.from_json(json.loads(json.dumps(said.to_json()))) == said


def test_a_saved_grounder_says_the_same(grounder: Grounder, tmp_path: Path) -> None:
    save(grounder, tmp_path / "g.npz")
    assert load(tmp_path / "g.npz", grounder.knowledge).ground(INFARCTION) == grounder.ground(INFARCTION)


def test_a_case_takes_less_than_20_ms(grounder: Grounder) -> None:
    cases = [
        json.loads(line)["question"] for line in (ASSETS / "suites" / "handwritten.jsonl").read_text().splitlines()
    ]
    for case in cases:
        grounder.ground(case)
    times = []
    for case in cases:
        start = time.process_time()
        grounder.ground(case)
        times.append(time.process_time() - start)
    assert sorted(times)[len(times) // 2] < 0.020


def test_any_text_is_survived(grounder: Grounder) -> None:
    rng = random.Random(3)
    alphabet = "ab c.,;:!?()[]<>&%$0123456789\n\t\u00e9\u4e2d\U0001f600"
    for length in (0, 1, 2, 50, 3000):
        text = "".join(rng.choice(alphabet) for _ in range(length))
        said = grounder.ground(text)
        assert all(0 <= r.start < r.end <= len(text) for r in said.recognised)
