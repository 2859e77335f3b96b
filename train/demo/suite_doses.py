"""Doses by weight, for children and adults: single, divided, drawn up, and as an infusion."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from evaluation import calculators
from medchat.records import Example
from train.demo.calculation import DOSE_TOLERANCE, Draw, calculation, drawn_sex, noun_of


@dataclass(frozen=True, slots=True)
class _Drug:
    """How a drug is ordered: mg/kg a dose, the most in one dose, doses a day, mg/mL of what is at hand, and for whom.

    ages: in years; weights: kg that go with the lowest and the highest age. per_ml 0: not drawn up.
    """

    name: str
    mg_kg: tuple[float, ...]
    most_mg: float
    a_day: int
    per_ml: float
    ages: tuple[int, int]


_SINGLE_DOSES = (
    _Drug("paracetamol by mouth", (15,), 1000, 4, 24, (2, 11)),
    _Drug("ibuprofen by mouth", (10,), 400, 3, 20, (2, 11)),
    _Drug("dexamethasone by mouth for croup", (0.6, 0.15), 16, 1, 1, (1, 6)),
    _Drug("prednisolone by mouth for an asthma attack", (1, 2), 40, 1, 5, (2, 11)),
    _Drug("adrenaline into the muscle for anaphylaxis", (0.01,), 0.5, 1, 1, (2, 11)),
    _Drug("midazolam into the cheek for a seizure", (0.3,), 10, 1, 5, (2, 9)),
    _Drug("ondansetron by vein", (0.1, 0.15), 4, 1, 2, (3, 11)),
    _Drug("gentamicin by vein once a day", (5, 7), 360, 1, 40, (3, 11)),
)
_DAILY_DOSES = (
    _Drug("amoxicillin", (40, 80, 90), 1000, 2, 80, (2, 10)),
    _Drug("cefalexin", (25, 50), 500, 4, 50, (2, 10)),
    _Drug("clarithromycin", (15,), 500, 2, 50, (2, 10)),
    _Drug("erythromycin", (40,), 500, 4, 50, (2, 9)),
    _Drug("flucloxacillin", (50,), 500, 4, 50, (2, 9)),
)
_ADULT_DOSES = (
    _Drug("enoxaparin under the skin", (1, 1.5), 150, 1, 100, (30, 80)),
    _Drug("alteplase for an ischemic stroke", (0.9,), 90, 1, 1, (45, 85)),
    _Drug("vancomycin by vein as a loading dose", (20, 25), 3000, 1, 5, (30, 80)),
    _Drug("acetylcysteine for a paracetamol overdose as its first infusion", (150,), 16500, 1, 200, (18, 60)),
    _Drug("phenytoin by vein for status epilepticus", (20,), 2000, 1, 50, (20, 75)),
)
_INFUSIONS = (  # µg/kg/min, mg/mL
    ("noradrenaline", (0.05, 0.1, 0.2), 0.08),
    ("dopamine", (5, 8, 10), 1.6),
    ("dobutamine", (2.5, 5, 7.5), 1.0),
    ("propofol", (25, 40, 50), 10.0),
    ("esmolol", (50, 100), 10.0),
)


def _single_dose(rng: random.Random) -> Example:
    drug = rng.choice(_SINGLE_DOSES)
    age, weight = _child(drug, rng)
    per_kg = rng.choice(drug.mg_kg)
    value = calculators.weight_based_dose_mg(weight, per_kg, drug.most_mg)
    return calculation(
        f"A {age}-year-old child of {weight} kg is to have {drug.name}, {per_kg:g} mg/kg as one dose and never more "
        f"than {drug.most_mg:g} mg. How many mg is the dose?",
        value, "mg", f"the lower of {weight} * {per_kg:g} and {drug.most_mg:g}", DOSE_TOLERANCE, {"age": "0-17"},
    )  # fmt: skip


def _volume(rng: random.Random) -> Example:
    drug = rng.choice(_SINGLE_DOSES)
    age, weight = _child(drug, rng)
    per_kg = rng.choice(drug.mg_kg)
    value = calculators.weight_based_dose_mg(weight, per_kg, drug.most_mg) / drug.per_ml
    return calculation(
        f"A {age}-year-old child weighs {weight} kg. The order is {drug.name}, {per_kg:g} mg/kg, at most "
        f"{drug.most_mg:g} mg; what is at hand has {drug.per_ml:g} mg in each mL. How many mL are that?",
        value, "mL", f"the lower of {weight} * {per_kg:g} and {drug.most_mg:g}, by {drug.per_ml:g}", DOSE_TOLERANCE,
        {"age": "0-17"},
    )  # fmt: skip


def _divided_dose(rng: random.Random) -> Example:
    drug = rng.choice(_DAILY_DOSES)
    age, weight = _child(drug, rng)
    per_kg = rng.choice(drug.mg_kg)
    value = calculators.weight_based_dose_mg(weight, per_kg / drug.a_day, drug.most_mg)
    return calculation(
        f"{drug.name.capitalize()} is ordered for a child of {age} years and {weight} kg at {per_kg:g} mg/kg a day in "
        f"{drug.a_day} equal doses, none above {drug.most_mg:g} mg. How many mg is each dose?",
        value, "mg", f"the lower of {weight} * {per_kg:g} / {drug.a_day} and {drug.most_mg:g}", DOSE_TOLERANCE,
        {"age": "0-17"},
    )  # fmt: skip


def _adult_dose(rng: random.Random) -> Example:
    drug = rng.choice(_ADULT_DOSES)
    age, weight, sex = rng.randint(*drug.ages), rng.randint(46, 118), drawn_sex(rng)
    per_kg = rng.choice(drug.mg_kg)
    value = calculators.weight_based_dose_mg(weight, per_kg, drug.most_mg)
    return calculation(
        f"A {noun_of(age, sex)} of {age} years and {weight} kg is to have {drug.name} at {per_kg:g} mg/kg, at most "
        f"{drug.most_mg:g} mg. What is the dose in mg?",
        value, "mg", f"the lower of {weight} * {per_kg:g} and {drug.most_mg:g}", DOSE_TOLERANCE, {"sex": sex},
    )  # fmt: skip


def _infusion(rng: random.Random) -> Example:
    name, doses, per_ml = rng.choice(_INFUSIONS)
    dose, weight = rng.choice(doses), rng.randint(48, 110)
    value = calculators.infusion_rate_ml_h(dose, weight, per_ml)
    return calculation(
        f"{name.capitalize()} is to run at {dose:g} mcg/kg/min in a patient of {weight} kg; the solution has "
        f"{per_ml:g} mg/mL. At what rate must the pump be set, in mL/h?",
        value, "mL/h", f"{dose:g} * {weight} * 60 / ({per_ml:g} * 1000)", DOSE_TOLERANCE,
    )  # fmt: skip


def _child(drug: _Drug, rng: random.Random) -> tuple[int, int]:
    """Age in years, and a weight in kg that goes with it: 2 * (age + 4), which is taught for 1 to 10 years, ±20 %."""
    age = rng.randint(*drug.ages)
    return age, round(2 * (age + 4) * rng.uniform(0.8, 1.2))


DOSES: Mapping[str, tuple[Draw, int]] = {
    "single dose of a child": (_single_dose, 8),
    "volume of a dose": (_volume, 6),
    "divided dose of a child": (_divided_dose, 6),
    "dose of an adult": (_adult_dose, 6),
    "rate of an infusion": (_infusion, 6),
}
