"""Flags on what may do harm: doses, unsafe advice, identifiers; each with a row that sets it off, and a near one."""

from typing import Any

import pytest

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from train.quality_checks import USUAL, flags_of
from train.quality_doses import is_about_doses
from train.quality_flags import HELD_FLAGS, Flag, FlagName, Thresholds, thresholds_of
from train.quality_identifiers import identifiers_in, without_identifiers


def row(answer: str, **more: Any) -> Example:
    return Example(more.pop("question", "What is to be given?"), answer, **more)


def found(name: FlagName, example: Example, thresholds: Thresholds = USUAL) -> list[Flag]:
    return [flag for flag in flags_of(example, thresholds) if flag.name == name]


@pytest.mark.parametrize(
    ("answer", "direction"),
    [
        ("Take levothyroxine 100 mg once a day.", "above"),  # for 100 mcg
        ("Give morphine 200 mg at once.", "above"),
        ("Take paracetamol 3 g every 4 hours.", "above"),
        ("Take metformin 500 mcg twice a day.", "below"),  # for 500 mg
        ("Take aspirin 81 mcg once a day.", "below"),
    ],
)
def test_a_dose_far_from_the_usual_one_is_flagged(answer: str, direction: str) -> None:
    [flag] = found("dose out of range", row(answer))

    assert f"Far {direction} the usual dose" in flag.detail


@pytest.mark.parametrize(
    "answer",
    [
        "Take levothyroxine 100 mcg once a day.",
        "Take metformin 500 mg twice a day.",
        "Give morphine 0.1 mg/kg at once.",
        "An overdose of 20 g of paracetamol is fatal.",
        "Do not take paracetamol 8 g a day.",
        "In children give paracetamol 15 mg for each kilogram.",
        "The level of digoxin was 2 ng.",
    ],
)
def test_usual_doses_warnings_and_doses_by_weight_are_none(answer: str) -> None:
    assert found("dose out of range", row(answer)) == []


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("Give 10U of insulin.", '"U"'),
        ("Give 1000 IU of vitamin D.", '"IU"'),
        ("Give 50 µg of fentanyl.", '"µg"'),
        ("Give 50 ug of fentanyl.", '"µg"'),
        ("Give 5 cc by mouth.", '"cc"'),
        ("Give 5.0 mg of warfarin.", "zero behind the point"),
        ("Give .5 mg of digoxin.", "zero before it"),
        ("Take 5 mg QD.", '"QD"'),
        ("Inject 10 mg TIW.", '"TIW"'),
        ("Give MgSO4 at once.", "magnesium sulfate"),
        ("Take propranolol20 mg.", "runs into its dose"),
        ("Give 100000 units of penicillin.", "zeros"),
    ],
)
def test_notations_that_have_been_misread_are_flagged(answer: str, word: str) -> None:
    [flag] = found("ambiguous dose", row(answer))

    assert word in flag.detail


@pytest.mark.parametrize(
    "answer",
    [
        "Give 10 units of insulin.", "Give 50 mcg of fentanyl.", "Give 5 mL by mouth.", "Give 5 mg of warfarin.",
        "Give 0.5 mg of digoxin.", "Take 5 mg daily.", "Give magnesium sulfate at once.", "Take propranolol 20 mg.",
        "Give 100,000 units of penicillin.", "ALT is 40 U/L and creatinine 1.0 mg/dL.", "Ferritin is 20 µg/L.",
        "Multiple sclerosis (MS) is treated.", "The pH is 7.40 and the INR 2.0.", "HbA1c is 7.0 %.",
        "Section 5.0 describes it.", "In 2.0 % of the cases.",
    ],
)  # fmt: skip
def test_safe_notations_and_results_of_a_laboratory_are_none(answer: str) -> None:
    assert found("ambiguous dose", row(answer)) == []


def test_which_notations_count_is_a_setting() -> None:
    example = row("Give 5.0 mg of warfarin QD.")

    assert len(found("ambiguous dose", example)) == 2
    assert len(found("ambiguous dose", example, Thresholds(notations=("QD",)))) == 1


def test_numbers_of_a_calculation_are_no_doses_with_a_trailing_zero() -> None:
    steps = "The mass of sodium is 140.0 mmol, and so the result is 140 mEq."

    assert found("ambiguous dose", row("140 mEq", kind="calc", rationale=steps)) == []


def test_rows_about_doses_are_told_from_others() -> None:
    assert is_about_doses(row("Take 500 mg twice a day."))
    assert is_about_doses(row("Lower the dose."))
    assert not is_about_doses(row("Sodium is 140 mmol/L."))
    assert not is_about_doses(row("Rest for 3 days."))


def test_advice_that_a_safety_rule_names_is_flagged_and_a_warning_is_not() -> None:
    case = "A man who takes sildenafil has chest pain."

    assert found("unsafe advice", row("Give nitroglycerin.", question=case))
    assert not found("unsafe advice", row("Do not give nitroglycerin.", question=case))
    assert not found("unsafe advice", row("A", question=case, options={"A": "Give nitroglycerin.", "B": "Rest"}))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("dose out of range", "Give 100 mg of morphine intravenously as a bolus every hour."),
        ("unsafe advice", "Yes, stop your insulin at once, you do not need it, and no doctor is needed."),
        ("unsafe advice", "Yes, thalidomide is safe in pregnancy."),
    ],
)
def test_what_would_kill_whoever_follows_it_is_held_back(name: FlagName, answer: str) -> None:
    [flag] = found(name, row(answer, question="Is this right?"))

    assert flag.name in HELD_FLAGS


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Mr. Miller has a cough.", "name behind a title"),
        ("I saw Dr. J. Okafor-Smith today.", "name behind a title"),
        ("Hello, my name is Ada Miller.", "name"),
        ("Patient name: Ada Miller", "name"),
        ("Write to ada.miller@example.com today.", "e-mail address"),
        ("Call me at (212) 345-6789 please.", "telephone number"),
        ("My number is +49 170 1234567.", "telephone number"),
        ("DOB: 03/12/1961, male", "date of birth"),
        ("She was born on 12 March 1961 in Leeds.", "date of birth"),
        ("MRN: 00412345", "record number"),
        ("Her social security number is 219-09-9999.", "record number"),
        ("He lives at 12 Orchard Street with his wife.", "postal address"),
    ],
)
def test_words_by_which_a_person_is_found_are_flagged(text: str, kind: str) -> None:
    assert [one.kind for one in identifiers_in(text)] == [kind]
    assert found("patient identifier", row("Rest.", context=text))


@pytest.mark.parametrize(
    "text",
    [
        "___ was seen by Dr. ___ on ___. MRN: ___", "Mr. [**Lastname**] has a cough.", "Dr. X saw Mrs. P. G. today.",
        "Dear Dr, thank you. Dr. Unfortunately left.", "Call 1-800-422-6237 or 911.", "Write to info@niddk.nih.gov.",
        "BP 120/80, pulse 72, 2019-03-12.", "She was born in 1961.", "The NIH has its office at 31 Center Drive.",
        "Give 5 mg. The Drive to eat is low.", "A white cell count of 1000000000.0 per litre.", "You may miss Doses.",
        "The gene is at 123-456-789.", "Down syndrome and Crohn disease.",
    ],
)  # fmt: skip
def test_blanks_titles_public_lines_and_figures_identify_nobody(text: str) -> None:
    assert identifiers_in(text) == []


def test_a_flag_shows_no_identifier_in_full() -> None:
    [flag] = found("patient identifier", row("Rest.", question="Mr. Miller coughs. What is it?"))

    assert flag.detail == "name behind a title: Mr. M*****"
    masked = without_identifiers("Mr. Miller, MRN: 00412345, coughs.")
    assert masked == "Mr. M*****, MRN: ########, coughs."


def test_a_threshold_that_makes_no_sense_is_refused_in_one_line() -> None:
    assert thresholds_of({"hedged_share": "0.8", "notations": "U,IU"}).notations == ("U", "IU")
    with pytest.raises(NotFound, match="hedged_share"):
        thresholds_of({"hedge": "1"})
    with pytest.raises(InvalidInput, match="no number"):
        thresholds_of({"hedged_share": "much"})
    with pytest.raises(InvalidInput, match="above 0"):
        thresholds_of({"hedged_share": "2"})
