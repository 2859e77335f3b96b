"""The table of clinical facts that forbid a change of age, sex or setting."""

from pathlib import Path

import pytest

from medchat.errors import InvalidInput
from train.augment_guard import Change, crossed, forbidden, load_guard

# Fact -> a text that only it forbids, and which changes.
FACTS: dict[str, tuple[str, tuple[Change, ...]]] = {
    "pregnancy": ("She is at 30 weeks of gestation.", ("age", "sex")),
    "menstruation": ("Her last menses were heavy.", ("age", "sex")),
    "contraception": ("She uses birth control.", ("age", "sex")),
    "female_organs": ("An ovarian cyst was seen.", ("sex",)),
    "male_organs": ("The prostate is enlarged.", ("sex",)),
    "breast": ("A nipple is inverted.", ("age", "sex")),
    "sex_drugs": ("Finasteride was begun.", ("age", "sex")),
    "harm_to_unborn": ("Isotretinoin was begun.", ("sex",)),
    "urinary_tract": ("There is dysuria.", ("sex",)),
    "lower_abdomen": ("There is pain in the right lower quadrant.", ("sex",)),
    "sexual_history": ("Syphilis was treated.", ("age", "sex")),
    "screening": ("Which vaccines are due?", ("age", "sex")),
    "risk_score": ("What is the CHA2DS2-VASc?", ("age", "sex")),
    "kidney_function": ("The eGFR fell.", ("age", "sex")),
    "age_in_a_formula": ("The A-a gradient is wide.", ("age", "sex")),
    "sex_ranges": ("The ferritin is 20.", ("sex",)),
    "body_size": ("The BMI is 31.", ("sex",)),
    "x_linked": ("Known hemophilia A.", ("sex",)),
    "sex_predominance": ("Anti-Sjogren antibodies are found.", ("sex",)),
    "hair_and_hormones": ("There is hirsutism.", ("sex",)),
    "child": ("The infant drinks badly.", ("age", "sex")),
    "dose_by_age": ("Which dosage is usual?", ("age",)),
    "age_itself": ("Is this normal at my age?", ("age",)),
    "age_bound_condition": ("Could it be giant cell arteritis?", ("age",)),
    "cancer": ("A carcinoma was found.", ("age",)),
    "legal_age": ("Whose consent is needed?", ("age",)),
    "occupation_and_life": ("A soldier comes in.", ("age",)),
    "place_as_a_fact": ("He was discharged from a ward.", ("setting",)),
    "resources": ("The hospital is remote.", ("setting",)),
}
THRESHOLDS = {  # age -> ages on both sides, and a text in which it counts
    18: (17, 19, "A rash."),
    21: (20, 22, "How much alcohol is too much?"),
    26: (25, 27, "Is the vaccine still given?"),
    30: (29, 31, "Chest pain in sport."),
    35: (34, 36, "A smoker with a migraine."),
    40: (39, 41, "Is a glucose test useful?"),
    45: (44, 46, "Blood in the stool."),
    50: (49, 52, "A new headache."),
    55: (54, 57, "Which drug for hypertension?"),
    60: (58, 61, "The D-dimer is 600."),
    65: (63, 66, "A rash."),
    70: (68, 71, "Should the statin go on?"),
    75: (74, 76, "A rash."),
    80: (78, 81, "A rash."),
}


def test_every_fact_and_threshold_of_the_table_has_its_case_here() -> None:
    guard = load_guard()

    assert [fact.id for fact in guard.facts] == list(FACTS)
    assert sorted(threshold.age for threshold in guard.thresholds) == sorted(THRESHOLDS)
    assert all(len(why) > 20 for why in [*(its.why for its in guard.facts), *(its.why for its in guard.thresholds)])


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_forbids_its_changes_and_no_others(fact: str) -> None:
    text, changes = FACTS[fact]

    for change in ("age", "sex", "setting"):
        found = forbidden(load_guard(), change, text)
        assert (found.rule if found else None) == (fact if change in changes else None)


@pytest.mark.parametrize("age", THRESHOLDS)
def test_an_age_is_not_crossed_where_it_counts(age: int) -> None:
    young, old, text = THRESHOLDS[age]

    up, down = crossed(load_guard(), young, old, text), crossed(load_guard(), old, young, text)

    assert up == down
    assert up is not None
    assert up.rule == f"age {age}"
    assert crossed(load_guard(), age, age + 1, text) is None  # both stand on the same side


def test_an_age_that_counts_for_some_complaints_may_be_crossed_in_others() -> None:
    assert crossed(load_guard(), 49, 52, "An itching rash of the hands.") is None


def test_drugs_that_harm_the_unborn_do_not_count_after_the_menopause() -> None:
    text = "Lisinopril causes a cough."

    assert forbidden(load_guard(), "sex", text, age=70) is None
    assert forbidden(load_guard(), "sex", text, age=30) is not None
    assert forbidden(load_guard(), "sex", text) is not None  # nobody's age is known


def test_a_harmless_text_forbids_nothing() -> None:
    text = "A man has had a cough with fever for 3 days. The lungs sound clear."

    assert [forbidden(load_guard(), change, text) for change in ("age", "sex", "setting")] == [None, None, None]


def test_a_broken_table_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text(
        "version: 1\nfacts:\n  - id: x\n    changes: [height]\n    words: [tall]\n    why: tall\nthresholds: []\n"
    )

    with pytest.raises(InvalidInput, match=r"guard.yaml:4: facts.0.changes.0"):
        load_guard(file)
