"""Clinical formulas, one function each, with units in the names of the arguments.

A value outside of what can be measured in a living person raises InvalidInput: it is most likely in another unit.
Nothing is rounded but where the published formula rounds.
"""

import math
from dataclasses import dataclass, fields
from typing import Literal

from medchat.errors import InvalidInput

Sex = Literal["female", "male"]

WATER_VAPOUR_MMHG = 47.0  # saturated, at 37 °C


def creatinine_clearance_ml_min(age_years: float, weight_kg: float, creatinine_mg_dl: float, sex: Sex) -> float:
    """Creatinine clearance in mL/min: (140 - age) * weight / (72 * creatinine), times 0.85 for women.

    The formula takes the measured weight; many protocols give it an ideal or adjusted one instead (see
    adjusted_weight_kg). Source: Cockcroft and Gault, Nephron 1976;16:31-41.
    """
    _check("age_years", age_years, 18, 120)
    _check("weight_kg", weight_kg, 20, 400)
    _check("creatinine_mg_dl", creatinine_mg_dl, 0.1, 30)
    clearance = (140 - age_years) * weight_kg / (72 * creatinine_mg_dl)
    return clearance * (0.85 if _is_female(sex) else 1.0)


def ideal_weight_kg(height_cm: float, sex: Sex) -> float:
    """Ideal weight in kg: 50 (men) or 45.5 (women), and 2.3 for each inch over 5 feet.

    Source: Devine, Drug Intell Clin Pharm 1974;8:650-655.
    """
    _check("height_cm", height_cm, 100, 250)
    return (45.5 if _is_female(sex) else 50.0) + 2.3 * (height_cm / 2.54 - 60)


def adjusted_weight_kg(weight_kg: float, height_cm: float, sex: Sex) -> float:
    """Adjusted weight in kg: the ideal one and 0.4 of what is above it.

    Source: Winter et al., Pharmacotherapy 2012;32:604-612.
    """
    _check("weight_kg", weight_kg, 20, 400)
    ideal = ideal_weight_kg(height_cm, sex)
    return ideal + 0.4 * (weight_kg - ideal)


def anion_gap_meq_l(sodium_meq_l: float, chloride_meq_l: float, bicarbonate_meq_l: float) -> float:
    """Anion gap of the serum in mEq/L, without potassium: sodium - (chloride + bicarbonate).

    Source: Emmett and Narins, Medicine (Baltimore) 1977;56:38-54.
    """
    _check("sodium_meq_l", sodium_meq_l, 90, 200)
    _check("chloride_meq_l", chloride_meq_l, 40, 170)
    _check("bicarbonate_meq_l", bicarbonate_meq_l, 1, 70)
    return sodium_meq_l - (chloride_meq_l + bicarbonate_meq_l)


def albumin_corrected_anion_gap_meq_l(anion_gap_meq_l: float, albumin_g_dl: float) -> float:
    """Anion gap in mEq/L as it would be at an albumin of 4 g/dL: gap + 2.5 * (4 - albumin).

    Source: Figge et al., Crit Care Med 1998;26:1807-1810 (2.5 mEq/L for each g/dL).
    """
    _check("anion_gap_meq_l", anion_gap_meq_l, -40, 80)
    _check("albumin_g_dl", albumin_g_dl, 0.5, 7)
    return anion_gap_meq_l + 2.5 * (4.0 - albumin_g_dl)


def corrected_calcium_mg_dl(calcium_mg_dl: float, albumin_g_dl: float) -> float:
    """Calcium in mg/dL as it would be at an albumin of 4 g/dL: calcium + 0.8 * (4 - albumin).

    Source: Payne et al., BMJ 1973;4:643-646, in the usual American form.
    """
    _check("calcium_mg_dl", calcium_mg_dl, 2, 25)
    _check("albumin_g_dl", albumin_g_dl, 0.5, 7)
    return calcium_mg_dl + 0.8 * (4.0 - albumin_g_dl)


def body_mass_index_kg_m2(weight_kg: float, height_cm: float) -> float:
    """Weight by the square of the height, in kg/m². Source: WHO Technical Report Series 894 (2000)."""
    _check("weight_kg", weight_kg, 1, 650)
    _check("height_cm", height_cm, 30, 280)
    return weight_kg / (height_cm / 100) ** 2


def a_a_gradient_mmhg(
    inspired_oxygen: float,
    arterial_oxygen_mmhg: float,
    arterial_co2_mmhg: float,
    *,
    pressure_mmhg: float = 760.0,
    respiratory_quotient: float = 0.8,
) -> float:
    """Alveolar less arterial oxygen in mmHg: FiO2 * (pressure - 47) - PaCO2 / RQ - PaO2.

    inspired_oxygen: as a share, 0.21 for room air. Source: the alveolar gas equation, Fenn, Rahn and Otis,
    Am J Physiol 1946;146:637-653.
    """
    _check("inspired_oxygen", inspired_oxygen, 0.1, 1)
    _check("arterial_oxygen_mmhg", arterial_oxygen_mmhg, 10, 700)
    _check("arterial_co2_mmhg", arterial_co2_mmhg, 5, 200)
    _check("pressure_mmhg", pressure_mmhg, 200, 850)
    _check("respiratory_quotient", respiratory_quotient, 0.6, 1.2)
    alveolar = inspired_oxygen * (pressure_mmhg - WATER_VAPOUR_MMHG) - arterial_co2_mmhg / respiratory_quotient
    return alveolar - arterial_oxygen_mmhg


def mean_arterial_pressure_mmhg(systolic_mmhg: float, diastolic_mmhg: float) -> float:
    """Mean arterial pressure in mmHg: the diastolic and a third of the difference.

    Source: Guyton and Hall, Textbook of Medical Physiology (chapter on vascular distensibility). Raises InvalidInput
    also when the diastolic is above the systolic.
    """
    _check("systolic_mmhg", systolic_mmhg, 30, 320)
    _check("diastolic_mmhg", diastolic_mmhg, 10, 220)
    if diastolic_mmhg > systolic_mmhg:
        raise InvalidInput("diastolic_mmhg is above systolic_mmhg; exchange the two.")
    return diastolic_mmhg + (systolic_mmhg - diastolic_mmhg) / 3


def maintenance_fluid_ml_h(weight_kg: float) -> float:
    """Maintenance fluid in mL/h: 4 for each of the first 10 kg, 2 for each of the next 10, 1 for each above.

    Source: Holliday and Segar, Pediatrics 1957;19:823-832, in its hourly form ("4-2-1").
    """
    _check("weight_kg", weight_kg, 0.5, 300)
    return 4 * min(weight_kg, 10) + 2 * min(max(weight_kg - 10, 0), 10) + max(weight_kg - 20, 0)


def weight_based_dose_mg(weight_kg: float, dose_mg_kg: float, most_mg: float | None = None) -> float:
    """A dose in mg: weight * dose, and not above `most_mg`.

    Source: definition. Raises InvalidInput also for a limit that is not above 0.
    """
    _check("weight_kg", weight_kg, 0.3, 400)
    _check("dose_mg_kg", dose_mg_kg, 1e-6, 1000)
    if most_mg is not None and not most_mg > 0:
        raise InvalidInput("most_mg must be above 0.")
    dose = weight_kg * dose_mg_kg
    return dose if most_mg is None else min(dose, most_mg)


def infusion_rate_ml_h(dose_mcg_kg_min: float, weight_kg: float, concentration_mg_ml: float) -> float:
    """Rate of an infusion in mL/h: dose * weight * 60 minutes / (concentration in µg/mL). Source: definition."""
    _check("dose_mcg_kg_min", dose_mcg_kg_min, 1e-4, 1000)
    _check("weight_kg", weight_kg, 0.3, 400)
    _check("concentration_mg_ml", concentration_mg_ml, 1e-4, 500)
    return dose_mcg_kg_min * weight_kg * 60 / (concentration_mg_ml * 1000)


# Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokeRisk:
    """What CHA2DS2-VASc counts beside age and sex."""

    heart_failure: bool = False
    hypertension: bool = False
    diabetes: bool = False
    stroke_tia_or_embolism: bool = False
    vascular_disease: bool = False


def cha2ds2_vasc(age_years: float, sex: Sex, risk: StrokeRisk) -> int:
    """CHA2DS2-VASc, 0 to 9: 2 for 75 years and above and for stroke, 1 for each of the others, 65 to 74 and women.

    Source: Lip et al., Chest 2010;137:263-272.
    """
    _check("age_years", age_years, 18, 120)
    by_age = 2 if age_years >= 75 else 1 if age_years >= 65 else 0
    ones = risk.heart_failure + risk.hypertension + risk.diabetes + risk.vascular_disease + _is_female(sex)
    return by_age + ones + 2 * risk.stroke_tia_or_embolism


@dataclass(frozen=True, slots=True, kw_only=True)
class WellsDvt:
    """What Wells' score for deep vein thrombosis asks."""

    active_cancer: bool = False
    paralysis_or_cast: bool = False
    bedridden_or_surgery: bool = False
    tenderness_along_veins: bool = False
    whole_leg_swollen: bool = False
    calf_over_3_cm_larger: bool = False
    pitting_edema: bool = False
    collateral_veins: bool = False
    previous_dvt: bool = False
    alternative_as_likely: bool = False


def wells_dvt(signs: WellsDvt) -> int:
    """Wells' score for deep vein thrombosis, -2 to 9: 1 for each, -2 for an alternative at least as likely.

    From 2 points on it is likely. Source: Wells et al., N Engl J Med 2003;349:1227-1235.
    """
    present = sum(getattr(signs, field.name) for field in fields(signs))
    return present - 3 * signs.alternative_as_likely


@dataclass(frozen=True, slots=True, kw_only=True)
class WellsPe:
    """What Wells' score for pulmonary embolism asks."""

    signs_of_dvt: bool = False
    pe_most_likely: bool = False
    heart_rate_over_100: bool = False
    immobile_or_surgery: bool = False
    previous_pe_or_dvt: bool = False
    hemoptysis: bool = False
    cancer: bool = False


def wells_pe(signs: WellsPe) -> float:
    """Wells' score for pulmonary embolism, 0 to 12.5: 3, 3, 1.5, 1.5, 1.5, 1 and 1.

    Above 4 it is likely. Source: Wells et al., Thromb Haemost 2000;83:416-420.
    """
    threes = signs.signs_of_dvt + signs.pe_most_likely
    halves = signs.heart_rate_over_100 + signs.immobile_or_surgery + signs.previous_pe_or_dvt
    return 3.0 * threes + 1.5 * halves + signs.hemoptysis + signs.cancer


def meld(bilirubin_mg_dl: float, inr: float, creatinine_mg_dl: float, *, dialysis: bool = False) -> int:
    """MELD, 6 to 40: 10 * (0.378 ln bilirubin + 1.120 ln INR + 0.957 ln creatinine + 0.643), rounded.

    Values below 1 count as 1, creatinine above 4 and under dialysis (twice in the last week) as 4. Source: Kamath
    et al., Hepatology 2001;33:464-470, with the limits of UNOS.
    """
    return min(round(10 * _meld_tenths(bilirubin_mg_dl, inr, creatinine_mg_dl, dialysis)), 40)


def meld_na(
    bilirubin_mg_dl: float, inr: float, creatinine_mg_dl: float, sodium_meq_l: float, *, dialysis: bool = False
) -> int:
    """MELD-Na, 6 to 40: for a MELD above 11 MELD + 1.32 * (137 - Na) - 0.033 * MELD * (137 - Na), rounded.

    Sodium counts from 125 to 137. Source: OPTN policy 9.1 of January 2016, after Kim et al., N Engl J Med
    2008;359:1018-1026.
    """
    _check("sodium_meq_l", sodium_meq_l, 90, 200)
    first = 10 * round(_meld_tenths(bilirubin_mg_dl, inr, creatinine_mg_dl, dialysis), 1)
    lack = 137 - min(max(sodium_meq_l, 125), 137)
    score = first + 1.32 * lack - 0.033 * first * lack if first > 11 else first
    return min(round(score), 40)


def _meld_tenths(bilirubin_mg_dl: float, inr: float, creatinine_mg_dl: float, dialysis: bool) -> float:
    _check("bilirubin_mg_dl", bilirubin_mg_dl, 0.05, 80)
    _check("inr", inr, 0.5, 20)
    _check("creatinine_mg_dl", creatinine_mg_dl, 0.1, 30)
    creatinine = 4.0 if dialysis else min(max(creatinine_mg_dl, 1), 4)
    return (
        0.378 * math.log(max(bilirubin_mg_dl, 1)) + 1.120 * math.log(max(inr, 1)) + 0.957 * math.log(creatinine) + 0.643
    )


def _check(name: str, value: float, low: float, high: float) -> None:
    """Raises InvalidInput for a value that is none in a living person, NaN among them."""
    if not low <= value <= high:
        raise InvalidInput(f"{name} is {value:g}; it must be from {low:g} to {high:g}. Is it in another unit?")


def _is_female(sex: Sex) -> bool:
    if sex not in ("female", "male"):
        raise InvalidInput(f"sex is {sex!r}; it must be 'female' or 'male'.")
    return sex == "female"
