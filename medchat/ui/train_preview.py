"""The preview of training data as HTML: what the ratings give, or the first rows of a prepared folder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medchat.run_state import stage_words
from medchat.ui.common import counted, escape
from medchat.ui.train_data import NO_ROWS, Look
from train.templates import chosen_of

if TYPE_CHECKING:
    from train.feedback import Preview

FILE_WORDS = {
    "sft": "Answers to imitate (SFT)",
    "grpo": "Questions with a reference (GRPO)",
    "dpo": "Pairs, chosen and rejected (DPO)",
    "kto": "Answers found good or bad (KTO)",
    "steps": "Reasonings with marked steps",
}
NOTHING_LEFT_OUT = "Nothing was left out."
ALL_LEFT_OUT = (
    "There are ratings or votes, but none of them can be trained on. To get training data, judge answers to questions "
    "that are in no evaluation suite, so that one answer is clearly found good, bad or better than another."
)


def ratings_html(preview: "Preview", *, shown_for: str, place: str, digest: str) -> str:
    """Counts, up to three pairs, agreement, and what was left out. shown_for: the choice that it was asked for.

    place, digest: of the rows that were shown, with which a run of them can be started.
    """
    return (
        f'<section class="mc-preview" data-for="{escape(shown_for)}" data-place="{escape(place)}" '
        f'data-digest="{escape(digest)}" tabindex="-1" aria-label="Preview of the ratings">'
        f'<h3 class="mc-train-title">What the ratings give</h3>{_counts_html(preview.rows)}'
        f"{_notes_html(preview)}{_agreement_html(preview)}{_left_out_html(preview.left_out)}{_pairs_html(preview)}"
        "</section>"
    )


def nothing_html(preview: "Preview", *, shown_for: str) -> str:
    """What was left out of ratings of which nothing can be trained on. It names no place: no run can be started."""
    notes = "".join(f'<p class="mc-small">{escape(note)}</p>' for note in preview.notes)
    return (
        f'<section class="mc-preview" data-for="{escape(shown_for)}" data-digest="{NO_ROWS}" tabindex="-1" '
        'aria-label="Preview of the ratings"><h3 class="mc-train-title">What the ratings give</h3>'
        f'<p class="mc-note" role="note">{escape(ALL_LEFT_OUT)}</p>'
        f"{_left_out_html(preview.left_out) if preview.left_out else ''}{notes}</section>"
    )


def look_html(look: Look, *, shown_for: str, place: str = "", digest: str = "") -> str:
    """The number of rows of each stage, what they were prepared for, and the first of them. Raises InvalidInput."""
    counts = "".join(
        f"<li>{escape(stage_words(f'{number}-{kind}'))}: {escape(_split_words(n))}</li>"
        for number, (kind, n) in enumerate(look.counts)
    )
    rows = "".join(f"<li>{_row_html(row)}</li>" for row in look.rows)
    words = chosen_of(look.data.report).words
    asked = f"<li>Prepared for {escape(words)}: the run uses these.</li>" if words else ""
    return (
        f'<section class="mc-preview" data-for="{escape(shown_for)}" data-place="{escape(place)}" '
        f'data-digest="{escape(digest)}" tabindex="-1" aria-label="Preview of the data">'
        f'<h3 class="mc-train-title">What is in the data</h3><ul class="mc-plain">{counts}{asked}</ul>'
        f'<h4>The first {counted(len(look.rows), "row")}</h4><ol class="mc-pairs-shown">{rows}</ol></section>'
    )


def own_html(words: str) -> str:
    """Of data that the recipe makes or finds itself, when the run begins."""
    return f'<section class="mc-preview" data-for="" tabindex="-1"><p class="mc-note">{escape(words)}</p></section>'


def _counts_html(rows: Mapping[str, Mapping[str, int]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(FILE_WORDS.get(name, name))}</th>'
        + "".join(f'<td data-label="{split}" class="mc-number">{its.get(split, 0):,}</td>'
                  for split in ("train", "validation"))
        + "</tr>"
        for name, its in rows.items()
    )  # fmt: skip
    return (
        '<table class="mc-table mc-small-table"><caption class="mc-vh">Rows of each kind</caption><thead><tr>'
        '<th scope="col">Rows</th><th scope="col">train</th><th scope="col">validation</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _notes_html(preview: "Preview") -> str:
    share = preview.disagreement
    told = "" if share is None else f"<li>Two raters of the same pair disagree in {share:.0%} of the cases.</li>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in preview.notes)
    return f'<ul class="mc-plain">{told}{notes}</ul>' if told or notes else ""


def _agreement_html(preview: "Preview") -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(_axis_words(name))}</th><td data-label="Krippendorff’s alpha" class="mc-number">'
        f'{_number(alpha.get("value"))}</td><td data-label="judged by several" class="mc-number">'
        f"{alpha.get('n_items', 0)}</td></tr>"
        for name, alpha in preview.agreement.items()
    )
    raters = "".join(
        f'<tr><th scope="row">Rater {number}</th><td data-label="agrees with the others" class="mc-number">'
        f'{_number(one.get("agreement"))}</td><td data-label="weight" class="mc-number">'
        f"{_number(one.get('weight'))}</td></tr>"
        for number, (_, one) in enumerate(sorted(preview.raters.items()), 1)
    )
    table = (
        '<table class="mc-table mc-small-table"><caption class="mc-vh">{}</caption><thead><tr>{}</tr></thead>{}</table>'
    )
    of_axes = table.format("Agreement", _heads("Agreement", "Krippendorff’s alpha", "judged by several"),
                           f"<tbody>{rows}</tbody>")  # fmt: skip
    of_raters = table.format("Raters", _heads("Rater", "agrees with the others", "weight"), f"<tbody>{raters}</tbody>")
    inside = of_axes + (of_raters if raters else "")
    return f'<details class="mc-fold" data-key="train-agreement" open><summary>Agreement</summary>{inside}</details>'


def _heads(*names: str) -> str:
    return "".join(f'<th scope="col">{name}</th>' for name in names)


def _left_out_html(left_out: Mapping[str, Mapping[str, int]]) -> str:
    items = "".join(
        f"<li>{escape(FILE_WORDS.get(name, name))}: {n:,} × {escape(reason)}</li>"
        for name, reasons in left_out.items()
        for reason, n in reasons.items()
    )
    inside = f'<ul class="mc-plain">{items}</ul>' if items else f'<p class="mc-small">{NOTHING_LEFT_OUT}</p>'
    return f'<details class="mc-fold" data-key="train-left-out" open><summary>Left out</summary>{inside}</details>'


def _pairs_html(preview: "Preview") -> str:
    if not preview.pairs:
        return '<p class="mc-small">No pair is clear enough to be learnt from.</p>'
    rows = "".join(f"<li>{_row_html(row)}</li>" for row in preview.pairs)
    words = "One of the pairs" if len(preview.pairs) == 1 else f"{len(preview.pairs)} of the pairs"
    return f'<h4>{words}</h4><ol class="mc-pairs-shown">{rows}</ol>'


def _row_html(row: Mapping[str, Any]) -> str:
    """A row with its answers, reasoning and solution apart."""
    context = (
        f'<span class="mc-tag">Patient context</span> {escape(str(row["context"]))}<br>' if row.get("context") else ""
    )
    asked = f'<p class="mc-question" dir="auto">{context}{escape(str(row.get("question", "")))}</p>'
    if "chosen" in row:
        return (
            f'{asked}<div class="mc-two">{_answer_html("Chosen", row["chosen"])}'
            f"{_answer_html('Rejected', row['rejected'])}</div>{_behind(row)}"
        )
    if "completion" in row:
        title = "Found good" if row.get("label") else "Found bad"
        return f"{asked}{_answer_html(title, row['completion'])}{_behind(row)}"
    answer = {"reasoning": row.get("rationale", ""), "solution": row.get("answer", "")}
    return f"{asked}{_answer_html('Reference', answer)}"


def _answer_html(title: str, answer: Mapping[str, Any]) -> str:
    reasoning = str(answer.get("reasoning") or "")
    folded = (
        f'<details><summary>Reasoning</summary><p dir="auto" class="mc-reasoned">{escape(reasoning)}</p></details>'
        if reasoning
        else ""
    )
    solution = escape(str(answer.get("solution") or ""))
    return f'<div class="mc-one"><h5>{title}</h5>{folded}<p dir="auto">{solution}</p></div>'


def _behind(row: Mapping[str, Any]) -> str:
    if "probability" not in row:
        return ""
    raters = counted(int(row.get("raters", 0)), "rater")
    return (
        f'<p class="mc-small">{raters} · probability {row["probability"]:.2f} · margin {row.get("margin", 0):.2f} · '
        f"{escape(str(row.get('split', '')))}</p>"
    )


def _split_words(n: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {split}" for split, number in n.items() if number) or "no row"


def _axis_words(name: str) -> str:
    return "votes on pairs" if name == "votes" else name.replace("/", " · ")


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "cannot be told"
