"""Masked names: every spelling of a model's name is hidden, and what is no name stays."""

from pathlib import Path

import pytest
from panels import model

from medchat.catalogue import Catalogue, Endpoint, HubSource
from medchat.masking import GrowingMask, Masker, masker_for

MASKER = masker_for(Catalogue(Path("nowhere")).values())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("As Gemma, I would treat.", "As [model], I would treat."),
        ("I am GEMMA_3_1b-it.", "I am [model]."),
        ("gemma3 says", "[model] says"),
        ("**Gemma** 3 1B is small", "**[model] is small"),
        ("the MedChat  Demo (base) knows", "the [model] knows"),
        ("medchat-demo", "[model]"),
        ("Llama-3.2 3B Instruct says so. 3 days", "[model] says so. 3 days"),
        ("a Llama. 3 days of fever", "a [model]. 3 days of fever"),
        ("BioMistral7B, MedAlpaca and OpenBioLLM 8B", "[model], [model] and [model]"),
        ("ChatGPT or GPT-4o", "[model] or [model]"),
        ("made by Google DeepMind", "made by [model] [model]"),
        ("Qwen2.5-7B-Instruct.", "[model]."),
        ("HuatuoGPT-o1 8B", "[model]"),
        ("As Meditron, I say", "As [model], I say"),
        ("As Zorkmed, an AI model", "As [model], an AI model"),
        ("I'm Zork-9, a model by Blue Labs.", "I'm [model], a model by [model]."),
        ("I am Zorkmed.", "I am [model]."),
        ("I was developed by Zorkworks", "I was developed by [model]"),
        ("made by Meta AI", "made by [model]"),
        ("Cohere Command, Command R+, Granite 3.1 8B, Falcon-40B", "[model], [model], [model], [model]"),
        ("Med-PaLM, Med-PaLM 2, PaLM 2, GLM-4, o3-mini", "[model], [model], [model], [model], [model]"),
        ("DeepSeek-R1 and GPT-4", "[model] and [model]"),
        ("Claude 3 Opus, Gemini 2.5 Pro, TinyLlama, llama-2 7B", "[model], [model], [model], [model]"),
    ],
)
def test_names_of_models_families_and_makers_are_masked_in_every_spelling(text: str, masked: str) -> None:
    assert MASKER.mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "A meta-analysis of SGPT 45 U/L and GPT 40 U/L.",
        "Demographic data and the phi angle; 3 mg of a large base excess, mini mental test.",
        "Medical reasoning: symptom diagnosis, chain of thought, gamma-GT 60.",
        "GPT 4 times the upper limit, GPT 3.5 ULN, GOT 5.",
        "Se llama al cirujano. Llama la atención la palidez. Llamada urgente, la llamativa ictericia.",
        "Claude's syndrome; Claude Bernard-Horner; a Falcon in the arms; V. a. Gemini, 12. Woche.",
        "Phi 3 angle of 40 degrees; a demo of the sign; palm 2 cm wide; granite 3 cm; these findings cohere.",
        "IBM is a myositis. La gemma epatica. Criteria developed by Alvarado. As Crohn, so colitis. I am HIV positive.",
        "Le mistral souffle, toux; laine d'alpaca; commande 2 comprimés; Befund: GPT 2-fach erhöht.",
    ],
)
def test_clinical_words_are_left_alone(text: str) -> None:
    assert MASKER.mask(text) == text


def test_nothing_of_the_cases_that_come_with_medchat_is_masked() -> None:
    files = [*Path("assets/suites").glob("*.jsonl"), *Path("assets/knowledge").glob("*.yaml")]
    assert len(files) > 15
    for path in files:
        text = path.read_text()
        assert MASKER.mask(text) == text, path


def test_the_names_of_an_own_model_and_of_what_it_was_made_from_are_masked() -> None:
    mine = model(
        "ward-7", name="Ward Helper (2026)", base="acme/heal-9b", hub=HubSource("someone/heal-tuned"),
        endpoint=Endpoint("https://example.org/v1", "acme/heal-xl"),
    )  # fmt: skip
    masker = masker_for([mine])

    said = masker.mask("WARD 7, ward helper, Heal-9B, heal tuned, HealXL; but the ward heals.")

    assert said == "[model], [model], [model], [model], [model]; but the ward heals."


def test_a_name_that_arrives_in_pieces_is_never_seen_and_nothing_shown_is_taken_back() -> None:
    text = (
        "I think, as Gemma 3 1B it, that **Llama** 3.2 is no demographic demo; Medical GRPO (base). Qwen3.5 4B by Zork"
    )
    for pieces in (1, 3, 7):
        growing, before = GrowingMask(MASKER), ""
        for end in range(0, len(text), pieces):
            shown = growing.show(text[:end], whole=False)
            assert shown.startswith(before)
            assert shown == GrowingMask(MASKER).show(text[:end], whole=False), "it does not matter how it came"
            before = shown
        assert growing.show(text, whole=True) == MASKER.mask(text)
    assert MASKER.mask(text) == (
        "I think, as [model], that **[model] is no demographic demo; Medical GRPO (base). [model] by Zork"
    )


def test_the_beginning_of_a_name_waits_for_what_follows() -> None:
    masker = Masker(["blue heron"])

    assert GrowingMask(masker).show("Seen: blue", whole=False) == "Seen: "
    assert GrowingMask(masker).show("Seen: blue her", whole=False) == "Seen: "
    assert GrowingMask(masker).show("Seen: blue lips.", whole=False) == "Seen: blue lips."
    assert GrowingMask(masker).show("Seen: blue", whole=True) == "Seen: blue"


def test_a_text_that_a_later_mark_moved_away_is_masked_anew() -> None:
    growing = GrowingMask(Masker(["heron"]))
    growing.show("The heron says so.", whole=False)

    assert growing.show("A heron again. ", whole=False) == "A [model] again. "
