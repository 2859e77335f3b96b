"""Language hints: questions in other languages get one, English ones full of Latin and drug names none."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from medchat import language
from medchat.catalogue import ModelSpec
from medchat.language import LANGUAGES, hint, language_name
from medchat.records import Sampling
from medchat.settings import ASSETS


def model(*languages: str) -> ModelSpec:
    return ModelSpec(
        "demo", "Demo", "scripted", "plain", Sampling(), 4096, "", "", (), path=Path("demo.gguf"), languages=languages
    )


ENGLISH = model("en")
GERMAN = (
    "Ein 64-jähriger Mann klagt seit zwei Stunden über drückende Schmerzen in der Brust, die in den linken Arm"
    " ausstrahlen. Was ist die wahrscheinlichste Diagnose?"
)

FOREIGN = [
    ("German", GERMAN),
    (
        "German",
        "72-jährige Patientin mit Dyspnoe, Beinödemen und Orthopnoe. Welche Therapie mit Furosemid und Ramipril?",
    ),
    ("German", "Kind, 3 Jahre, Fieber seit gestern, Ohrenschmerzen rechts."),
    ("German", "65 J, w, AP-Beschwerden, Z.n. NSTEMI, ASS und Clopidogrel, jetzt Teerstuhl. Vorgehen?"),
    ("German", GERMAN.upper()),
    (
        "French",
        "Une femme de 45 ans présente depuis trois jours une douleur à la jambe gauche. Quel est le diagnostic ?",
    ),
    ("French", "Homme de 70 ans, dyspnée d'effort, toux grasse, fumeur. Quel traitement?"),
    ("Spanish", "Mujer de 34 años con dolor abdominal en fosa ilíaca derecha, fiebre y vómitos desde ayer."),
    ("Spanish", "Varon de 50 anos con dolor toracico opresivo y sudoracion."),
    ("Italian", "Uomo di 58 anni con dolore toracico irradiato al braccio sinistro e sudorazione da due ore."),
    ("Italian", "Paziente di 80 anni con febbre, tosse e dispnea da tre giorni."),
    ("Portuguese", "Mulher de 29 anos com febre, dor ao urinar e dor lombar há dois dias."),
    ("Portuguese", "Homem de 60 anos com falta de ar e tosse há uma semana."),
    ("Chinese", "患者男，56岁，突发胸痛两小时，向左肩放射，伴大汗。最可能的诊断是什么？"),
    ("Chinese", "孩子发烧三天，咳嗽，应该怎么治疗？"),
    ("Japanese", "56歳の男性、2時間前から胸痛があり、左肩に放散しています。"),
    ("Arabic", "مريض عمره ٥٠ عاما يعاني من ألم شديد في الصدر منذ ساعتين مع تعرق. ما هو التشخيص؟"),
    ("Hindi", "45 वर्षीय महिला को तीन दिन से बुखार और खांसी है। सबसे संभावित निदान क्या है?"),
    ("Russian", "Мужчина 60 лет, боль в груди в течение двух часов, потливость. Какой диагноз наиболее вероятен?"),
    ("Dutch", "Een vrouw van 70 jaar met kortademigheid en gezwollen enkels sinds een week."),
    ("Turkish", "55 yaşında erkek hasta, iki saattir göğüs ağrısı ve terleme var. En olası tanı nedir?"),
    ("Polish", "Kobieta lat 45, od trzech dni gorączka i kaszel, duszność przy wysiłku."),
]

LATIN = [
    "Infarctus myocardii acutus, anamnesis: diabetes mellitus, hypertensio arterialis. What next?",
    "Tinea pedis et unguium, treated with terbinafine; now erythema multiforme. Stop the drug?",
    "Amoxicillin, ibuprofen, paracetamol, omeprazole, sertraline, quetiapine - interactions?",
    "Staphylococcus aureus, Escherichia coli, Klebsiella pneumoniae, Pseudomonas aeruginosa: which antibiotic?",
    "Café-au-lait spots, Lisch nodules, neurofibromas: diagnosis?",
    "Sjögren, Behçet, Ménière, Raynaud and Crohn: which cause mouth ulcers?",
    "Rx: Tab. Metoprolol succinate 50 mg OD, Tab. Clopidogrel 75 mg HS, Inj. Enoxaparin 60 mg SC BD.",
    "Guillain-Barré syndrome after Campylobacter jejuni enteritis, areflexia, paresthesia, respiratory failure?",
    "Mr Müller from Köln, 63, chest pain since the morning, his Hausarzt gave him aspirin.",
    "Señora García has a fever and a cough since Monday.",
    "CBC, CMP, LFT, TSH, HbA1c, ECG, CXR, CT abdomen: which first in abdominal pain?",
    "Na 138 K 4.1 Cl 102 HCO3 24 BUN 18 Cr 1.1 Glu 98 Ca 9.2 Mg 2.0 Phos 3.4 AST 24 ALT 30 ALP 88 " * 4,
    "Musculus sternocleidomastoideus, nervus accessorius, arteria carotis interna, vena jugularis. " * 4,
    " ".join(f"word{n}" for n in range(60)),
]


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part)


@pytest.mark.parametrize(("name", "text"), FOREIGN)
def test_a_case_in_another_language_gets_a_hint_that_names_it(name: str, text: str) -> None:
    assert hint(text, ENGLISH) == f"This question looks like {name}; the authors of Demo name only English."


@pytest.mark.parametrize("text", LATIN)
def test_english_with_latin_drug_names_and_foreign_names_gets_none(text: str) -> None:
    assert hint(text, ENGLISH) == ""


@pytest.mark.slow
def test_no_english_case_of_the_project_gets_a_hint() -> None:
    cases = [yaml.safe_load(path.read_text("utf-8")) for path in (ASSETS / "knowledge/cases").glob("*.yaml")]
    lines = [line for path in (ASSETS / "suites").glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    texts = [*texts_in(cases), *(json.loads(line)["question"] for line in lines)]

    assert len(texts) > 2000
    assert [text for text in texts if hint(text, ENGLISH)] == []


@pytest.mark.parametrize("text", ["", "Was ist das für Ausschlag", "Fieber und Husten", "发烧三天", "38.5 120/80 98%"])
def test_a_text_too_short_to_tell_gets_none(text: str) -> None:
    assert hint(text, ENGLISH) == ""


def test_a_language_that_the_authors_name_gets_none() -> None:
    assert hint(GERMAN, model("en", "de")) == ""
    assert hint(GERMAN, model("de")) == ""
    assert hint("Mgonjwa ana homa kali na kikohozi kwa siku tatu, na anapumua kwa shida sana.", model("en", "sw")) == ""


def test_an_english_case_gets_one_where_the_authors_name_other_languages() -> None:
    line = "This question looks like English; the authors of Demo name only Chinese, Japanese and Korean."
    assert hint("A man of 40 with fever and cough for three days. What is it?", model("zh", "ja", "ko")) == line


def test_a_model_whose_authors_name_no_language_gets_none() -> None:
    assert hint(GERMAN, model()) == ""
    assert hint(GERMAN, model("xx")) == ""


def test_every_language_it_may_name_is_one_it_can_tell() -> None:
    known = {code for code, _ in language._identifier().rank("fever")}

    assert set(LANGUAGES) <= known
    assert language_name("de") == "German"
    assert language_name("sw") == "sw"


def test_a_hint_takes_less_than_five_milliseconds() -> None:
    language.load()
    assert language.is_loaded()
    long_case = GERMAN * 140
    took_ms = []
    for _ in range(20):
        began = time.thread_time()  # of this thread alone, whatever else the machine does
        hint(long_case, ENGLISH)
        took_ms.append(1000 * (time.thread_time() - began))

    assert min(took_ms) < 5
