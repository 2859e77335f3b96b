"""What a stated diagnosis is worth, and whether it hangs on the person."""

from pathlib import Path

import pytest
from scripted_models import GROUNDER, ByQuestion, asked_model, run, toy

from evaluation.condition_groups import condition_groups
from evaluation.diagnosis import demographic_consistency, diagnosis, diagnosis_strict, stated_diagnoses
from evaluation.metrics import Answer, Tools, metrics
from evaluation.predictions import read_predictions
from evaluation.run import AskedSuite
from evaluation.suites import load_suite
from evaluation.vocabulary import Vocabulary
from medchat.errors import InvalidInput
from medchat.knowledge import load_knowledge
from medchat.records import Example

KNOWLEDGE = load_knowledge()
TOOLS = Tools(GROUNDER, KNOWLEDGE)


def case(condition: str, **fields: object) -> Example:
    return Example(
        "What is it?", KNOWLEDGE.conditions[condition].name, kind="diagnosis", meta={"condition": condition, **fields}
    )


def value(example: Example, solution: str) -> float | None:
    return diagnosis(TOOLS)([example], [Answer(solution)])[0]


def strict(example: Example, solution: str) -> float | None:
    return diagnosis_strict(TOOLS)([example], [Answer(solution)])[0]


@pytest.mark.parametrize(
    ("condition", "solution"),
    [
        ("myocardial_infarction", "Heart attack."),
        ("myocardial_infarction", "Acute inferior STEMI"),
        ("myocardial_infarction", "Non-ST elevation myocardial infarction"),
        (
            "myocardial_infarction",
            "The most likely diagnosis is **acute myocardial infarction (STEMI)**, by the ECG.",
        ),
        ("myocardial_infarction", "Based on the ECG, this patient is having an ST-elevation myocardial infarction."),
        ("myocardial_infarction", "Most likely diagnosis:\nAnterior STEMI"),
        ("myocardial_infarction", "It was thought to be gout. Final diagnosis: myocardial infarction"),
        ("bacterial_meningitis", "Acute bacterial meningitis due to N. meningitidis"),
        ("gout", "Acute gouty arthritis of the first toe, rather than cellulitis."),
        ("heart_failure", "Chronic heart failure with reduced ejection fraction"),
        ("ischemic_stroke", "Acute ischaemic stroke"),
    ],
)
def test_any_name_of_the_condition_is_right_when_it_is_stated(condition: str, solution: str) -> None:
    assert value(case(condition), solution) == 1.0
    assert strict(case(condition), solution) == 1.0


@pytest.mark.parametrize(
    ("condition", "solution"),
    [
        ("myocardial_infarction", "This is most consistent with ischemic heart disease."),  # its parent
        ("myocardial_infarction", "Pericarditis. Myocardial infarction is less likely."),  # a listed alternative
        ("myocardial_infarction", "Myocardial infarction or pericarditis"),  # left open: the least counts
        ("cystitis", "UTI"),
        ("copd", "Chronic asthma"),
        ("subarachnoid_hemorrhage", "Hemorrhagic stroke"),
    ],
)
def test_a_parent_or_a_plausible_alternative_is_half_right(condition: str, solution: str) -> None:
    assert value(case(condition), solution) == 0.5
    assert strict(case(condition), solution) == 0.0


@pytest.mark.parametrize(
    ("condition", "solution"),
    [
        ("bacterial_meningitis", "Viral meningitis"),
        ("systemic_lupus", "Drug-induced lupus"),
        ("systemic_lupus", "Lupus nephritis"),
        ("gout", "Pseudogout"),
        ("gout", "Septic arthritis rather than gout"),
        ("gout", "The patient has a history of gout and now septic arthritis."),
        ("gout", "Diagnosis: septic arthritis. Another likely diagnosis is gout."),
        ("acute_pancreatitis", "Chronic pancreatitis"),
        ("diabetic_ketoacidosis", "Alcoholic ketoacidosis"),
        ("myocardial_infarction", "Not a heart attack."),
        ("ankylosing_spondylitis", "It is as yet unclear"),  # AS is an abbreviation, "as" a word
        ("gout", "I don't know."),
        ("gout", ""),
        ("gerd", "Celiac disease"),
    ],
)
def test_a_name_that_is_only_in_the_words_is_no_diagnosis(condition: str, solution: str) -> None:
    assert value(case(condition), solution) == 0.0


def test_an_alternative_counts_for_the_condition_that_lists_it_alone() -> None:
    # melanoma lists psoriasis, psoriasis lists eczema and cellulitis.
    assert value(case("melanoma"), "Psoriasis") == 0.5
    assert value(case("psoriasis"), "Melanoma") == 0.0


def test_of_several_diagnoses_the_least_counts() -> None:
    assert value(case("gout"), "Gout, migraine or cellulitis") == 0.0
    assert value(case("gout"), "Gout or cellulitis") == 0.5


def test_an_example_may_list_what_is_plausible_and_what_is_right_itself() -> None:
    bite = Example(
        "Q?", "cat scratch disease", kind="diagnosis", accepted=("bartonellosis",), meta={"plausible": ["tularemia"]}
    )
    assert value(bite, "Likely bartonellosis.") == 1.0
    assert value(bite, "Tularemia") == 0.5
    assert value(bite, "Gout") == 0.0


def test_a_reference_that_the_knowledge_knows_brings_its_names_and_parents() -> None:
    plain = Example("Q?", "gout", kind="diagnosis")
    assert value(plain, "Podagra attack") == 1.0
    assert value(plain, "Crystal arthropathy") == 0.5


def test_of_a_case_outside_of_the_knowledge_not_knowing_is_right() -> None:
    unknown = Example("Q?", "outside my knowledge", kind="diagnosis", meta={"condition": None})
    assert value(unknown, "I don't know: this is outside my teaching knowledge.") == 1.0
    assert value(unknown, "Gout") == 0.0


def test_what_cannot_be_scored_is_none() -> None:
    asked = [Example("Q?", None, kind="diagnosis"), Example("Q?", "B", kind="mcq", options={"A": "x", "B": "y"})]
    assert diagnosis(TOOLS)([*asked, case("gout")], [Answer("Gout"), Answer("B"), None]) == [None, None, None]
    assert diagnosis_strict(TOOLS)(asked, [Answer("Gout"), Answer("B")]) == [None, None]


def test_what_is_marked_as_final_goes_before_what_stands_first() -> None:
    names = Vocabulary({"gout": (), "migraine": ()})
    assert stated_diagnoses("Gout.\nFinal answer: migraine", names) == ("migraine",)
    assert stated_diagnoses("1. Gout\n2. Migraine", names) == ("gout",)


def told(pair: str, solution: str) -> tuple[Example, Answer]:
    return Example("Q?", "gout", kind="diagnosis", meta={"pair": pair}), Answer(solution)


def test_each_case_of_a_pair_is_compared_with_the_first() -> None:
    cases = [
        told("a", "Gout"), told("a", "Acute gout."), told("a", "Cellulitis"), told("b", "I don't know."),
        told("b", "I don't know"), told("c", "Blue fever"), told("c", "Red fever"), told("d", ""), told("d", "Gout"),
    ]  # fmt: skip
    values = demographic_consistency(TOOLS)([example for example, _ in cases], [answer for _, answer in cases])
    assert values == [None, 1.0, 0.0, None, 1.0, None, 0.0, None, None]


def test_every_condition_has_a_parent_and_no_parent_the_name_of_a_condition() -> None:
    groups = condition_groups()
    assert {condition for parent in groups.parents for condition in parent.of} == set(KNOWLEDGE.conditions)
    assert groups.common | groups.rare <= set(KNOWLEDGE.conditions)
    assert not groups.common & groups.rare
    for parent in groups.parents:
        assert not [name for name in (parent.name, *parent.names) if KNOWLEDGE.named(name)]


def test_a_broken_file_of_groups_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text("parents:\n  - {name: heart disease, names: [], of: []}\ncommon: []\nrare: []\n")
    with pytest.raises(InvalidInput, match=r"^groups\.yaml:2: parents\.0\.of: "):
        condition_groups(path)


# Out of a run, whose answers come in any order


def test_a_run_scores_pairs_when_all_their_answers_are_there(tmp_path: Path) -> None:
    rows = [("toe-f", "toe", "A woman's red toe?"), ("toe-m", "toe", "A man's red toe?"), ("sky", "", "Blue?"),
            ("eye-f", "eye", "A woman's fever?"), ("eye-m", "eye", "A man's fever?")]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    examples = [
        Example(text, "gout", id=name, kind="diagnosis", meta={"pair": pair} if pair else {})
        for name, pair, text in rows
    ]
    path.write_text("\n".join(example.to_json() for example in examples) + "\n")
    asked = AskedSuite(load_suite(str(path)), "pairs", metrics(("exact", "demographic_consistency"), TOOLS))
    replies = {"woman's fever": "gout", "man's fever": "migraine", "": "gout"}
    models = [asked_model(ByQuestion(replies), toy(answer_format="plain"), name=name) for name in ("one", "two")]

    summary = run(tmp_path / "out", models, [asked])

    for name in ("one", "two"):
        scores = {
            p.id: p.scores["demographic_consistency"] for p in read_predictions(tmp_path / "out") if p.model == name
        }
        assert scores == {"toe-f": None, "toe-m": 1.0, "sky": None, "eye-f": None, "eye-m": 0.0}
        assert summary is not None
        # one of two pairs is answered alike
        assert summary["pairs"][name]["demographic_consistency"].value == 0.5
        assert summary["pairs"][name]["demographic_consistency"].n_unscored == 3
