"""The clinical teaching facts: what is in them, and what is said of a broken file."""

import re
from pathlib import Path

import pytest

from medchat.errors import KnowledgeError
from medchat.knowledge import HE, SHE, THEY, I, Knowledge, Person, load_cases, load_knowledge, say

# Two conditions with the fewest findings that the schema takes. Line 1 is `specialty`.
FINDINGS = """specialty: Testing
findings:
"""
FINDING = """  {id}:
    name: {id} sign
    kind: sign
    doctor: ["{id} on examination"]
    triage: ["{id} noted"]
    patient: ["{{He}} has {id}."]
    held_out: ["traces of {id}", "{{His}} {id} is plain."]
"""
CONDITION = """  {id}:
    name: {id} disease
    lay_names: []
    synonyms: []
    ages: [20, 60]
    sexes: any
    onset: acute
    core: [{first}0, {first}1]
    findings: [{first}2, {first}3, {first}4, {first}5, {first}6, {first}7]
    absent: [{second}0]
    alternatives:
      - {{condition: {other}, finding: {second}0, apart: "{other} has {second}0"}}
      - {{condition: {other}, finding: {second}1, apart: "{other} has {second}1"}}
    test: a test
    treatment: a treatment
    mechanism: a mechanism
    definition: a definition
"""
GOOD = (
    FINDINGS
    + "".join(FINDING.format(id=f"{letter}{number}") for letter in "ab" for number in range(8))
    + "conditions:\n"
    + CONDITION.format(id="alpha", other="beta", first="a", second="b")
    + CONDITION.format(id="beta", other="alpha", first="b", second="a")
)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


def line_of(text: str, part: str) -> int:
    """Number of the first line that holds a part of the text."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def error_of(folder: Path, text: str) -> str:
    """What is said of a folder with this one file."""
    (folder / "testing.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(KnowledgeError) as caught:
        load_knowledge(folder)
    return str(caught.value)


def test_there_is_much_to_teach(knowledge: Knowledge) -> None:
    conditions = knowledge.conditions.values()

    assert len(conditions) >= 60
    assert len({condition.specialty for condition in conditions}) >= 10
    assert not [c.id for c in conditions if len(set(c.all_findings)) < 8]


def test_every_finding_is_said_in_many_ways(knowledge: Knowledge) -> None:
    few = {f.id: len(f.wordings) for f in knowledge.findings.values() if len({w.casefold() for w in f.wordings}) < 10}

    assert not few


def test_no_held_out_wording_is_trained_on(knowledge: Knowledge) -> None:
    def plain(wording: str) -> str:
        return " ".join(re.findall(r"[a-z0-9]+", wording.casefold()))

    trained = {plain(wording) for finding in knowledge.findings.values() for wording in finding.wordings}

    leaked = [w for finding in knowledge.findings.values() for w in finding.held_out if plain(w) in trained]

    assert not leaked


def test_every_wording_can_be_said_of_anybody(knowledge: Knowledge) -> None:
    for finding in knowledge.findings.values():
        for wording in (*finding.wordings, *finding.held_out):
            for person in (HE, SHE, THEY, I):
                assert not set("{}") & set(say(wording, person)), wording


def test_every_condition_has_natural_cases(knowledge: Knowledge) -> None:
    cases = load_cases(knowledge)

    assert cases.known.keys() == knowledge.conditions.keys()
    assert cases.filler


@pytest.mark.parametrize("name", ["Myocardial infarction", "HEART ATTACK", "  heart attack "])
def test_a_condition_is_found_by_any_of_its_names(knowledge: Knowledge, name: str) -> None:
    found = knowledge.named(name)

    assert found is not None
    assert "heart attack" in found.all_names


def test_an_unknown_name_is_no_condition(knowledge: Knowledge) -> None:
    assert knowledge.named("hiccups of the moon") is None


def test_a_small_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "testing.yaml").write_text(GOOD, encoding="utf-8")

    knowledge = load_knowledge(tmp_path)

    assert list(knowledge.conditions) == ["alpha", "beta"]
    assert knowledge.conditions["alpha"].specialty == "Testing"
    assert knowledge.conditions["alpha"].all_findings == ("a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7")
    assert knowledge.findings["b3"].wordings == ("b3 sign", "b3 on examination", "b3 noted", "{He} has b3.")


def test_the_digest_follows_the_files(tmp_path: Path) -> None:
    digests = set()
    for text in (GOOD, GOOD + "# a remark\n", GOOD):
        (tmp_path / "testing.yaml").write_text(text, encoding="utf-8")
        digests.add(load_knowledge(tmp_path).digest)

    assert len(digests) == 2


# What is changed in the good file, the text on whose line the error is, and words of the message.
BROKEN = {
    "not YAML": ("kind: sign", "kind: [sign", "a0 on examination", "not valid YAML"),
    "no value of the schema": ("sexes: any", "sexes: most", "sexes: most", "conditions.alpha.sexes"),
    "a key that does not exist": ("onset: acute", "onset: acute\n    colour: red", "colour: red", "colour"),
    "a missing key": ("    test: a test\n", "", "  alpha:", "conditions.alpha.test: Field required"),
    "a finding that does not exist": ("[a2, a3,", "[a2, zebra,", "  alpha:", "unknown finding 'zebra'"),
    "a condition that does not exist": (
        "condition: beta,",
        "condition: gamma,",
        "  alpha:",
        "unknown condition 'gamma'",
    ),
    "a finding named twice": ("[a2, a3,", "[a2, a2,", "  alpha:", "names a finding twice"),
    "too few findings": ("[a2, a3,", "[", "  alpha:", "has 6 findings; at least 8 are needed"),
    "ages the wrong way round": ("[20, 60]", "[60, 20]", "  alpha:", "low below high"),
    "present and absent": ("absent: [b0]", "absent: [a0]", "  alpha:", "telling by its absence"),
    "what does not tell apart": ("finding: b1", "finding: a1", "  alpha:", "does not tell alpha from beta"),
    "a wording of two findings": ("a1 noted", "a0 noted", "  a1:", "is also a wording of a0"),
    "the same in other letter case": ("a1 noted", "A0 Noted", "  a1:", "is also a wording of a0"),
    "held out and trained on": ("traces of a1", "a0 noted", "  a1:", "is also a wording of a0"),
    "an unknown placeholder": ("{He} has a3.", "{Me} has a3.", "  a3:", "unknown placeholder"),
    "too few held out": (', "{His} a0 is plain."', "", "held_out", "findings.a0.held_out"),
}


@pytest.mark.parametrize(("old", "new", "line_with", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_gives_one_line_with_its_place(
    tmp_path: Path, old: str, new: str, line_with: str, words: str
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)

    error = error_of(tmp_path, text)

    assert error.startswith(f"testing.yaml:{line_of(text, line_with)}: ")
    assert words in error
    assert "\n" not in error


def test_a_finding_defined_in_two_files_is_named_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(FINDINGS + FINDING.format(id="a5"), encoding="utf-8")

    error = error_of(tmp_path, GOOD)

    assert error == f"testing.yaml:{line_of(GOOD, '  a5:')}: 'a5' is already defined at again.yaml:3."


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"specialty: \xff\xfe", 1), (b"specialty: T\nfindings: {}\nconditions: {}\n}", 4), (b"", 1), (b"- a\n- b\n", 1)],
)
def test_what_is_no_knowledge_file_is_refused(tmp_path: Path, data: bytes, line: int) -> None:
    (tmp_path / "bad.yaml").write_bytes(data)

    with pytest.raises(KnowledgeError, match=rf"^bad\.yaml:{line}: [^\n]+$"):
        load_knowledge(tmp_path)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="No knowledge files"):
        load_knowledge(tmp_path)


def test_cases_of_an_unknown_condition_are_refused_with_their_line(tmp_path: Path, knowledge: Knowledge) -> None:
    (tmp_path / "some.yaml").write_text("cases:\n  asthma: [wheezing]\n  lycanthropy: [howling]\n", encoding="utf-8")

    with pytest.raises(KnowledgeError, match=r"^some\.yaml:3: .*'lycanthropy'"):
        load_cases(knowledge, tmp_path)


@pytest.mark.parametrize(
    ("wording", "he", "she", "they", "i"),
    [
        ("{He} is burning up.", "He is burning up.", "She is burning up.", "They are burning up.", "I am burning up."),
        ("{He} was sick.", "He was sick.", "She was sick.", "They were sick.", "I was sick."),
        ("{He} has a cough.", "He has a cough.", "She has a cough.", "They have a cough.", "I have a cough."),
        ("{He} doesn't eat.", "He doesn't eat.", "She doesn't eat.", "They don't eat.", "I don't eat."),
        ("{He} feels hot.", "He feels hot.", "She feels hot.", "They feel hot.", "I feel hot."),
        ("{He} catches colds.", "He catches colds.", "She catches colds.", "They catch colds.", "I catch colds."),
        ("{He} carries it.", "He carries it.", "She carries it.", "They carry it.", "I carry it."),
        ("{He} often goes out.", "He often goes out.", "She often goes out.", "They often go out.", "I often go out."),
        ("{He} cannot stand.", "He cannot stand.", "She cannot stand.", "They cannot stand.", "I cannot stand."),
        ("{He} threw up.", "He threw up.", "She threw up.", "They threw up.", "I threw up."),
        (
            "{His} arm hurts {him} when {he} sleeps.",
            "His arm hurts him when he sleeps.",
            "Her arm hurts her when she sleeps.",
            "Their arm hurts them when they sleep.",
            "My arm hurts me when I sleep.",
        ),
        ("chest pain", "chest pain", "chest pain", "chest pain", "chest pain"),
    ],
)
def test_a_wording_is_put_into_a_person_s_mouth(wording: str, he: str, she: str, they: str, i: str) -> None:
    said: dict[Person, str] = {person: say(wording, person) for person in (HE, SHE, THEY, I)}

    assert said == {HE: he, SHE: she, THEY: they, I: i}
