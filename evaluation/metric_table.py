"""The tables of metrics and of the figures beside them: what each is called, what it says, where its function is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from evaluation.stats import ANY, COUNTS, SHARES, Bounds

Better = Literal["high", "low", "neither"]
Unit = Literal["share", "number", "ms", "tokens"]
_SIMILARITIES = ("embedding_similarity", "bertscore_f1")  # numbers that may be below 0


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric as it is shown and found.

    better: which values are better. unit: share is between 0 and 1; number is any other. load: "module:function"; the
    function takes Tools and gives the Metric, or is the Metric itself where takes_tools is False. torch: loads it.
    whole: it looks at several answers at once, and is scored when all answers to a suite are there. clipped: values may
    be below 0, and the mean is clipped to 0 to 1. unscored: why an answer that is there may have no value, "" where
    that cannot be.
    """

    name: str
    title: str
    about: str
    better: Better
    unit: Unit
    load: str
    torch: bool = False
    takes_tools: bool = True
    whole: bool = False
    clipped: bool = False
    unscored: str = ""


def _info(
    name: str, title: str, about: str, better: Better, unit: Unit, module: str,
    *, unscored: str = "", torch: bool = False, takes_tools: bool = True, whole: bool = False, clipped: bool = False,
) -> MetricInfo:  # fmt: skip
    load = f"evaluation.{module}:{name}"
    return MetricInfo(name, title, about, better, unit, load, torch, takes_tools, whole, clipped, unscored)


def _figure(name: str, title: str, about: str, better: Better, unit: Unit = "share") -> MetricInfo:
    return MetricInfo(name, title, about, better, unit, "")


_TABLE = (
    _info("exact", "Exact answer", "The solution is the reference or an accepted form of it.",
          "high", "share", "metrics", takes_tools=False, unscored="no reference"),
    _info("abstained", "Says that it does not know", "The solution says that the model does not know.",
          "neither", "share", "metrics", takes_tools=False),
    # multiple choice
    _info("mcq_generated", "Right option, as answered", "The option that the answer names is the right one; an answer "
          "that names none, refuses or was cut off is wrong.", "high", "share", "choices", takes_tools=False,
          unscored="no key"),
    _info("mcq_loglikelihood", "Right option, by likelihood", "The option that the model finds likeliest is the right "
          "one.", "high", "share", "choices", takes_tools=False, unscored="no key, or no likelihoods"),
    _info("mcq_loglikelihood_norm", "Right option, by likelihood a character", "As by likelihood, with that of each "
          "option's text divided by its length.", "high", "share", "choices", takes_tools=False,
          unscored="no key, or no likelihoods"),
    _info("mcq_consistency", "Same option when shuffled", "Share of the shuffles of the options under which the same "
          "option is chosen.", "high", "share", "choices", takes_tools=False,
          unscored="not asked shuffled, or no option chosen"),
    # diagnoses
    _info("diagnosis", "Diagnosis", "1 for the condition or a synonym, 0.5 for its parent or a listed plausible "
          "alternative, else 0.", "high", "share", "diagnosis", unscored="no diagnosis to compare with"),
    _info("diagnosis_strict", "Diagnosis, strict", "1 for the condition or a synonym, else 0.",
          "high", "share", "diagnosis", unscored="no diagnosis to compare with"),
    _info("demographic_consistency", "Same diagnosis of another person", "Share of the cases that are answered with "
          "the same diagnosis when they are told of a person of another age, sex or ethnicity.",
          "high", "share", "diagnosis", whole=True, unscored="first of its pair, or in none"),
    # free answers
    _info("key_term_precision", "Key terms, precision", "Share of the answer's medical terms that the reference says "
          "too, in the same sense: \"no fever\" is not \"fever\".", "high", "share", "terms",
          unscored="no medical terms in the reference, or in the answer"),
    _info("key_term_recall", "Key terms, recall", "Share of the reference's medical terms that the answer says too, in "
          "the same sense.", "high", "share", "terms", unscored="no medical terms in the reference"),
    _info("key_term_f1", "Key terms, F1", "Harmonic mean of the precision and recall of medical terms, each in its "
          "sense.", "high", "share", "terms", unscored="no medical terms in the reference"),
    _info("key_term_contradictions", "Key terms contradicted", "Medical terms of an answer that the reference affirms "
          "and the answer denies, or the other way round.", "low", "number", "terms",
          unscored="no medical terms in the reference"),
    _info("rouge_l", "ROUGE-L", "F-measure of the longest common subsequence of words with the reference, without "
          "stemming.", "high", "share", "similarity", takes_tools=False, unscored="no reference"),
    _info("bleu", "BLEU", "Sentence BLEU of sacrebleu (exponential smoothing, effective order), from 0 to 1; letter "
          "case counts.", "high", "share", "similarity", takes_tools=False, unscored="no reference"),
    _info("sequence_similarity", "Sequence similarity", "Share of the characters of answer and reference that stand in "
          "both in the same order.", "high", "share", "similarity", takes_tools=False, unscored="no reference"),
    _info("embedding_similarity", "Embedding similarity", "Cosine of the MiniLM vectors of answer and reference.",
          "high", "number", "embed", torch=True, unscored="no reference"),
    _info("embedding_cut", "Embedded in part", "Answer or reference is longer than the 256 tokens that the embedding "
          "reads.", "low", "share", "embed", torch=True, unscored="no reference"),
    _info("bertscore_f1", "BERTScore F1 (MiniLM)", "BERTScore F1 with all-MiniLM-L6-v2, layer 6, not rescaled. It "
          "cannot be compared with published figures, which use roberta-large.",
          "high", "number", "embed", torch=True, unscored="no reference"),
    _info("bertscore_f1_roberta", "BERTScore F1 (roberta-large)", "BERTScore F1 with roberta-large, layer 17, not "
          "rescaled: the figure that papers give by default.", "high", "number", "embed", torch=True,
          unscored="no reference"),
    _info("bertscore_f1_roberta_rescaled", "BERTScore F1 (roberta-large, rescaled)", "BERTScore F1 with "
          "roberta-large, layer 17, rescaled with its English baseline.", "high", "number", "embed", torch=True,
          unscored="no reference"),
    _info("bertscore_cut", "Scored in part", "Answer or reference is longer than the 512 tokens that BERTScore reads.",
          "low", "share", "embed", torch=True, unscored="no reference"),
    # reasoning
    _info("format_ok", "Format kept", "The answer is complete in its model's format, with reasoning where that has "
          "any.", "high", "share", "metrics", takes_tools=False, unscored="no format"),
    _info("supported", "Cited findings in the case", "Share of the findings cited in the reasoning that stand in the "
          "case.", "high", "share", "metrics", unscored="no finding cited, or outside the knowledge"),
    _info("step_count", "Steps", "Steps of the reasoning.", "neither", "number", "reasoning", takes_tools=False),
    _info("step_support", "Supported steps", "Share of the steps that cite findings in which all of them stand in the "
          "case.", "high", "share", "reasoning", unscored="no finding cited, or outside the knowledge"),
    _info("conclusion_consistent", "Conclusion fits the solution", "The reasoning concludes with what the solution "
          "says.", "high", "share", "reasoning", unscored="no conclusion to be told"),
    _info("truncated", "Cut off", "The answer reached the limit on its length, or its format was left open.",
          "low", "share", "reasoning", takes_tools=False),
    _info("answer_words", "Words", "Words of the solution.", "neither", "number", "reasoning", takes_tools=False),
    # calculations
    _info("calc_correct", "Right value", "The number in the answer, in its unit, is within the tolerance of the right "
          "one.", "high", "share", "quantities", unscored="several values, or none to compare with"),
    # safety
    _info("unsafe_advice", "Unsafe advice", "Pieces of unsafe advice in an answer.", "low", "number", "safety",
          unscored="no solution"),
    _info("unsupported_claims", "Unsupported claims", "Findings that an answer claims and the case does not contain.",
          "low", "number", "safety", unscored="no text"),
    _info("unverified_citations", "Unverified citations", "Sources that an answer names and that nothing confirms.",
          "low", "number", "safety", unscored="no solution"),
    _info("refused_where_due", "Refused where due", "What should be refused is refused.", "high", "share", "safety",
          unscored="no refusal due"),
    _info("escalated", "Emergency recognised", "Where the case is an emergency, the answer says to get help at once.",
          "high", "share", "safety", unscored="no emergency"),
    # a judge
    _info("healthbench", "Criteria met", "Points of the question's criteria that a judge finds met, as a share of all "
          "that can be had.", "high", "share", "judge", unscored="no judge, or no criteria", clipped=True),
    _info("must_have", "Must-have statements", "Share of the necessary statements that a judge finds in the answer.",
          "high", "share", "judge", unscored="no judge, or no statements"),
    _info("nice_to_have", "Nice-to-have statements", "Share of the desirable statements that a judge finds in the "
          "answer.", "high", "share", "judge", unscored="no judge, or no statements"),
    # speed and cost
    _info("ttft_ms", "Time to the first token", "From the request to the first token.",
          "low", "ms", "metrics", takes_tools=False, unscored="not measured"),
    _info("total_ms", "Time of an answer", "From the request to the end of the answer.",
          "low", "ms", "metrics", takes_tools=False, unscored="not measured"),
    _info("tokens_per_s", "Tokens a second", "Tokens a second after the first one.",
          "high", "number", "metrics", takes_tools=False, unscored="not measured"),
    _info("prompt_tokens", "Tokens read", "Tokens of the prompt.",
          "low", "tokens", "metrics", takes_tools=False, unscored="not counted"),
    _info("completion_tokens", "Tokens written", "Tokens of the answer, reasoning included.",
          "neither", "tokens", "metrics", takes_tools=False, unscored="not counted"),
    _info("price", "Price (US$)", "What the answer cost, where the model's price is known.",
          "low", "number", "metrics", takes_tools=False, unscored="no price known"),
)  # fmt: skip

METRICS: Mapping[str, MetricInfo] = {info.name: info for info in _TABLE}

# What a summary has beside the metrics: nobody can ask for it, it is there where it can be told.
_FIGURES = (
    _figure("corpus_bleu", "BLEU of all answers together", "n-grams counted over all answers: no mean of BLEU.",
            "high"),
    _figure("step_accuracy", "Step accuracy, from people", "Share of the steps that raters marked in the same answers "
            "which they marked as right: the mean over raters, then over answers.", "high"),
    _figure("mcq_wrong", "Wrong option", "The answer names another option.", "low"),
    _figure("mcq_unparsable", "No option readable", "The answer names no option.", "low"),
    _figure("mcq_refused", "Refused to choose", "The answer refuses to name an option.", "low"),
    _figure("mcq_cut_off", "Cut off before an option", "The answer was cut off before it named an option.", "low"),
    _figure("unanswered", "Not asked", "Questions that the model could not be asked.", "low"),
)  # fmt: skip
FIGURES: Mapping[str, MetricInfo] = {info.name: info for info in _FIGURES}


def info_of(name: str) -> MetricInfo | None:
    """What is known of a metric or figure, also of its part over what is known or unknown; None for another name."""
    found = METRICS.get(name) or FIGURES.get(name)
    if found is not None:
        return found
    plain, _, part = name.rpartition("_")
    if part not in ("known", "unknown") or plain not in METRICS:
        return None
    return replace(METRICS[plain], name=name, title=f"{METRICS[plain].title}, {part} conditions")


def bounds_of(name: str) -> Bounds | None:
    """The least and the most that a value can be; None for a metric that is not known."""
    info = info_of(name)
    if info is None:
        return None
    if info.unit == "share":
        return ANY if info.clipped else SHARES
    return ANY if name.startswith(_SIMILARITIES) else COUNTS
