"""Calculations and doses: questions with numbers drawn by seed, answered by evaluation.calculators."""

import random
import re
from collections.abc import Mapping

from evaluation import calculators
from evaluation.calculators import StrokeRisk, WellsDvt, WellsPe
from evaluation.units import converted, unit_of
from medchat.records import Example
from train.demo.calculation import (
    DOSE_TOLERANCE,
    Draw,
    calculation,
    drawn_sex,
    listed,
    noun_of,
)
from train.demo.suite_doses import DOSES

_STROKE_RISK = {
    "heart_failure": "heart failure", "hypertension": "hypertension", "diabetes": "diabetes",
    "stroke_tia_or_embolism": "an earlier stroke", "vascular_disease": "peripheral artery disease",
}  # fmt: skip
_DVT = {
    "active_cancer": "active cancer", "paralysis_or_cast": "a leg in plaster",
    "bedridden_or_surgery": "major surgery two weeks ago", "tenderness_along_veins": "tenderness along the deep veins",
    "whole_leg_swollen": "swelling of the whole leg", "calf_over_3_cm_larger": "a calf 4 cm larger than the other",
    "pitting_edema": "pitting edema in that leg alone", "collateral_veins": "dilated collateral superficial veins",
    "previous_dvt": "an earlier deep vein thrombosis",
}  # fmt: skip
_PE = {
    "signs_of_dvt": "signs of a deep vein thrombosis", "pe_most_likely": "no diagnosis likelier than embolism",
    "heart_rate_over_100": "a heart rate of 112 per minute", "immobile_or_surgery": "surgery ten days ago",
    "previous_pe_or_dvt": "an earlier pulmonary embolism", "hemoptysis": "hemoptysis",
    "cancer": "cancer under treatment",
}  # fmt: skip
_PE_POINTS = {
    "signs_of_dvt": 3.0, "pe_most_likely": 3.0, "heart_rate_over_100": 1.5, "immobile_or_surgery": 1.5,
    "previous_pe_or_dvt": 1.5, "hemoptysis": 1.0, "cancer": 1.0,
}  # fmt: skip


def calculations(rng: random.Random) -> list[Example]:
    """The questions, those of each kind together, each with its result, unit, tolerance and the arithmetic."""
    examples: list[Example] = []
    for kind, (draw, n) in _KINDS.items():
        asked: set[str] = set()
        while len(asked) < n:
            example = draw(rng)
            if example.question not in asked:
                asked.add(example.question)
                examples.append(_numbered(example, kind, len(asked)))
    return examples


def _numbered(example: Example, kind: str, number: int) -> Example:
    name = re.sub("[^a-z0-9]+", "_", kind.lower())
    return Example(
        example.question, example.answer, id=f"calculation-{name}-{number}", kind="calc",
        rationale=example.rationale, unit=example.unit, tolerance=example.tolerance,
        source="generated from evaluation/calculators.py", licence="Apache-2.0", split="test",
        meta={"calculation": kind, **example.meta},
    )  # fmt: skip


# Formulas


def _clearance(rng: random.Random) -> Example:
    age, weight, sex = rng.randint(35, 88), rng.randint(48, 104), drawn_sex(rng)
    creatinine = rng.randint(8, 32) / 10
    value = calculators.creatinine_clearance_ml_min(age, weight, creatinine, sex)
    factor = " * 0.85" if sex == "female" else ""
    return calculation(
        f"A {age}-year-old {noun_of(age, sex)} weighs {weight} kg and has a serum creatinine of {creatinine:g} mg/dL. "
        "Estimate the creatinine clearance with the Cockcroft-Gault formula, in mL/min.",
        value, "mL/min", f"(140 - {age}) * {weight} / (72 * {creatinine:g}){factor}", meta={"sex": sex},
    )  # fmt: skip


def _anion_gap(rng: random.Random) -> Example:
    sodium, chloride, bicarbonate = rng.randint(130, 146), rng.randint(94, 108), rng.randint(8, 24)
    value = calculators.anion_gap_meq_l(sodium, chloride, bicarbonate)
    return calculation(
        f"Sodium is {sodium}, chloride {chloride} and bicarbonate {bicarbonate} mEq/L. What is the anion gap, in "
        "mEq/L, without potassium?",
        value, "mEq/L", f"{sodium} - ({chloride} + {bicarbonate})", 0.0,
    )  # fmt: skip


def _corrected_gap(rng: random.Random) -> Example:
    gap, albumin = rng.randint(8, 22), rng.randint(15, 34) / 10
    value = calculators.albumin_corrected_anion_gap_meq_l(gap, albumin)
    return calculation(
        f"The measured anion gap is {gap} mEq/L at an albumin of {albumin:g} g/dL. Correct it to an albumin of 4 g/dL "
        "(2.5 mEq/L for each g/dL); give mEq/L.",
        value, "mEq/L", f"{gap} + 2.5 * (4 - {albumin:g})",
    )  # fmt: skip


def _calcium(rng: random.Random) -> Example:
    calcium, albumin = rng.randint(74, 118) / 10, rng.randint(18, 36) / 10
    value = calculators.corrected_calcium_mg_dl(calcium, albumin)
    return calculation(
        f"Total calcium is {calcium:g} mg/dL and albumin {albumin:g} g/dL. What is the calcium corrected for albumin, "
        "in mg/dL?",
        value, "mg/dL", f"{calcium:g} + 0.8 * (4 - {albumin:g})", DOSE_TOLERANCE,
    )  # fmt: skip


def _bmi(rng: random.Random) -> Example:
    weight, height = rng.randint(45, 130), rng.randint(150, 195)
    value = calculators.body_mass_index_kg_m2(weight, height)
    return calculation(
        f"Somebody weighs {weight} kg and is {height} cm tall. What is the body mass index, in kg/m^2?",
        value, "kg/m^2", f"{weight} / {height / 100:g}^2",
    )  # fmt: skip


def _ideal_weight(rng: random.Random) -> Example:
    height, sex = rng.randint(154, 195), drawn_sex(rng)
    value, base = calculators.ideal_weight_kg(height, sex), 45.5 if sex == "female" else 50
    return calculation(
        f"What is the ideal body weight by Devine's formula, in kg, of a {noun_of(40, sex)} of {height} cm?",
        value, "kg", f"{base:g} + 2.3 * ({height} / 2.54 - 60)", meta={"sex": sex},
    )  # fmt: skip


def _gradient(rng: random.Random) -> Example:
    share, co2 = rng.choice((0.21, 0.21, 0.28, 0.4)), rng.randint(24, 52)
    oxygen = rng.randint(50, 80)
    value = calculators.a_a_gradient_mmhg(share, oxygen, co2)
    return calculation(
        f"At sea level (760 mmHg) on an inspired oxygen of {share * 100:g} %, PaO2 is {oxygen} mmHg and PaCO2 {co2} "
        "mmHg. With a respiratory quotient of 0.8, what is the alveolar-arterial oxygen gradient, in mmHg?",
        value, "mmHg", f"{share:g} * (760 - 47) - {co2} / 0.8 - {oxygen}",
    )  # fmt: skip


def _mean_pressure(rng: random.Random) -> Example:
    systolic = rng.randint(82, 186)
    diastolic = systolic - rng.randint(28, 62)
    value = calculators.mean_arterial_pressure_mmhg(systolic, diastolic)
    return calculation(
        f"The blood pressure is {systolic}/{diastolic} mmHg. What is the mean arterial pressure, in mmHg?",
        value, "mmHg", f"{diastolic} + ({systolic} - {diastolic}) / 3", DOSE_TOLERANCE,
    )  # fmt: skip


def _fluids(rng: random.Random) -> Example:
    weight = rng.choice((4, 6, 8, 9, 12, 14, 15, 17, 19, 22, 25, 28, 34))
    value = calculators.maintenance_fluid_ml_h(weight)
    parts = [f"4 * {min(weight, 10)}"]
    parts += [f"2 * {min(weight - 10, 10)}"] * (weight > 10) + [f"1 * {weight - 20}"] * (weight > 20)
    return calculation(
        f"A child of {weight} kg takes nothing by mouth. How much maintenance fluid does the 4-2-1 rule give, in mL/h?",
        value, "mL/h", " + ".join(parts), DOSE_TOLERANCE,
    )  # fmt: skip


# Conversions


def _conversion(rng: random.Random) -> Example:
    what, given, wanted, low, high, step = rng.choice(_CONVERSIONS)
    amount = rng.randint(round(low / step), round(high / step)) * step
    zero, one, value = (_converted(x, given, wanted, what) for x in (0.0, 1.0, amount))
    added = f" {'-' if zero < 0 else '+'} {abs(zero):.4g}" if zero else ""
    return calculation(
        f"Convert a {what} of {amount:g} {given} to {wanted}.", value, wanted,
        f"{amount:g} * {one - zero:.4g}{added}", DOSE_TOLERANCE if not zero else 0.005,
    )  # fmt: skip


def _converted(amount: float, given: str, wanted: str, what: str) -> float:
    source, target = unit_of(given), unit_of(wanted)
    value = converted(amount, source, target, what) if source and target else None
    if value is None:
        raise ValueError(f"{given} of {what} cannot be told in {wanted}.")
    return value


_CONVERSIONS = (
    ("glucose", "mg/dL", "mmol/L", 45, 540, 1),
    ("creatinine", "mg/dL", "µmol/L", 0.6, 6, 0.1),
    ("cholesterol", "mg/dL", "mmol/L", 120, 320, 1),
    ("bilirubin", "mg/dL", "µmol/L", 0.4, 18, 0.1),
    ("calcium", "mg/dL", "mmol/L", 7, 14, 0.1),
    ("body weight", "lb", "kg", 22, 260, 1),
    ("body temperature", "°F", "°C", 96, 105, 0.1),
    ("dose", "g", "mg", 0.125, 2.5, 0.125),
    ("dose", "mg", "mcg", 0.025, 0.5, 0.025),
)


# Scores


def _stroke_score(rng: random.Random) -> Example:
    age, sex = rng.randint(48, 90), drawn_sex(rng)
    chosen = rng.sample(list(_STROKE_RISK), rng.randint(1, 4))
    value = calculators.cha2ds2_vasc(age, sex, StrokeRisk(**dict.fromkeys(chosen, True)))
    points = [f"{2 if age >= 75 else 1 if age >= 65 else 0} for {age} years", f"{int(sex == 'female')} for the sex"]
    points += [f"{2 if name == 'stroke_tia_or_embolism' else 1} for {_STROKE_RISK[name]}" for name in chosen]
    risks = listed([_STROKE_RISK[name] for name in chosen])
    return calculation(
        f"A {age}-year-old {noun_of(age, sex)} with atrial fibrillation has {risks} and no other risk factor. "
        "What is the CHA2DS2-VASc score?",
        value, "", " + ".join(points), None, {"sex": sex},
    )  # fmt: skip


def _dvt_score(rng: random.Random) -> Example:
    chosen = rng.sample(list(_DVT), rng.randint(2, 5))
    other = rng.random() < 0.4
    value = calculators.wells_dvt(WellsDvt(**dict.fromkeys(chosen, True), alternative_as_likely=other))
    likely = "Another diagnosis is at least as likely." if other else "No other diagnosis is as likely."
    return calculation(
        f"A patient with a painful leg has {listed([_DVT[name] for name in chosen])}. {likely} What is Wells' score "
        "for deep vein thrombosis?",
        value, "", " + ".join(["1"] * len(chosen)) + (" - 2" if other else ""), None,
    )  # fmt: skip


def _pe_score(rng: random.Random) -> Example:
    chosen = rng.sample(list(_PE), rng.randint(2, 4))
    value = calculators.wells_pe(WellsPe(**dict.fromkeys(chosen, True)))
    return calculation(
        f"Somebody short of breath has {listed([_PE[name] for name in chosen])}. What is Wells' score for pulmonary "
        "embolism?",
        value, "", " + ".join(f"{_PE_POINTS[name]:g}" for name in chosen), 0.0,
    )  # fmt: skip


def _liver_score(rng: random.Random) -> Example:
    bilirubin, inr, creatinine = rng.randint(8, 120) / 10, rng.randint(10, 32) / 10, rng.randint(6, 38) / 10
    value = calculators.meld(bilirubin, inr, creatinine)
    logs = f"0.378 ln {max(bilirubin, 1):g} + 1.120 ln {max(inr, 1):g} + 0.957 ln {max(creatinine, 1):g} + 0.643"
    return calculation(
        f"In cirrhosis without dialysis, bilirubin is {bilirubin:g} mg/dL, the INR {inr:g} and creatinine "
        f"{creatinine:g} mg/dL. What is the MELD score (2001, without sodium), rounded?",
        value, "", f"10 * ({logs}), rounded", None,
    )  # fmt: skip


_KINDS: Mapping[str, tuple[Draw, int]] = {
    "creatinine clearance": (_clearance, 6),
    "anion gap": (_anion_gap, 4),
    "corrected anion gap": (_corrected_gap, 3),
    "corrected calcium": (_calcium, 4),
    "body mass index": (_bmi, 4),
    "ideal weight": (_ideal_weight, 3),
    "oxygen gradient": (_gradient, 4),
    "mean arterial pressure": (_mean_pressure, 4),
    "maintenance fluids": (_fluids, 6),
    **DOSES,
    "conversion": (_conversion, 12),
    "CHA2DS2-VASc": (_stroke_score, 6),
    "Wells, deep vein thrombosis": (_dvt_score, 4),
    "Wells, pulmonary embolism": (_pe_score, 4),
    "MELD": (_liver_score, 4),
}
