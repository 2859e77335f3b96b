"""Key terms: what counts as the same term, what as its denial, and the figures made of them."""

import pytest

from evaluation.metrics import Answer, Tools, metrics
from evaluation.spelling import spelling_key
from evaluation.terms import compared, key_terms_of, terms_in
from evaluation.vocabulary import Vocabulary, general_vocabulary, vocabulary_of
from medchat.knowledge import Knowledge, load_knowledge
from medchat.records import Example

NAMES = ("key_term_precision", "key_term_recall", "key_term_f1", "key_term_contradictions")
SMALL = Vocabulary({
    "fever": ["pyrexia", "high temperature"],
    "cough": [],
    "chest pain": ["pain in the chest", "CP"],
    "myocardial infarction": ["heart attack", "MI"],
    "rash": [],
})  # fmt: skip


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def names(text: str) -> list[tuple[str, bool]]:
    return [(term.name, term.negated) for term in SMALL.find(text)]


# spelling


@pytest.mark.parametrize(
    "words",
    [
        "anaemia Anemia anaemias", "oedema edema", "diarrhoea diarrhea", "haemorrhages hemorrhage", "tumours tumor",
        "oesophagus esophagus", "paediatric pediatric", "headache headaches", "diagnosis diagnoses", "disease diseases",
        "metastasis metastases", "thrombus thrombi", "nucleus nuclei", "bacterium bacteria", "vertebra vertebrae",
        "biopsy biopsies", "abscess abscesses", "rash rashes", "virus viruses", "bruise bruises", "litre liters",
        "hospitalised hospitalized", "Crohn's Crohn Crohn\u2019s", "leucocytes leukocyte", "hours hour",
    ],
)  # fmt: skip
def test_spellings_of_one_word_are_the_same(words: str) -> None:
    assert len({spelling_key(word) for word in words.split()}) == 1


@pytest.mark.parametrize(
    "words",
    [
        "pneumonia pneumoniae", "influenza influenzae", "organ organization", "mucus mucous", "ileum ilium",
        "hypotension hypertension", "dysphagia dysphasia", "sciatica sciatic", "magnesia magnesium", "care car",
        "retina retin", "vomitus vomit", "infected infection",
    ],
)  # fmt: skip
def test_different_words_stay_different(words: str) -> None:
    assert len({spelling_key(word) for word in words.split()}) == 2


# terms in a text


def test_a_term_is_found_with_its_place_and_sense() -> None:
    text = "He has chest pain, but no fever."
    assert [(t.name, t.negated, text[t.start : t.end]) for t in terms_in(text, ["Chest pains", "fever", "cough"])] == [
        ("Chest pains", False, "chest pain"),
        ("fever", True, "fever"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Chest-pain and PYREXIA.", [("chest pain", False), ("fever", False)]),
        ("Pain in her chest", [("chest pain", False)]),
        ("He denies chest pains or rashes.", [("chest pain", True), ("rash", True)]),
        ("No evidence of a heart attack.", [("myocardial infarction", True)]),
        ("Without fever; coughs", [("fever", True), ("cough", False)]),
        ("MI is likely", [("myocardial infarction", False)]),
        ("a distance of one mi", []),  # an abbreviation only counts in capital letters
        ("feverish chestpain", []),
        ("", []),
    ],
)
def test_wordings_spellings_and_denials(text: str, found: list[tuple[str, bool]]) -> None:
    assert names(text) == found


def test_the_longest_wording_counts() -> None:
    words = Vocabulary({"pain": [], "chest pain": []})
    assert [term.name for term in words.find("Chest pain. Pain.")] == ["chest pain", "pain"]


def test_terms_of_ones_own_go_before_those_of_the_base_and_share_their_names() -> None:
    own = Vocabulary({"heart attack": (), "high": ()}, base=SMALL)
    # "high temperature" is a wording of the base, but "high" is asked for
    assert [term.name for term in own.find("A heart attack with high temperature, and rash.")] == [
        "myocardial infarction", "high", "rash",
    ]  # fmt: skip


def test_the_knowledge_names_findings_and_conditions(knowledge: Knowledge) -> None:
    found = {t.name.lower(): t.negated for t in vocabulary_of(knowledge).find("A heart attack. She has no pyrexia.")}
    assert found == {"myocardial infarction": False, "fever": True}


def test_the_general_vocabulary_knows_what_the_knowledge_does_not() -> None:
    general = general_vocabulary()
    assert len(general) > 10_000
    found = [
        term.name for term in general.find("Sarcoidosis, Whipple's disease and Anemia: give acetaminophen, ramipril.")
    ]
    assert found == ["Sarcoidosis", "Whipple's disease", "Anemia", "paracetamol", "ramipril"]
    assert not general.find(
        "As well as the other things that you said, this fits: high cholesterol is a person's fate."
    )


# figures


def scores(example: Example, solution: str, knowledge: Knowledge) -> dict[str, float | None]:
    tools = Tools(grounder=None, knowledge=knowledge)  # type: ignore[arg-type]
    chosen = metrics(NAMES, tools)
    return {name.removeprefix("key_term_"): metric([example], [Answer(solution)])[0] for name, metric in chosen.items()}


CASE = Example("What fits?", "Fever and cough fit, no chest pain.", key_terms=("fever", "rash", "no chest pain"))


def test_precision_recall_and_f1_by_hand(knowledge: Knowledge) -> None:
    # reference: fever, cough, chest pain (denied), and rash, which only the list has: 4 terms
    # answer: fever (matched), chest pain (affirmed: contradicted), headache (added): 3 terms
    # precision 1/3, recall 1/4, F1 = 2 * 1 / (3 + 4)
    assert scores(CASE, "Fevers with chest pain and headaches.", knowledge) == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 4, "f1": 2 / 7, "contradictions": 1.0}
    )


def test_all_terms_in_the_same_sense_are_a_full_match(knowledge: Knowledge) -> None:
    # synonyms count: pyrexia is fever
    assert scores(CASE, "Pyrexia, coughs and rashes without chest pain.", knowledge) == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "contradictions": 0.0,
    }  # fmt: skip


def test_what_is_denied_is_no_match(knowledge: Knowledge) -> None:
    # fever, cough and rash denied: 3 contradictions, the denied chest pain is not mentioned
    assert scores(CASE, "There is no fever, cough or rash.", knowledge) == {
        "precision": 0.0, "recall": 0.0, "f1": 0.0, "contradictions": 3.0,
    }  # fmt: skip


def test_a_term_in_both_senses_contradicts_nothing(knowledge: Knowledge) -> None:
    told = scores(Example("Q?", "fever"), "No fever at first. Fever later.", knowledge)
    assert (told["f1"], told["contradictions"]) == (1.0, 0.0)


def test_an_answer_without_terms(knowledge: Knowledge) -> None:
    # blank is wrong; one that says something else has no precision to speak of
    assert scores(CASE, " ", knowledge) == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "contradictions": 0.0}
    assert scores(CASE, "I cannot say.", knowledge) == {
        "precision": None, "recall": 0.0, "f1": 0.0, "contradictions": 0.0,
    }  # fmt: skip


def test_without_terms_in_the_reference_nothing_is_scored(knowledge: Knowledge) -> None:
    assert set(scores(Example("Q?", "Because of that."), "fever", knowledge).values()) == {None}
    assert set(scores(Example("Q?", None), "fever", knowledge).values()) == {None}
    tools = Tools(grounder=None, knowledge=knowledge)  # type: ignore[arg-type]
    assert metrics(NAMES[:1], tools)["key_term_precision"]([CASE], [None]) == [None]


def test_a_diagnosis_is_a_term_with_its_accepted_forms() -> None:
    odd = Example("Which disease?", "Glorp syndrome", kind="diagnosis", accepted=("Blarg's disease",))
    terms = compared(odd, "Blarg disease it is, no fever.", SMALL)
    assert terms is not None
    assert (set(terms.matched), set(terms.added), set(terms.missed)) == ({"Glorp syndrome"}, {"fever"}, set())
    outside = Example("Which?", "outside my knowledge", kind="diagnosis", meta={"condition": None})
    assert key_terms_of(outside, SMALL)[1] == {}


def test_a_long_answer_takes_no_long_time(knowledge: Knowledge) -> None:
    text = "He has no fever but a cough. " * 2000  # 58,000 characters
    assert len(vocabulary_of(knowledge).find(text)) == 4000
