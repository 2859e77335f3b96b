"""The commands that make or change data, each with its form."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from medchat.errors import InvalidInput
from medchat.formats import FORMATS
from medchat.records import SAMPLING_RANGES
from medchat.ui import data_texts
from medchat.ui.data_fields import SEPARATOR, SET, Field, Form, Section, in_labels

COMMANDS = ("prepare", "augment", "distill", "quality")
REFINING = ("augment", "distill", "quality")  # what takes a prepared folder
TITLES = {"prepare": "Prepare", "augment": "Augment", "distill": "Distil", "quality": "Check quality"}
FIRST_TYPED = {"augment": {"kind": "synonyms,split,perturbation"}}  # what needs no model
SEED = Field("seed", "Seed", "the same inputs and seed give the same bytes", "whole", "0",
             high=SAMPLING_RANGES["seed"].high)  # fmt: skip
BUDGET = Field("budget", "Spending limit in USD", "no request is sent that might go over it; empty: none", "number",
               low=0.01, high=1e6)  # fmt: skip
PRICE = Field("price", "Price", "USD for a million tokens, in and out, such as 0.5/1.5; empty: the catalogue’s", "text",
              settle=data_texts.price)  # fmt: skip


@cache
def form_of(command: str) -> Form:
    """The form of a command; those that people do not open are not made."""
    return {"prepare": _prepare, "augment": _augment, "distill": _distil, "quality": _quality}[command]()


def check_together(command: str, given: Mapping[str, str]) -> None:
    """Raises InvalidInput for settings that do not go together. given: those that are not as they come."""
    try:
        _check_together(command, given)
    except InvalidInput as error:
        raise InvalidInput(in_labels(form_of(command), str(error))) from error


def _check_together(command: str, given: Mapping[str, str]) -> None:
    if command == "augment":
        from train.augment_options import options_of

        options_of(given["kind"].split(SEPARATOR), teacher=given.get("teacher", ""))
    elif command == "distill":
        from train import distill_options

        distill_options.check(distill_options.Options(
            kind=next(kind for kind in distill_options.KINDS if kind == given.get("kind", "response")),
            teachers=tuple(given["teacher"].split(SEPARATOR)), per_question=int(given.get("per-question", "0")),
            mix=distill_options.mix_of(given["mix"]) if given.get("mix") else None, judge=given.get("judge", ""),
            reward_model=Path(given["reward-model"]) if given.get("reward-model") else None,
            weak=Path(given["weak"]) if given.get("weak") else None,
        ))  # fmt: skip
    elif command == "prepare":
        if float(given.get("brief-share", "0.5")) in (0, 1):
            raise InvalidInput("Brief answers: give a share between 0 and 1, such as 0.2 or 20%.")
        fields = form_of(command).fields
        for what in ("question", "answer"):
            low, high = fields[f"min-{what}-chars"], fields[f"max-{what}-chars"]
            if int(given.get(low.key, low.default)) > int(given.get(high.key, high.default)):
                raise InvalidInput(f"{low.label} is longer than {high.label.lower()}: no row could have both.")


def _prepare() -> Form:
    return Form(
        TITLES["prepare"],
        "Rows are read, cleaned, checked against the evaluation suites, freed of repeats, split by question, balanced "
        "and shuffled.",
        "Prepare",
        (_splits_and_balance(), _reading(), _coming_out()),
    )


def _splits_and_balance() -> Section:
    return Section("Splits and balance", (
        Field("validation", "Validation", "share of the questions, 0.1 to 0.2 or 10% to 20%; official splits are kept",
              "number", "0.1", low=0.1, high=0.2),
        Field("test", "Test", "share of the questions that is kept back for the end", "number", "0.1", high=0.2),
        Field("balance", "Balance", "knowledge to conversation in percent, such as 75/25, or none", "text", "75/25",
              settle=data_texts.balance),
        Field("brief-share", "Brief answers", "share of brief answers in train; empty: as it comes", "number", high=1),
        Field("limit", "Rows of each source", "reads only the first ones, for a trial; empty: all", "whole", low=1,
              high=1e9),
        Field("most-copies", "Most copies", "how often a row is used at most, for the balance", "whole", "20", low=1,
              high=1000),
        SEED,
    ), is_open=True)  # fmt: skip


def _reading() -> Section:
    def length(key: str, label: str, about: str, default: str, low: int) -> Field:
        return Field(key, label, about, "whole", default, low=low, high=1e6)

    return Section("How rows are made and cleaned", (
        Field("dialogues", "Dialogues", "a row for each reply, or the first pair only, so that long talks don’t weigh "
              "more", "choice", "each", (("each", "each reply, with what was said before"),
                                         ("first", "the first pair only"))),
        Field("choices", "Multiple choice", "with its options, or as a question that the explanation answers", "choice",
              "options", (("options", "with options"), ("explained", "as question and explanation"))),
        Field("abstracts", "Abstract as context", "PubMedQA’s abstracts stand before its questions", "switch"),
        Field("languages", "Languages", "codes such as en,de, or all; rows in others are dropped", "text", "en",
              settle=data_texts.languages),
        length("min-question-chars", "Shortest question", "in characters; shorter ones are dropped", "8", 1),
        length("max-question-chars", "Longest question", "in characters; longer ones are dropped", "8000", 1),
        length("min-answer-chars", "Shortest answer", "in characters, of free questions", "2", 0),
        length("max-answer-chars", "Longest answer", "in characters; rows with longer ones are dropped", "12000", 1),
        length("max-context-chars", "Longest context", "in characters; rows with longer ones are dropped", "40000", 0),
    ))  # fmt: skip


def _coming_out() -> Section:
    formats = (("recipe", "as the recipe has it"), *((name, name) for name in FORMATS))
    return Section("What comes out", (
        Field("template", "Template", "how a row is put to the model; it travels with what is trained", "choice",
              "recipe", (("recipe", "as the recipe has it"), ("instruction", "A: instruction"), ("role", "B: roles"))),
        Field("answer-format", "Answer format", "how reasoning and answer are marked; it travels too", "choice",
              "recipe", formats),
        Field("format", "Files", "CSV and text are for other tools: training and this page read JSONL", "choice",
              "jsonl", (("jsonl", "JSONL"), ("csv", "CSV"), ("text", "text pairs"))),
        Field("frozen", "Reviewed validation rows", "a file that a review froze: its rows stay in validation", "file"),
    ))  # fmt: skip


def _augment() -> Form:
    kinds = (
        ("synonyms", "synonyms from the knowledge base"), ("split", "questions with several parts, split"),
        ("perturbation", "age, sex or setting changed"), ("paraphrase", "paraphrases (teacher)"),
        ("synthetic", "new pairs on rare topics (teacher; always reviewed)"),
    )  # fmt: skip
    return Form(
        TITLES["augment"],
        "More questions out of those that are there. Each keeps its parent’s id and split; what fails a check is "
        "refused and counted.",
        "Augment",
        (Section("What is made", (
            Field("kind", "Kinds", "the first three need no model", "many", "", kinds, required=True),
            Field("teacher", "Teacher", "the model that writes paraphrases and new pairs", "model"),
            Field("per-question", "Children a question", "at most so many of each kind", "whole", "2", low=1, high=10),
            Field("limit", "Rows", "only the first ones get children; empty: all", "whole", low=1, high=1e9),
            BUDGET,
            PRICE,
            Field("topics", "Topics", "a file with one topic a line; empty: conditions that hardly any row names",
                  "file"),
            SEED,
        ), is_open=True),),
    )  # fmt: skip


def _distil() -> Form:
    kinds = (
        ("response", "answers"), ("cot", "reasoning with a final answer"), ("label", "answers to unlabelled questions"),
        ("rank", "ranked answers, as preference pairs"), ("self-instruct", "new questions with answers"),
    )  # fmt: skip
    return Form(
        TITLES["distill"],
        "Teachers answer: unlabelled questions get an answer, others a teacher’s answer or reasoning. Every reply is "
        "kept, so that a repeated run costs nothing.",
        "Distil",
        (
            Section("Who answers, and what", (
                Field("teacher", "Teachers", "several answer each question", "models", required=True),
                Field("kind", "Kind", "what is asked of them", "choice", "response", kinds),
                Field("per-question", "Answers a question", "of each teacher; empty: what the kind needs", "whole",
                      low=1, high=20),
                Field("limit", "Questions", "at most so many are asked; empty: all", "whole", low=1, high=1e9),
                Field("questions", "New questions", "so many, where the kind is new questions", "whole", "20", low=1,
                      high=100_000),
                Field("mix", "Mix", "teachers’ rows to originals in percent, such as 50/50; empty: all", "text",
                      settle=data_texts.mix),
                BUDGET,
                SEED,
            ), is_open=True),
            Section("Style, judge and weak areas", (
                Field("style", "Style", "one for all teachers: doctor, plain, brief, textbook, or your own words",
                      "text", "doctor", settle=data_texts.style),
                Field("judge", "Judge", "the model that ranks answers, for preference pairs", "model"),
                Field("reward-model", "Reward model", "the folder of a classifier that ranks, in place of a judge",
                      "file"),
                Field("weak", "Results of an evaluation", "their folder: a second round on what the student got wrong",
                      "file"),
                Field("weak-share", "Share for the second round", "of the rows, those nearest to what it got wrong",
                      "number", "0.5", low=0.01, high=1),
            )),
            Section("Limits of the servers", (
                PRICE,
                Field("requests-per-minute", "Requests a minute", "of each key; empty: the catalogue’s", "whole", low=1,
                      high=1e6),
                Field("tokens-per-minute", "Tokens a minute", "of each key; empty: the catalogue’s", "whole", low=1,
                      high=1e9),
                Field("at-once", "At once", "requests of each key; empty: the catalogue’s", "whole", low=1, high=1000),
            )),
        ),
    )  # fmt: skip


def _quality() -> Form:
    from train.quality_flags import FLAGS, HELD_FLAGS, Thresholds

    flags = tuple((name, name) for name in FLAGS)
    usual = Thresholds()

    def threshold(name: str, label: str, about: str, high: float = 10_000) -> Field:
        kind = "number" if isinstance(getattr(usual, name), float) else "whole"
        return Field(SET + name, label, about, "number" if kind == "number" else "whole", f"{getattr(usual, name):g}",
                     low=0.01 if kind == "number" else 1, high=high)  # fmt: skip

    return Form(
        TITLES["quality"],
        "Finds refusals, cut or unsupported answers, doubtful doses, citations and identifiers, and draws the sample "
        "that people review: some at random, and every flagged row about doses.",
        "Check quality",
        (
            Section("What people look at", (
                Field("share", "Random sample", "share of the rows that people look at in any case", "number", "0.05",
                      high=1),
                Field("reviewers", "Reviewers a row", "where two differ, a third decides", "choice", "1",
                      (("1", "one"), ("2", "two"))),
                SEED,
                Field("review", "Also to people", "all rows with these flags, beside those about doses", "many", "",
                      flags),
                Field("hold", "Held back", "rows with these are not taught until a reviewer says so", "many",
                      SEPARATOR.join(name for name in FLAGS if name in HELD_FLAGS), flags, none="none"),
            ), is_open=True),
            Section("Thresholds", (
                threshold("hedged_share", "Hedged sentences", "share of an answer’s sentences from which it is flagged",
                          1),
                threshold("hedged_sentences", "At least", "so many of them"),
                threshold("refusal_words", "Longest refusal", "in words; a longer answer is none"),
                threshold("cut_words", "Shortest cut answer", "in words; shorter ones may end as they like"),
                threshold("reasoning_words", "Shortest reasoning", "in words; shorter rationales are remarks"),
                threshold("contradictions", "Contradictions", "terms in opposite senses from which a row is flagged"),
            )),
        ),
    )  # fmt: skip
