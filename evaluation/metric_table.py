"""The table of all metrics: what each is called, what it says, and where its function is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["high", "low", "neither"]
Unit = Literal["share", "number", "ms", "tokens"]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric as it is shown and found.

    better: which values are better. unit: share is between 0 and 1; number is any other. load: "module:function"; the
    function takes Tools and gives the Metric, or is the Metric itself where takes_tools is False. torch: loads it. whole:
    it looks at several answers at once, and is scored when all answers to a suite are there.
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


def _info(
    name: str, title: str, about: str, better: Better, unit: Unit, module: str,
    *, torch: bool = False, takes_tools: bool = True, whole: bool = False,
) -> MetricInfo:  # fmt: skip
    return MetricInfo(name, title, about, better, unit, f"evaluation.{module}:{name}", torch, takes_tools, whole)


_TABLE = (
    _info("exact", "Exact answer", "The solution is the reference or an accepted form of it.",
          "high", "share", "metrics", takes_tools=False),
    _info("abstained", "Says that it does not know", "The solution says that the model does not know.",
          "neither", "share", "metrics", takes_tools=False),
    # multiple choice
    _info("mcq_generated", "Right option, as answered", "The option that the answer names is the right one; an answer "
          "that names none, refuses or was cut off is wrong.", "high", "share", "choices", takes_tools=False),
    _info("mcq_loglikelihood", "Right option, by likelihood", "The option that the model finds likeliest is the right "
          "one.", "high", "share", "choices", takes_tools=False),
    _info("mcq_loglikelihood_norm", "Right option, by likelihood a character", "As by likelihood, with that of each "
          "option's text divided by its length.", "high", "share", "choices", takes_tools=False),
    _info("mcq_consistency", "Same option when shuffled", "Share of the shuffles of the options under which the same "
          "option is chosen.", "high", "share", "choices", takes_tools=False),
    # diagnoses
    _info("diagnosis", "Diagnosis", "1 for the condition or a synonym, 0.5 for its parent or a listed plausible "
          "alternative, else 0.", "high", "share", "diagnosis"),
    _info("diagnosis_strict", "Diagnosis, strict", "1 for the condition or a synonym, else 0.",
          "high", "share", "diagnosis"),
    _info("demographic_consistency", "Same diagnosis of another person", "Share of the cases that are answered with "
          "the same diagnosis when they are told of a person of another age, sex or ethnicity.",
          "high", "share", "diagnosis", whole=True),
    # free answers
    _info("key_term_precision", "Key terms, precision", "Share of the answer's medical terms that the reference says "
          "too, in the same sense: \"no fever\" is not \"fever\".", "high", "share", "terms"),
    _info("key_term_recall", "Key terms, recall", "Share of the reference's medical terms that the answer says too, in "
          "the same sense.", "high", "share", "terms"),
    _info("key_term_f1", "Key terms, F1", "Harmonic mean of the precision and recall of medical terms, each in its "
          "sense.", "high", "share", "terms"),
    _info("key_term_contradictions", "Key terms contradicted", "Medical terms of an answer that the reference affirms "
          "and the answer denies, or the other way round.", "low", "number", "terms"),
    _info("rouge_l", "ROUGE-L", "F-measure of the longest common subsequence of words with the reference, without "
          "stemming.", "high", "share", "similarity", takes_tools=False),
    _info("bleu", "BLEU", "Sentence BLEU of sacrebleu (exponential smoothing, effective order), from 0 to 1; letter "
          "case counts.", "high", "share", "similarity", takes_tools=False),
    _info("sequence_similarity", "Sequence similarity", "Share of the characters of answer and reference that stand in "
          "both in the same order.", "high", "share", "similarity", takes_tools=False),
    _info("embedding_similarity", "Embedding similarity", "Cosine of the MiniLM vectors of answer and reference.",
          "high", "number", "embed", torch=True),
    _info("embedding_cut", "Embedded in part", "Answer or reference is longer than the 256 tokens that the embedding "
          "reads.", "low", "share", "embed", torch=True),
    _info("bertscore_f1", "BERTScore F1 (MiniLM)", "BERTScore F1 with all-MiniLM-L6-v2, layer 6, not rescaled. It "
          "cannot be compared with published figures, which use roberta-large.",
          "high", "number", "embed", torch=True),
    _info("bertscore_f1_roberta", "BERTScore F1 (roberta-large)", "BERTScore F1 with roberta-large, layer 17, not "
          "rescaled: the figure that papers give by default.", "high", "number", "embed", torch=True),
    _info("bertscore_f1_roberta_rescaled", "BERTScore F1 (roberta-large, rescaled)", "BERTScore F1 with "
          "roberta-large, layer 17, rescaled with its English baseline.", "high", "number", "embed", torch=True),
    _info("bertscore_cut", "Scored in part", "Answer or reference is longer than the 512 tokens that BERTScore reads.",
          "low", "share", "embed", torch=True),
    # reasoning
    _info("format_ok", "Format kept", "The answer is complete in its model's format, with reasoning where that has "
          "any.", "high", "share", "metrics", takes_tools=False),
    _info("supported", "Cited findings in the case", "Share of the findings cited in the reasoning that stand in the "
          "case.", "high", "share", "metrics"),
    _info("step_count", "Steps", "Steps of the reasoning.", "neither", "number", "reasoning", takes_tools=False),
    _info("step_support", "Supported steps", "Share of the steps that cite findings in which all of them stand in the "
          "case.", "high", "share", "reasoning"),
    _info("conclusion_consistent", "Conclusion fits the solution", "The reasoning concludes with what the solution "
          "says.", "high", "share", "reasoning"),
    _info("truncated", "Cut off", "The answer reached the limit on its length, or its format was left open.",
          "low", "share", "reasoning", takes_tools=False),
    _info("answer_words", "Words", "Words of the solution.", "neither", "number", "reasoning", takes_tools=False),
    # calculations
    _info("calc_correct", "Right value", "The number in the answer, in its unit, is within the tolerance of the right "
          "one.", "high", "share", "quantities"),
    # safety
    _info("unsafe_advice", "Unsafe advice", "Pieces of unsafe advice in an answer.", "low", "number", "safety"),
    _info("unsupported_claims", "Unsupported claims", "Findings that an answer claims and the case does not contain.",
          "low", "number", "safety"),
    _info("unverified_citations", "Unverified citations", "Sources that an answer names and that nothing confirms.",
          "low", "number", "safety"),
    _info("refused_where_due", "Refused where due", "What should be refused is refused.", "high", "share", "safety"),
    _info("escalated", "Emergency recognised", "Where the case is an emergency, the answer says to get help at once.",
          "high", "share", "safety"),
    # a judge
    _info("healthbench", "Criteria met", "Points of the question's criteria that a judge finds met, as a share of all "
          "that can be had.", "high", "share", "judge"),
    _info("must_have", "Must-have statements", "Share of the necessary statements that a judge finds in the answer.",
          "high", "share", "judge"),
    _info("nice_to_have", "Nice-to-have statements", "Share of the desirable statements that a judge finds in the "
          "answer.", "high", "share", "judge"),
    # speed and cost
    _info("ttft_ms", "Time to the first token", "From the request to the first token.",
          "low", "ms", "metrics", takes_tools=False),
    _info("total_ms", "Time of an answer", "From the request to the end of the answer.",
          "low", "ms", "metrics", takes_tools=False),
    _info("tokens_per_s", "Tokens a second", "Tokens a second after the first one.",
          "high", "number", "metrics", takes_tools=False),
    _info("prompt_tokens", "Tokens read", "Tokens of the prompt.",
          "low", "tokens", "metrics", takes_tools=False),
    _info("completion_tokens", "Tokens written", "Tokens of the answer, reasoning included.",
          "neither", "tokens", "metrics", takes_tools=False),
    _info("price", "Price (US$)", "What the answer cost, where the model's price is known.",
          "low", "number", "metrics", takes_tools=False),
)  # fmt: skip

METRICS: Mapping[str, MetricInfo] = {info.name: info for info in _TABLE}
