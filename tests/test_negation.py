"""Which words of a case are denied."""

import pytest

from medchat.negation import after_cue, negated_spans, without


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("No fever or cough.", [], ["fever", "cough"]),
        ("No fever but a dry cough.", ["dry cough"], ["fever"]),
        (
            "She denies chest pain, palpitations and fainting. She has a rash.",
            ["rash"],
            ["chest pain", "palpitations", "fainting"],
        ),
        ("No fever, he has a headache.", ["headache"], ["fever"]),
        ("Without weight loss; night sweats for weeks.", ["night sweats"], ["weight loss"]),
        ("Troponin negative. Crushing chest pain.", ["chest pain"], ["Troponin"]),
        ("I haven't had any vomiting but my belly hurts.", ["belly hurts"], ["vomiting"]),
        ("There is no history of asthma and his legs are swollen.", ["legs are swollen"], ["asthma"]),
        ("He cannot lie flat at night.", ["cannot lie flat"], []),
        ("She was not short of breath. Her ankles were swollen.", ["ankles"], ["short of breath"]),
        ("Troponin 12, Hb 13.9 and CRP normal.", ["Troponin 12"], ["CRP"]),
        ("Negative for jaundice. Itching all over.", ["Itching"], ["jaundice"]),
        ("There is no evidence of pneumonia. He has asthma.", ["asthma"], ["pneumonia"]),
        ("The findings do not suggest gout. They fit sepsis.", ["sepsis"], ["gout"]),
        ("The rash is not consistent with shingles; it itches.", ["itches"], ["shingles"]),
        ("It cannot be gout. Pseudogout it is.", ["Pseudogout it is"], ["be gout"]),
        ("Most likely cellulitis, not gout.", ["cellulitis"], ["gout"]),
        ("Not only fever but also a cough.", ["fever", "cough"], []),
        ("Neither fever nor cough is present. He has a rash.", ["rash"], ["fever", "cough"]),
        ("This is gout rather than cellulitis.", ["gout"], ["cellulitis"]),
        ("There is nothing to suggest stroke. Migraine fits.", ["Migraine"], ["stroke"]),
        ("Sepsis is very unlikely. Gout explains it.", ["Gout"], ["Sepsis"]),
        ("I have no doubt that it is gout.", ["gout"], []),
        ("She doesn\u2019t have asthma. She wheezes.", ["wheezes"], ["asthma"]),
        ("The film did not show a fracture. The ankle is swollen.", ["ankle"], ["fracture"]),
    ],
)
def test_denied_words_are_found_and_the_others_kept(text: str, kept: list[str], gone: list[str]) -> None:
    left = without(text, negated_spans(text))
    for words in kept:
        assert words in left
    for words in gone:
        assert words not in left


def test_what_stays_keeps_its_place() -> None:
    text = "No fever but a cough."
    assert without(text, negated_spans(text)).index("cough") == text.index("cough")


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("no chest pain", "chest pain"),
        ("Absence of fever", "fever"),
        ("without any rash", "any rash"),
        ("chest pain", None),
        ("no", None),
        ("nocturnal cough", None),
    ],
)
def test_what_a_denying_phrase_denies(text: str, denied: str | None) -> None:
    assert after_cue(text) == denied
