"""Clinical formulas against worked examples, each with its arithmetic."""

import math

import pytest

from evaluation.calculators import (
    StrokeRisk,
    WellsDvt,
    WellsPe,
    a_a_gradient_mmhg,
    adjusted_weight_kg,
    albumin_corrected_anion_gap_meq_l,
    anion_gap_meq_l,
    body_mass_index_kg_m2,
    cha2ds2_vasc,
    corrected_calcium_mg_dl,
    creatinine_clearance_ml_min,
    ideal_weight_kg,
    infusion_rate_ml_h,
    maintenance_fluid_ml_h,
    mean_arterial_pressure_mmhg,
    meld,
    meld_na,
    weight_based_dose_mg,
    wells_dvt,
    wells_pe,
)
from medchat.errors import InvalidInput


def test_creatinine_clearance() -> None:
    # (140 - 60) * 72 / (72 * 1) = 80; * 0.85 = 68
    assert creatinine_clearance_ml_min(60, 72, 1.0, "male") == pytest.approx(80.0)
    assert creatinine_clearance_ml_min(60, 72, 1.0, "female") == pytest.approx(68.0)
    # (140 - 83) * 67.2 / (72 * 1.4) = 3830.4 / 100.8
    assert creatinine_clearance_ml_min(83, 67.2, 1.4, "male") == pytest.approx(38.0)


def test_ideal_and_adjusted_weight() -> None:
    # 70 inches: 50 + 2.3 * 10 = 73; women 45.5 + 23 = 68.5
    assert ideal_weight_kg(177.8, "male") == pytest.approx(73.0)
    assert ideal_weight_kg(177.8, "female") == pytest.approx(68.5)
    # 73 + 0.4 * (123 - 73)
    assert adjusted_weight_kg(123, 177.8, "male") == pytest.approx(93.0)


def test_anion_gap() -> None:
    assert anion_gap_meq_l(140, 104, 24) == 12  # 140 - 128
    # 12 + 2.5 * (4 - 2)
    assert albumin_corrected_anion_gap_meq_l(12, 2.0) == 17.0


def test_corrected_calcium() -> None:
    assert corrected_calcium_mg_dl(8.0, 2.0) == pytest.approx(9.6)  # 8 + 0.8 * 2
    assert corrected_calcium_mg_dl(10.0, 5.0) == pytest.approx(9.2)  # 10 - 0.8


def test_body_mass_index() -> None:
    assert body_mass_index_kg_m2(81, 180) == pytest.approx(25.0)  # 81 / 3.24


def test_a_a_gradient() -> None:
    # 0.21 * (760 - 47) = 149.73; - 40 / 0.8 = 99.73; - 90 = 9.73
    assert a_a_gradient_mmhg(0.21, 90, 40) == pytest.approx(9.73)
    # 0.5 * (630 - 47) = 291.5; - 40 / 1 = 251.5; - 100 = 151.5
    assert a_a_gradient_mmhg(0.5, 100, 40, pressure_mmhg=630, respiratory_quotient=1.0) == pytest.approx(151.5)


def test_mean_arterial_pressure() -> None:
    assert mean_arterial_pressure_mmhg(120, 75) == pytest.approx(90.0)  # 75 + 45 / 3


@pytest.mark.parametrize(
    ("weight_kg", "ml_h"),
    [(5, 20), (10, 40), (15, 50), (20, 60), (30, 70), (91, 131)],  # 4 * 10 + 2 * 10 + (91 - 20)
)
def test_maintenance_fluid(weight_kg: float, ml_h: float) -> None:
    assert maintenance_fluid_ml_h(weight_kg) == ml_h


def test_weight_based_dose() -> None:
    assert weight_based_dose_mg(20, 15) == 300
    assert weight_based_dose_mg(80, 15, most_mg=1000) == 1000  # 1200 is above
    # 5 * 70 * 60 = 21,000 mcg/h; / 4,000 mcg/mL
    assert infusion_rate_ml_h(5, 70, 4) == pytest.approx(5.25)


def test_cha2ds2_vasc() -> None:
    assert cha2ds2_vasc(50, "male", StrokeRisk()) == 0
    assert cha2ds2_vasc(64, "female", StrokeRisk(hypertension=True)) == 2
    assert cha2ds2_vasc(65, "male", StrokeRisk()) == 1
    everything = StrokeRisk(
        heart_failure=True, hypertension=True, diabetes=True, stroke_tia_or_embolism=True, vascular_disease=True
    )
    assert cha2ds2_vasc(75, "female", everything) == 9  # 2 + 1 + 1 + 1 + 1 + 2 + 1


def test_wells_for_deep_vein_thrombosis() -> None:
    assert wells_dvt(WellsDvt()) == 0
    assert wells_dvt(WellsDvt(active_cancer=True, whole_leg_swollen=True)) == 2
    assert wells_dvt(WellsDvt(alternative_as_likely=True)) == -2
    assert wells_dvt(WellsDvt(pitting_edema=True, previous_dvt=True, alternative_as_likely=True)) == 0


def test_wells_for_pulmonary_embolism() -> None:
    assert wells_pe(WellsPe()) == 0
    assert wells_pe(WellsPe(heart_rate_over_100=True, cancer=True)) == 2.5
    # 3 + 3 + 1.5 * 3 + 1 + 1
    assert (
        wells_pe(
            WellsPe(
                signs_of_dvt=True, pe_most_likely=True, heart_rate_over_100=True, immobile_or_surgery=True,
                previous_pe_or_dvt=True, hemoptysis=True, cancer=True,
            )
        )
        == 12.5
    )  # fmt: skip


def test_meld() -> None:
    assert meld(1, 1, 1) == 6  # 10 * 0.643, the logarithms being 0
    assert meld(0.3, 0.9, 0.5) == 6  # below 1 counts as 1
    # bilirubin e^2, INR e, creatinine e^1: 10 * (0.756 + 1.120 + 0.957 + 0.643) = 34.76
    assert meld(math.e**2, math.e, math.e) == 35
    # creatinine 4 under dialysis: 0.957 * ln 4 = 1.327; 10 * (1.327 + 0.643) = 19.7
    assert meld(1, 1, 1.2, dialysis=True) == 20
    assert meld(1, 1, 9) == 20
    assert meld(50, 12, 4) == 40  # 10 * (1.479 + 2.783 + 1.327 + 0.643) = 62


def test_meld_with_sodium() -> None:
    # MELD 20 (tenths: 1.97 -> 2.0); Na 127 lacks 10: 20 + 13.2 - 0.033 * 20 * 10 = 26.6
    assert meld_na(1, 1, 4, 127) == 27
    assert meld_na(1, 1, 4, 140) == 20
    assert meld_na(1, 1, 4, 110) == meld_na(1, 1, 4, 125)
    assert meld_na(1, 1, 1, 125) == 6  # not above 11: sodium does not count


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: creatinine_clearance_ml_min(60, 72, 106, "male"),  # that is in umol/L
        lambda: creatinine_clearance_ml_min(60, 72, 1.0, "M"),  # type: ignore[arg-type]
        lambda: body_mass_index_kg_m2(81, 1.8),  # that is in metres
        lambda: corrected_calcium_mg_dl(2.2, 40),  # that is in mmol/L and g/L
        lambda: a_a_gradient_mmhg(21, 90, 40),  # that is in per cent
        lambda: mean_arterial_pressure_mmhg(70, 110),
        lambda: maintenance_fluid_ml_h(float("nan")),
        lambda: weight_based_dose_mg(20, 15, most_mg=0),
        lambda: meld(float("inf"), 1, 1),
    ],
)
def test_values_that_no_patient_has_are_refused(wrong: object) -> None:
    with pytest.raises(InvalidInput):
        wrong()  # type: ignore[operator]
