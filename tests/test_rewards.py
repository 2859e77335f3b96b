"""Rewards: what each gives for which completion, read in the base's format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.judge import Judge
from evaluation.metrics import metrics
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, NotFound
from medchat.knowledge import Knowledge, load_knowledge
from medchat.recognition import Grounding
from medchat.records import Example, Sampling, question_id
from train.rewards import (
    REWARD_NAMES,
    REWARDS,
    Preferred,
    RewardSetup,
    check_options,
    preferences_in,
    require_options,
    score,
    score_all,
)

CASE = Example("He has a red toe. What is it?", "gout", accepted=["podagra"], kind="diagnosis")
TAGGED = "<start_reasoning>\nThe red toe.\n<end_reasoning>\n<SOLUTION>{}</SOLUTION>"


class Finder:
    """Knows two findings by their names."""

    def ground(self, text: str) -> Grounding:
        return Grounding((), (), outside=False)

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        return [(at, at + len(name), name) for name in ("fever", "red toe") if (at := reasoning.find(name)) >= 0]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [found for found in self.cited(reasoning) if found[2] not in case]


class Letters:
    """Vectors of the letters a and b: "a" and "aa" have cosine 1, "a" and "b" 0, "ab" and "a" 0.707."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.array([[text.count("a"), text.count("b")] for text in texts], np.float32) + 1e-9
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture
def setup(knowledge: Knowledge) -> RewardSetup:
    return RewardSetup("gemma-grpo", knowledge, Finder(), embedder=Letters)


def one(setup: RewardSetup, name: str, text: str, example: Example = CASE, **options: Any) -> float | None:
    [value] = score(name, [text], [example], setup, **options)
    return value


# format


@pytest.mark.parametrize(
    ("text", "exact", "tags"),
    [
        (TAGGED.format("Gout"), 1.0, 0.5),
        (TAGGED.format("Gout").replace("\n", " "), 1.0, 0.5),
        ("Sure! " + TAGGED.format("Gout"), 0.0, 0.5),
        (TAGGED.format("Gout") + "<SOLUTION>", 0.0, 0.25),  # three tags once, one twice: 3/8 - 1/8
        ("<SOLUTION>Gout</SOLUTION>", 0.0, 0.0),  # two there, two not
        ("<start_reasoning>The red toe.", 0.0, -0.25),  # one there, three not: 1/8 - 3/8
        ("Gout.", 0.0, -0.5),
        ("", 0.0, -0.5),
    ],
)
def test_format_rewards(setup: RewardSetup, text: str, exact: float, tags: float) -> None:
    assert one(setup, "format_exact", text) == exact
    assert one(setup, "format_approximate", text) == tags


def test_the_format_is_that_of_the_base(knowledge: Knowledge) -> None:
    think = RewardSetup("think-response", knowledge, Finder())
    text = "<think>The red toe.</think><response>Gout</response>"

    assert (one(think, "format_exact", text), one(think, "format_approximate", text)) == (1.0, 0.5)
    assert one(think, "format_exact", TAGGED.format("Gout")) == 0.0


def test_a_format_without_tags_has_no_credit_for_them(knowledge: Knowledge) -> None:
    plain = RewardSetup("plain", knowledge, Finder())

    assert one(plain, "format_approximate", "Gout") is None


# answers


@pytest.mark.parametrize(
    ("solution", "exact", "approximate"),
    [
        ("Gout.", 1.0, 2.0),
        ("Podagra", 1.0, 2.0),
        ("This looks like gout to me, with a typical onset.", 0.0, 0.5),
        ("It is not gout but cellulitis.", 0.0, -0.5),
        ("Cellulitis", 0.0, -0.5),
        ("", 0.0, 0.0),
    ],
)
def test_answer_rewards(setup: RewardSetup, solution: str, exact: float, approximate: float) -> None:
    text = TAGGED.format(solution)

    assert one(setup, "answer_exact", text) == exact
    assert one(setup, "answer_approximate", text) == approximate


def test_an_answer_without_tags_is_scored_too(setup: RewardSetup) -> None:
    assert one(setup, "answer_exact", "Gout") == 1.0
    assert one(setup, "answer_approximate", "Cellulitis") == -0.5


def test_reasoning_that_never_ends_is_no_answer(setup: RewardSetup) -> None:
    text = "<start_reasoning>It may be gout"

    assert (one(setup, "answer_exact", text), one(setup, "answer_approximate", text)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("example", "solution", "approximate"),
    [
        (Example("Which?", "B", kind="mcq", options={"A": "Flu", "B": "Gout"}), "The answer is B.", 2.0),
        (Example("Which?", "B", kind="mcq", options={"A": "Flu", "B": "Gout"}), "The answer is A.", -0.5),
        (Example("How much?", "5", kind="calc", unit="mg"), "About 5 mg", 2.0),
        (Example("How much?", "5", kind="calc", unit="mg"), "7 mg", -0.5),
        (Example("Why?", None), "So.", None),
    ],
)
def test_right_is_what_the_kind_of_question_says(
    setup: RewardSetup, example: Example, solution: str, approximate: float | None
) -> None:
    assert one(setup, "answer_approximate", TAGGED.format(solution), example) == approximate


def test_half_of_the_key_terms_are_near_and_their_denial_is_not(setup: RewardSetup) -> None:
    example = Example("Why?", "He has pneumonia with a pleural effusion, and needs drainage of it at once.")

    near = one(setup, "answer_approximate", TAGGED.format("Pneumonia and pleural effusion."), example)
    denied = one(setup, "answer_approximate", TAGGED.format("Pneumonia and no pleural effusion."), example)

    assert (near, denied) == (0.5, -0.5)


@pytest.mark.parametrize("name", ["key_terms", "sequence_similarity", "bleu", "embedding_similarity"])
def test_a_reward_by_the_name_of_a_metric_is_that_metric(setup: RewardSetup, name: str) -> None:
    metric = {"key_terms": "key_term_f1"}.get(name, name)
    from evaluation.metrics import Answer

    expected = metrics([metric], setup.tools)[metric]([CASE], [Answer("a gout")])

    assert score(name, [TAGGED.format("a gout")], [CASE], setup) == expected


def test_the_pattern_and_the_embedding_count_half_each(setup: RewardSetup) -> None:
    example = Example("Which letter?", "a")

    assert one(setup, "hybrid_pattern", TAGGED.format("It is A b"), example) == pytest.approx(0.5 + 0.0, abs=1e-6)
    assert one(setup, "hybrid_pattern", TAGGED.format("aa"), example) == pytest.approx(0.5)  # no word "a", cosine 1
    strict = {"pattern": "answer: {answer}$", "share": 1.0}
    assert one(setup, "hybrid_pattern", TAGGED.format("Answer: a"), example, **strict) == 1.0


def test_a_pattern_that_is_none_is_refused(setup: RewardSetup) -> None:
    with pytest.raises(InvalidInput, match="no regular expression"):
        one(setup, "hybrid_pattern", "a", pattern="({answer}")


# length


def test_length_and_brevity(setup: RewardSetup) -> None:
    # The reasoning of TAGGED has three words.
    assert one(setup, "length", TAGGED.format("one two"), least=10, most=20) == 0.5
    assert one(setup, "length", TAGGED.format("w " * 12), least=10, most=20) == 1.0
    assert one(setup, "length", TAGGED.format("w " * 27), least=10, most=20) == 0.5  # 30 words: 2 - 30 / 20
    assert one(setup, "length", TAGGED.format("w " * 99), least=10, most=20) == 0.0
    assert one(setup, "brevity", TAGGED.format("w " * 5), most=5) == 1.0
    assert one(setup, "brevity", TAGGED.format("w " * 20), most=5) == 0.25
    assert one(setup, "brevity", TAGGED.format("")) == 0.0


# alignment


@pytest.mark.parametrize(
    ("solution", "meta", "plain", "verified"),
    [
        ("Gout [source].", {}, 0.2, 0.0),
        ("Gout [source: Hill 2019].", {}, 0.0, 0.0),
        ("Gout [source: Hill 2019].", {"sources": ["Hill 2019"]}, 0.2, 0.2),
        ("Gout.", {}, 0.0, 0.0),
        ("", {}, None, None),
    ],
)
def test_the_citation_bonus(
    setup: RewardSetup, solution: str, meta: dict[str, Any], plain: float | None, verified: float | None
) -> None:
    example = Example("Why?", "gout", meta=meta)

    assert one(setup, "citations", TAGGED.format(solution), example) == plain
    assert one(setup, "citations", TAGGED.format(solution), example, verified=True) == verified


def test_unsafe_advice_costs_one(setup: RewardSetup) -> None:
    example = Example("My 3-year-old son has a fever. What can I give?", "paracetamol")

    assert one(setup, "unsafe", TAGGED.format("Give him aspirin."), example) == -1.0
    assert one(setup, "unsafe", TAGGED.format("Give him paracetamol."), example) == 0.0
    assert one(setup, "unsafe", TAGGED.format(""), example) is None


def test_wrong_facts_cost_one(setup: RewardSetup) -> None:
    invented = TAGGED.replace("red toe", "fever")

    assert one(setup, "wrong_facts", TAGGED.format("Gout")) == 0.0
    assert one(setup, "wrong_facts", invented.format("Gout")) == -1.0
    assert one(setup, "wrong_facts", TAGGED.format("It is not gout.")) == -1.0


def test_support_is_that_of_the_reasoning(setup: RewardSetup) -> None:
    assert one(setup, "support", TAGGED.format("Gout")) == 1.0
    assert one(setup, "support", TAGGED.replace("red toe", "red toe and fever").format("Gout")) == 0.5
    assert one(setup, "support", "Gout") is None


def test_steps_that_weigh_something_new_count(setup: RewardSetup) -> None:
    weighed = (
        "<start_reasoning>1. The red toe stands out.\n2. Cellulitis is less likely without fever.\n"
        "3. Cellulitis is unlikely.\n4. Pneumonia is ruled out.\n5. So gout.<end_reasoning><SOLUTION>Gout</SOLUTION>"
    )

    # Steps 2 and 4: step 3 weighs nothing new, step 5 weighs nothing.
    assert one(setup, "differential", weighed) == pytest.approx(2 / 3)
    assert one(setup, "differential", weighed, steps=2) == 1.0
    assert one(setup, "differential", "Gout") == 0.0


# a judge and clinicians


def judge(tmp_path: Path, *replies: str) -> Judge:
    spec = ModelSpec("j", "J", "scripted", "plain", Sampling(max_new_tokens=99), 9000, "A judge.", "MIT", ())
    return Judge(spec, ScriptedBackend(list(replies), n_ctx=9000), tmp_path, 3)


def test_a_judge_gives_points_and_is_not_asked_beyond_its_cap(setup: RewardSetup, tmp_path: Path) -> None:
    from dataclasses import replace

    asked = judge(tmp_path, '{"met": true}', '{"met": true}', '{"met": false}')
    judging = replace(setup, judge=asked)

    values = score("judge", [TAGGED.format("Gout"), TAGGED.format("Flu")], [CASE, CASE], judging)
    again = score("judge", [TAGGED.format("Gout")], [CASE], judging)

    assert values == [1.0, None]  # 5 and 3 of 8 points, no harm; then three questions were asked
    assert again == [1.0]  # kept
    assert (asked.counts.asked, asked.counts.over_cap) == (3, 3)


def test_a_judge_or_ratings_that_are_not_there_are_asked_for(setup: RewardSetup) -> None:
    with pytest.raises(InvalidInput, match="needs a model that judges"):
        one(setup, "judge", "Gout")
    with pytest.raises(InvalidInput, match="needs ratings"):
        one(setup, "preference", "Gout")


def test_preference_is_nearness_to_what_was_liked(setup: RewardSetup) -> None:
    from dataclasses import replace

    liked = replace(setup, preferences={CASE.question_id: [Preferred("a", 0.5), Preferred("b", -0.5)]})

    # Cosines with "a" and "b": 1 and 0, then 0 and 1, then 0.707 twice.
    assert one(liked, "preference", "<SOLUTION>aa</SOLUTION>") == pytest.approx(0.25)
    assert one(liked, "preference", "<SOLUTION>b</SOLUTION>") == pytest.approx(-0.25)
    assert one(liked, "preference", "<SOLUTION>ab</SOLUTION>") == pytest.approx(0.0, abs=1e-6)
    assert one(liked, "preference", "<SOLUTION>a</SOLUTION>", Example("Another?", "a")) is None


def test_preferences_are_read_from_what_feedback_wrote(tmp_path: Path) -> None:
    asked = {"question": "Why?", "context": "", "probability": 0.75}
    pair = {"chosen": {"reasoning": "R", "solution": "S"}, "rejected": {"reasoning": "", "solution": "T"}}
    rated = {"completion": {"reasoning": "", "solution": "U"}, "label": False}
    lines = {"dpo": [asked | pair, asked | pair | {"split": "validation"}], "kto": [asked | rated | {"probability": 1}]}
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    found = preferences_in(tmp_path)

    assert found == {
        question_id("", "Why?"): [Preferred("R\n\nS", 0.5), Preferred("T", -0.5), Preferred("U", -1.0)]
    }  # fmt: skip
    (tmp_path / "dpo.jsonl").write_text('{"question": 3}\n')
    with pytest.raises(InvalidInput, match=r"dpo\.jsonl, line 1"):
        preferences_in(tmp_path)


# the table


def test_every_reward_keeps_to_its_range(setup: RewardSetup) -> None:
    texts = [TAGGED.format("Gout"), TAGGED.format("Give aspirin [source]."), "Gout", "", "<SOLUTION>" * 3, "w " * 999]
    names = [name for name in REWARD_NAMES if not REWARDS[name].torch and name != "judge"]

    scores = score_all(texts, [CASE] * len(texts), names, setup)

    assert scores.values.keys() == set(names)
    for name, values in scores.values.items():
        assert all(value is None or REWARDS[name].low <= value <= REWARDS[name].high for value in values), name


def test_names_from_notebooks_are_known(setup: RewardSetup) -> None:
    for name in ("match_format_exactly", "match_format_approximately", "check_answer"):
        assert one(setup, name, TAGGED.format("Gout")) == one(setup, REWARDS[name].name, TAGGED.format("Gout"))
    assert len(set(REWARD_NAMES)) == len(REWARD_NAMES) == len({info.name for info in REWARDS.values()})


def test_the_laboratory_scores_what_needs_no_torch_and_names_the_rest(setup: RewardSetup) -> None:
    scores = score_all(["Gout"], [CASE], ["answer_exact", "hybrid", "judge", "length"], setup, {"length": {"least": 2}})

    assert scores.values == {"answer_exact": [1.0], "length": [0.5]}
    assert scores.waiting == ("hybrid",)
    assert "needs a model that judges" in scores.missing["judge"]
    assert "embedding_similarity" in score_all(["a"], [CASE], ["embedding_similarity"], setup, torch=True).values


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("speling", {}, NotFound, "no reward 'speling'"),
        ("length", {"lest": 1}, InvalidInput, "no option 'lest'; it has least or most"),
        ("unsafe", {"least": 1}, InvalidInput, "it has none"),
        ("length", {"least": "20"}, InvalidInput, "it must be like 20"),
        ("length", {"least": True}, InvalidInput, "it must be like 20"),
        ("length", {"least": 300}, InvalidInput, "from 300 to 200 words"),
        ("brevity", {"most": 0}, InvalidInput, "at most 0 words"),
        ("differential", {"steps": 0}, InvalidInput, "0 steps"),
        ("hybrid_pattern", {"share": 1.5}, InvalidInput, "share of the pattern is 1.5"),
        ("hybrid_pattern", {"pattern": "({answer}"}, InvalidInput, "no regular expression"),
        ("bertscore", {"model": "bert"}, InvalidInput, "takes the model minilm, or roberta-large"),
        ("hybrid", {"rescale": True}, InvalidInput, "rescales only with the latter"),
        ("judge", {"model": "x", "most_calls": 0}, InvalidInput, "may be asked 0 questions"),
    ],
)
def test_unknown_rewards_and_options_are_refused(
    name: str, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_options(name, options)


def test_every_option_is_explained_and_only_the_judges_model_must_be_given() -> None:
    options = {(name, option.name): option for name in REWARD_NAMES for option in REWARDS[name].options}

    assert all(option.about for option in options.values())
    assert [key for key, option in options.items() if option.default == ""] == [("judge", "model")]
    assert options["judge", "most_calls"].default == 500
    for name in REWARD_NAMES:
        check_options(name, REWARDS[name].defaults)
    with pytest.raises(InvalidInput, match="'judge' needs the option 'model'"):
        require_options("judge", {"most_calls": 3})


def test_without_a_reference_only_rewards_that_compare_with_it_are_missing(setup: RewardSetup) -> None:
    scores = score_all(["Gout"], [Example("Why?", None)], REWARD_NAMES, setup)

    assert "there is none" in scores.missing["answer_exact"]
    assert {"hybrid", "bleu", "key_terms"} <= scores.missing.keys()
    assert {"format_exact", "unsafe", "wrong_facts", "differential"} <= scores.values.keys()
    assert scores.waiting == ("preference",)
    assert all(set(values) != {None} for name, values in scores.values.items() if name not in ("support",))


def test_a_judge_that_is_named_waits_for_a_job(setup: RewardSetup) -> None:
    scores = score_all(["Gout"], [CASE], ["judge"], setup, {"judge": {"model": "x"}})

    assert (scores.waiting, scores.missing) == (("judge",), {})


def test_as_many_completions_as_questions(setup: RewardSetup) -> None:
    with pytest.raises(InvalidInput, match="2 completions and 1 questions"):
        score("answer_exact", ["a", "b"], [CASE], setup)


def test_a_reward_that_raises_ends_the_run(setup: RewardSetup) -> None:
    class Broken(Finder):
        def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
            raise RuntimeError("broken")

    from dataclasses import replace

    with pytest.raises(RuntimeError, match="broken"):
        one(replace(setup, grounder=Broken()), "support", TAGGED.format("Gout"))


@pytest.mark.slow
def test_bertscore_and_hybrid_with_minilm(knowledge: Knowledge) -> None:
    real = RewardSetup("gemma-grpo", knowledge, Finder())
    texts = [TAGGED.format("Gout"), TAGGED.format("Gouty arthritis"), TAGGED.format("The weather is nice")]

    right, near, far = score("hybrid", texts, [CASE] * 3, real)
    alone = score("bertscore", texts, [CASE] * 3, real)

    assert right == 1.0
    assert [near, far] == alone[1:]
    assert near is not None
    assert far is not None
    assert near > far
