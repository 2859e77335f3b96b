"""Calculations: what number an answer gives, in which unit, and whether it is near enough."""

import time
from datetime import date
from random import Random

import pytest
from metric_tools import NO_TOOLS

from evaluation.metrics import Answer
from evaluation.quantities import (
    Kind,
    calc_correct,
    check_calculation,
    kind_of,
    read,
    read_quantity,
    unit_asked,
    within,
)
from evaluation.quantity_text import quantities_in
from evaluation.units import analyte_of, converted, unit_of
from medchat.records import Example


def value_of(text: str, unit: str = "", kind: Kind = "decimal") -> float | None:
    quantity = read_quantity(text, unit, kind)
    return None if quantity is None else quantity.value


# Numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("38", 38.0),
        ("The score is 3.", 3.0),
        ("-6", -6.0),
        ("\u22126", -6.0),
        ("minus 6", -6.0),
        (".5", 0.5),
        ("1,234.5", 1234.5),
        ("12\u202f000", 12000.0),
        ("1.2e3", 1200.0),
        ("4.5 x 10^3", 4500.0),
        ("4.5 \u00d7 10\u00b3", 4500.0),
        ("1/2", 0.5),
        ("1 1/2", 1.5),
        ("1\u00bd", 1.5),
        ("**38**", 38.0),
        ("$\\boxed{38}$", 38.0),
        ("$\\approx 38\\,\\text{mL/min}$", 38.0),
        ("CHA2DS2-VASc: 3", 3.0),
        ("CURB-65 score of 2", 2.0),
        ("3 out of 9", 3.0),
        ("stage 3, so 12", 12.0),
    ],
)
def test_a_number_is_read_however_it_is_written(text: str, value: float) -> None:
    assert value_of(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "3-5 mg",
        "3 \u2013 5 mg",
        "3 to 5 mg",
        "between 3 and 5 mg",
        "3 or 5 mg",
        "less than 5 mg",
        "> 5 mg",
        "at least 5 mg",
        "5 \u00b1 1 mg",
        "1,5 mg",
        "72 x 1.5 mg",
        "120/80 mg",
        "Final answer: 5 mg. Final answer: 7 mg",
        "The dose is 5 mg and the dose is 7 mg.",
        "5 mg (or 7 mg)",
    ],
)
def test_what_can_be_read_in_two_ways_is_ambiguous(text: str) -> None:
    assert read(text, "mg").outcome == "ambiguous"
    assert read_quantity(text, "mg") is None


@pytest.mark.parametrize("text", ["", "I cannot tell.", "The CHA2DS2-VASc score is high."])
def test_without_a_number_there_is_none(text: str) -> None:
    assert read(text, "mg").outcome == "none"


def test_nothing_of_the_text_is_evaluated() -> None:
    assert read("__import__('os').getpid() * 0 + 5 mg", "mg").outcome == "ambiguous"


# Which of several numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(140 - 65) * 60 / (72 * 1.6) = 39.06 mL/min", 39.06),
        ("The anion gap is 28 mL/min. The normal range is 8-12 mL/min.", 28.0),
        ("28 mL/min (normal 90-120 mL/min)", 28.0),
        ("28 mL/min, normal range 90-120 mL/min", 28.0),
        ("Weight is 70 kg.\nCreatinine is 1.2 mg/dL.\nThe clearance is 38 mL/min.", 38.0),
        ("First 45 mL/min.\nFinal answer: 38 mL/min\nThis is 2 mL/min below the last one.", 38.0),
        ("The answer is 38 mL/min because the weight is 70 kg.", 38.0),
        ('{"step_by_step_thinking": "72 kg, 1.6 mg/dL", "answer": "38"}', 38.0),
        ("37.84 mL/min, or about 38 mL/min", 37.84),
        ("1. The clearance is 38 mL/min.", 38.0),
        ("38 in total", 38.0),
    ],
)
def test_the_final_statement_and_the_unit_decide(text: str, value: float) -> None:
    assert value_of(text, "mL/min") == pytest.approx(value)


def test_a_quantity_of_something_else_is_not_the_answer() -> None:
    assert read("The weight is 70 kg.", "mL/min").outcome == "other unit"
    assert read("38 mL/min/1.73 m\u00b2", "mL/min").outcome == "other unit"


# Units


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("154 lb", "kg", 69.853),  # 154 * 0.45359237
        ("0.5 g", "mg", 500.0),
        ("0.7 m", "cm", 70.0),
        ("70 inches", "cm", 177.8),  # 70 * 2.54
        ("98.6 \u00b0F", "\u00b0C", 37.0),  # (98.6 - 32) / 1.8
        ("2.4 L/day", "mL/h", 100.0),  # 2400 / 24
        ("24 mL per hour", "mL/hr", 24.0),
        ("300 \u00b5g/kg/h", "mcg/kg/min", 5.0),  # 300 / 60
        ("5 micrograms/kg/min", "mcg/kg/min", 5.0),
        ("13.3322 kPa", "mmHg", 100.0),  # 13.3322 * 7.50062
        ("0.45 seconds", "msec", 450.0),
        ("two tablets", "tablets", 2.0),
        ("half of it: 1/2 tablet", "tablets", 0.5),
        ("5,000 IU", "units", 5000.0),
        ("12%", "%", 12.0),
        ("300 mOsm/L", "mOsm/kg", 300.0),
    ],
)
def test_units_become_the_one_that_was_asked_for(text: str, unit: str, value: float) -> None:
    assert value_of(text, unit) == pytest.approx(value, rel=1e-3)


def test_a_mass_becomes_an_amount_only_for_a_known_analyte() -> None:
    def read_as(text: str, unit: str, analyte: str) -> float | None:
        quantity = read_quantity(text, unit, analyte=analyte)
        return None if quantity is None else quantity.value

    # glucose: 90 mg/dL = 0.9 g/L; / 180.156 g/mol = 4.996 mmol/L. calcium: 10 mg/dL = 0.1 g/L / 40.078 = 2.495 mmol/L
    assert read_as("90 mg/dL", "mmol/L", "glucose") == pytest.approx(4.996, abs=1e-3)
    assert read_as("2.495 mmol/L", "mg/dL", "calcium") == pytest.approx(10.0, abs=1e-2)
    assert read("90 mg/dL", "mmol/L").outcome == "other unit"
    # sodium carries one charge, calcium two
    assert read_as("140 mmol/L", "mEq/L", "sodium") == pytest.approx(140.0)
    assert read_as("2.5 mmol/L", "mEq/L", "calcium") == pytest.approx(5.0)
    assert analyte_of("What is the corrected calcium at this albumin?") == "calcium"
    assert analyte_of("From sodium and chloride") == ""


@pytest.mark.parametrize("spelling", ["units", "IU", "mEq", "tab", "mcg/kg/min", "mg/m^2", "gtt/min", "bpm"])
def test_clinical_units_are_known(spelling: str) -> None:
    assert unit_of(spelling) is not None


def test_what_is_not_in_the_table_is_no_unit() -> None:
    assert unit_of("micronits") is None
    assert unit_of("mg/potato") is None
    kg, mg_per_kg = unit_of("kg"), unit_of("mg/kg")
    assert kg is not None
    assert mg_per_kg is not None
    assert converted(1.0, mg_per_kg, kg) is None


def test_a_question_says_its_unit() -> None:
    assert unit_asked("What is the clearance in terms of mL/min? Take the weight in kg.") == "ml/min"
    assert unit_asked("How many tablets?") == ""
    assert unit_asked("Height in cm and weight in kg?") == ""


# Kinds and tolerances


def test_decimals_may_be_off_by_five_per_cent_or_by_their_own_limits() -> None:
    assert within(95.0, 100.0)  # 100 * 0.95
    assert not within(94.9, 100.0)
    assert within(-10.4, -10.0)
    assert not within(-10.6, -10.0)  # limit -10.5
    assert within(1.01, 1.0, tolerance=0.01)
    assert within(-0.8, -0.828, limits=(-0.7866, -0.8694))  # in whichever order
    assert not within(0.1, 0.0)


def test_integers_and_dates_are_exact() -> None:
    assert within(2.6, 3.0, "integer")
    assert not within(2.4, 3.0, "integer")
    assert not within(735500.0, 735499.0, "date")


@pytest.mark.parametrize(
    "text",
    ["09/23/2014", "9/23/2014", "09-23-2014", "2014-09-23", "September 23, 2014", "Sep 23rd 2014",
     "The last period was 01/02/2014. The due date is 09/23/2014."],
)  # fmt: skip
def test_dates_are_read(text: str) -> None:
    assert value_of(text, kind="date") == date(2014, 9, 23).toordinal()


def test_a_date_that_does_not_exist_or_two_of_them_are_not_read() -> None:
    assert read("13/45/2014", kind="date").outcome == "none"
    assert read("09/23/2014 or 09/24/2014", kind="date").outcome == "ambiguous"


@pytest.mark.parametrize(
    "text",
    ["('17 weeks', '6 days')", "17 weeks and 6 days", "(17 weeks, 6 days)", "17w6d", "17+6 weeks", "(17, 6)"],
)
def test_weeks_and_days_are_read(text: str) -> None:
    assert value_of(text, kind="weeks and days") == 125.0  # 17 * 7 + 6


def test_the_kind_follows_the_reference() -> None:
    assert kind_of(Example("Q?", "3")) == "integer"
    assert kind_of(Example("Q?", "3.5")) == "decimal"
    assert kind_of(Example("Q?", "500", unit="mg")) == "decimal"
    assert kind_of(Example("Q?", "3", tolerance=0.1)) == "decimal"
    assert kind_of(Example("Q?", "22", meta={"output_type": "decimal"})) == "decimal"
    assert kind_of(Example("Q?", "09/23/2014")) == "date"
    assert kind_of(Example("Q?", "('0 weeks', '6 days')", meta={"output_type": "integer"})) == "weeks and days"


# The metric

CLEARANCE = Example(
    "What is the creatinine clearance in terms of mL/min?", "38", kind="calc",
    meta={"output_type": "decimal", "lower": "39.9", "upper": "36.1"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("solution", "score"),
    [
        ("38 mL/min", 1.0),
        ("39.5", 1.0),
        ("2.28 L/h", 1.0),  # 38 * 60 / 1000
        ("40 mL/min", 0.0),
        ("I do not know.", 0.0),
        ("", 0.0),
        ("38 kg", 0.0),
        ("35-40 mL/min", None),
    ],
)
def test_a_right_value_is_right_and_an_ambiguous_one_is_not_scored(solution: str, score: float | None) -> None:
    assert calc_correct(NO_TOOLS)([CLEARANCE], [Answer(solution)]) == [score]


def test_without_a_usable_reference_or_an_answer_there_is_no_score() -> None:
    metric = calc_correct(NO_TOOLS)

    examples = [Example("Q?", None, kind="calc"), Example("Q?", "N/A", kind="calc"), CLEARANCE, Example("Q?", "5")]

    assert metric(examples, [Answer("5"), Answer("5"), None, Answer("5")]) == [None, None, None, None]
    assert check_calculation(Example("Q?", "N/A"), "5") == (None, None)


def test_an_integer_is_the_score_and_not_its_fraction() -> None:
    score = Example("What is the score?", "3", kind="calc", meta={"output_type": "integer"})

    assert calc_correct(NO_TOOLS)([score] * 3, [Answer("3/9"), Answer("3 out of 9"), Answer("4/9")]) == [1.0, 1.0, 0.0]


def test_places_are_those_of_the_text_as_it_was_given() -> None:
    text = "Give 5 mg/kg \u2013 that is 350\u00a0mg \u2014 now."

    found = quantities_in(text)

    assert [text[one.start : one.end] for one in found] == ["5 mg/kg", "350\u00a0mg"]


def test_a_very_long_answer_takes_little_time() -> None:
    began = time.perf_counter()

    read("The weight is 70 kg, 5 mg. " * 2000, "mg")

    assert time.perf_counter() - began < 5.0


# Hostile texts


@pytest.mark.parametrize("text", ["10^999 mg", "1e400 mg", "about 10^400", "1" * 400 + " mg", "10^(-999) mg"])
def test_a_number_without_bounds_is_wrong_and_no_fault(text: str) -> None:
    weight = Example("Dose in mg?", "350", kind="calc", unit="mg")
    score = Example("What is the score?", "3", kind="calc")
    assert calc_correct(NO_TOOLS)([weight, score], [Answer(text), Answer(text)]) == [0.0, 0.0]


def test_a_reference_without_bounds_is_no_fault() -> None:
    truth = Example("Dose in mg?", "10^999 mg", kind="calc", meta={"lower": 10**400, "upper": 1})
    assert calc_correct(NO_TOOLS)([truth], [Answer("5 mg")]) == [0.0]


_PIECES = ("10", "^", "e", "-", "9" * 9, "1/", " ", ".", ",", "mg", "/kg", "\u00b9", "\u00bd", "(", "=", "x", "->", "%",
           "weeks", "w", "\\boxed{", "}", "/2020", "score ", "\u0663", "70 kg", "per day", "out of ", "\n")  # fmt: skip


def test_no_text_is_a_fault() -> None:
    rng = Random(0)
    for _ in range(400):
        text, truth = ("".join(rng.choices(_PIECES, k=rng.randint(1, 14))) for _ in range(2))
        for kind in ("decimal", "integer", "date"):
            example = Example("Dose in mg?", truth, kind="calc", unit="mg", meta={"output_type": kind})
            assert calc_correct(NO_TOOLS)([example], [Answer(text)])[0] in (None, 0.0, 1.0), (text, truth)


# Doses


@pytest.mark.parametrize(
    "text",
    ["For a 70 kg patient give 350 mg/day.", "Weight 70 kg, dose 5 mg/kg -> 350 mg per day",
     "Weight 70 kg, dose 5 mg/kg => 350 mg", "The dose for this 70 kg patient is 350 mg.", "350 mg per dose",
     "A 3200 g infant needs 350 mg.", "The child weighs 900 g: 350 mg",
     "Give 350 mg. This suits a patient of 70 kg."],
)  # fmt: skip
def test_a_patients_weight_is_no_dose(text: str) -> None:
    assert value_of(text, "mg") == 350.0


def test_a_days_dose_beside_another_single_dose_is_ambiguous() -> None:
    assert read("1050 mg/day, that is 350 mg per dose", "mg").outcome == "ambiguous"


@pytest.mark.parametrize("text", ["The patient weighs 70 kg.", "350 mg/min", "5 mg/kg", "154 lb"])
def test_what_is_no_dose_is_something_else(text: str) -> None:
    assert read(text, "mg").outcome == "other unit"


def test_a_weight_that_was_asked_for_is_read() -> None:
    assert value_of("The ideal body weight is 63 kg", "kg") == 63.0
    assert value_of("The birth weight is 3.2 kg", "g") == 3200.0
    assert value_of("The infant weighs 3200 g", "kg") == 3.2


@pytest.mark.parametrize("text", ["The score is 3/9.", "3 points out of 9", "3/9 points", "3 out of 9 points"])
def test_the_points_of_a_score_are_no_fraction(text: str) -> None:
    assert value_of(text) == 3.0
