"""The reward laboratory: what each reward gives for completions, before a run is trained with them.

Rewards that need no model are there at once; the others are computed by a job, as everything is that loads one. Each
has the options that it has in the form of a new run, and the judge is the one that is named there.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from medchat.accounts import User
from medchat.errors import InvalidInput, MedChatError, NotFound
from medchat.formats import FORMATS
from medchat.records import Example
from medchat.run_files import write_whole, writing
from medchat.run_state import ENDED
from medchat.store import AnswerRecord
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.common import App, counted, escape
from medchat.ui.model_form import FORMAT_WORDS
from medchat.ui.train_data import PLACES
from medchat.ui.train_order import check, judge_variables, order_of
from medchat.ui.train_run_view import figure
from medchat.uploads import bundled_cases
from train.reward_setup import judge_in, options_in

DRAFT = "train: laboratory"
MOST_COMPLETIONS = 12
MOST_QUESTIONS = 60
CHARS = 20_000
QUESTION_CHARS = 110
LOADING = "The recognition of findings is still loading; try again in a moment."
NO_QUESTIONS = "Nobody has compared or rated an answer yet: type a question and completions."


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the form."""

    question: str = ""
    context: str = ""
    answer: str = ""
    rationale: str = ""
    key_terms: str = ""
    answer_format: str = "think"
    completions: tuple[str, ...] = ("", "")

    @property
    def example(self) -> Example:
        """The question, with its reference where there is one. Raises InvalidInput without a question."""
        if not self.question.strip():
            raise InvalidInput("Give the question that the completions answer.")
        terms = [term.strip() for term in self.key_terms.split(",") if term.strip()]
        return Example(self.question.strip(), self.answer.strip() or None, context=self.context.strip(),
                       rationale=self.rationale.strip(), key_terms=terms)  # fmt: skip

    @property
    def written(self) -> tuple[str, ...]:
        """The completions that are not empty. Raises InvalidInput when none is."""
        found = tuple(text for text in self.completions if text.strip())
        if not found:
            raise InvalidInput("Paste a completion, or take those of a judged question.")
        return found


class Laboratory:
    """The laboratory of one app; what stands in it is kept for each user."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._verbs: dict[str, Callable[[User, Filled, Action], dict[str, Any]]] = {
            "list": self._list,
            "pick": self._pick,
            "add": self._add,
            "score": self._score,
            "job": self._begin,
            "news": self._news,
        }

    def act(self, user: User, action: Action) -> dict[str, Any]:
        """What is to be shown, by the name of the component. Raises MedChatError."""
        if action.verb not in self._verbs:
            raise InvalidInput(OUT_OF_DATE)
        return self._verbs[action.verb](user, _filled(action.mapping("filled")), action)

    def form_html(self, filled: Filled = Filled(), judged: Sequence[tuple[str, str]] | None = None) -> str:
        """The form. judged: id and words of the questions that can be taken, None before they were asked for."""
        return form_html(filled, judged)

    def _list(self, user: User, filled: Filled, _: Action) -> dict[str, Any]:
        return {"laboratory": self.form_html(filled, [(key, its[0].question) for key, its in self._judged().items()])}

    def _pick(self, user: User, filled: Filled, action: Action) -> dict[str, Any]:
        judged = self._judged()
        answers = judged.get(action.text("question"))
        if not answers:
            raise InvalidInput("This question is not there any more; take another one.")
        first = answers[0]
        answer, rationale, terms = self._reference_of(first)
        filled = Filled(
            question=first.question,
            context=first.context,
            answer=answer or filled.answer,
            rationale=rationale,
            key_terms=terms,
            answer_format=first.answer_format if first.answer_format in FORMATS else filled.answer_format,
            completions=tuple(one.raw or one.solution for one in answers[:MOST_COMPLETIONS]),
        )
        return {"laboratory": self.form_html(filled, [(key, its[0].question) for key, its in judged.items()]),
                "scores": ""}  # fmt: skip

    def _add(self, user: User, filled: Filled, _: Action) -> dict[str, Any]:
        if len(filled.completions) >= MOST_COMPLETIONS:
            raise InvalidInput(f"At most {MOST_COMPLETIONS} completions are scored together.")
        return {"laboratory": self.form_html(replace(filled, completions=(*filled.completions, "")))}

    def _score(self, user: User, filled: Filled, action: Action) -> dict[str, Any]:
        from train.rewards import REWARD_NAMES, RewardSetup, score_all

        example, completions, options = filled.example, filled.written, self._options(action)
        grounder = self._app.grounding.get(0)
        if grounder is None:
            raise InvalidInput(LOADING)
        setup = RewardSetup(answer_format=filled.answer_format, knowledge=grounder.knowledge, grounder=grounder)
        scores = score_all(completions, [example] * len(completions), REWARD_NAMES, setup, options)
        judge = judge_in(options, self._app.catalogue)
        return {"scores": scores_html(len(completions), scores.values, scores.missing, options, scores.waiting,
                                      judge.external if judge else "")}  # fmt: skip

    def _options(self, action: Action) -> dict[str, dict[str, Any]]:
        """The options of the rewards in the form of a new run, by name. Raises InvalidInput where it is faulty."""
        order = action.mapping("order", {})
        try:
            options = options_in(check(self._app.settings, order_of(order)).recipe) if order else {}
            judge_in(options, self._app.catalogue)
        except MedChatError as error:
            raise InvalidInput(f"In the form of the new run, {str(error).removeprefix('--set ')}") from error
        return options

    def _begin(self, user: User, filled: Filled, action: Action) -> dict[str, Any]:
        options = self._options(action)
        asked = {
            "answer_format": filled.answer_format,
            "example": asdict(filled.example),
            "completions": list(filled.written),
            "options": options,
        }
        text = json.dumps(asked, ensure_ascii=False)
        folder = self._app.settings.data_dir / "cache" / "rewards"
        file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        with writing():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, text)
        ratings = sorted((self._app.settings.data_dir / PLACES).glob("ratings-*"), key=lambda p: p.stat().st_mtime)
        from_data = ("--data", str(ratings[-1])) if ratings else ()
        argv = ("python", "-m", "train", "rewards", str(file), *from_data, "--run-dir", "{run_dir}")
        name = f"Rewards of {counted(len(filled.written), 'completion')}"
        job_id = self._app.jobs.submit("prepare", name, argv, user.id, judge_variables(options, self._app.catalogue))
        self._forget(user)
        self._app.store.save_draft(user.id, DRAFT, {"job": job_id, "n": len(filled.written)})
        return {"scores": waiting_html(WAITS)}

    def _news(self, user: User, filled: Filled, _: Action) -> dict[str, Any]:
        """What the user's job has found out by now."""
        left = self._app.store.draft(user.id, DRAFT) or {}
        try:
            view = self._app.jobs.view(str(left.get("job", "")))
            run_dir = self._app.jobs.run_dir(view.job.id)
        except NotFound:
            return {"scores": ""}
        if view.state.status not in ENDED:
            before = f" ({counted(view.place - 1, 'run')} before it)" if view.place and view.place > 1 else ""
            return {"scores": waiting_html(WAITS + before)}
        result = run_dir.result()
        self._forget(user)
        if view.state.status != "done" or not result:
            raise InvalidInput(view.state.message or "The job ended without a result; try again.")
        return {"scores": scores_html(int(left["n"]), result["values"], result["missing"], result["options"])}

    def _forget(self, user: User) -> None:
        """Remove the job that the user began before, which nobody looks at any more."""
        left = self._app.store.draft(user.id, DRAFT) or {}
        try:
            self._app.jobs.stop(str(left.get("job", "")))
            self._app.jobs.delete(str(left.get("job", "")))
        except MedChatError:  # it is gone, or still at work
            return

    def _judged(self) -> dict[str, list[AnswerRecord]]:
        """The answers to each question that somebody compared or rated, the newest questions first."""
        found: dict[str, list[AnswerRecord]] = {}
        judgements = self._app.store.judgements()
        answers = [one for key, one in judgements.answers.items() if key not in judgements.deleted]
        for answer in sorted(answers, key=lambda one: one.created_at, reverse=True):
            found.setdefault(answer.question_id, []).append(answer)
        return dict(list(found.items())[:MOST_QUESTIONS])

    def _reference_of(self, answer: AnswerRecord) -> tuple[str, str, str]:
        """Reference answer, its reasoning and key terms: a rater's correction, or the case that comes with MedChat."""
        judgements = self._app.store.judgements()
        for rating in reversed(judgements.ratings):
            rated = judgements.answers[rating.answer_id]
            if rated.question_id == answer.question_id and rating.form.corrected_solution:
                return rating.form.corrected_solution, rating.form.corrected_reasoning, ""
        case = next((case for case in bundled_cases() if case.question_id == answer.question_id), None)
        return (case.answer or "", case.rationale, ", ".join(case.key_terms)) if case else ("", "", "")


WAITS = "The rewards that need a model are being computed; training goes before them if it is at work"


def form_html(filled: Filled, judged: Sequence[tuple[str, str]] | None) -> str:
    """The form as HTML."""
    formats = "".join(
        f'<option value="{name}"{" selected" if name == filled.answer_format else ""}>{escape(words)}</option>'
        for name, words in FORMAT_WORDS.items()
    )
    completions = "".join(
        f'<label class="mc-label">Completion {number}<textarea data-lab="completion" rows="5" spellcheck="false">\n'
        f"{escape(text)}</textarea></label>"
        for number, text in enumerate(filled.completions, 1)
    )
    return (
        '<form id="train-lab-fields" class="mc-lab" autocomplete="off">'
        '<p class="mc-small">What would each reward give? Paste completions as a model writes them, tags and all. '
        "A reward has the options that are set in the form of the new run; a judge is asked where it is ticked there."
        "</p>"
        f'{_judged_html(judged)}<div class="mc-lab-grid">{_area("question", "Question", filled.question, 3)}'
        f"{_area('context', 'Patient context (optional)', filled.context, 3)}"
        f"{_area('answer', 'Reference answer (optional)', filled.answer, 2)}"
        f"{_area('rationale', 'Reference reasoning (optional)', filled.rationale, 2)}"
        f'<label class="mc-label">Key terms, with commas between (optional)<input type="text" data-lab="key_terms" '
        f'value="{escape(filled.key_terms)}"></label>'
        f'<label class="mc-label">Answer format<select data-lab="answer_format">{formats}</select></label></div>'
        f'<div class="mc-lab-grid">{completions}</div><div class="mc-form-buttons">'
        '<button type="button" class="mc-button mc-primary" data-do="lab-score" id="lab-score">Score them</button>'
        '<button type="button" class="mc-button" data-do="lab-add" id="lab-add">Add a completion</button></div></form>'
    )


def _judged_html(judged: Sequence[tuple[str, str]] | None) -> str:
    if judged is None:
        return (
            '<div class="mc-form-buttons"><button type="button" class="mc-button" data-do="lab-list" id="lab-list">'
            "Take a judged question and its answers…</button></div>"
        )
    if not judged:
        return f'<p class="mc-note" role="note">{NO_QUESTIONS}</p>'
    options = "".join(
        f'<option value="{escape(key)}">{escape(words[:QUESTION_CHARS])}</option>' for key, words in judged
    )
    return (
        '<label class="mc-label">Judged question<select data-do="lab-pick" id="lab-pick">'
        '<option value="">Choose…</option>'
        f"{options}</select></label>"
    )


def _area(name: str, label: str, value: str, rows: int) -> str:
    return (
        f'<label class="mc-label">{label}<textarea data-lab="{name}" rows="{rows}">\n{escape(value)}</textarea></label>'
    )


def waiting_html(words: str) -> str:
    """The line that stands there until the job has ended; the page's script asks again as long as it does."""
    return f'<p class="mc-checking" role="status" data-waiting="true">{escape(words)}…</p>'


def scores_html(
    n: int, values: Mapping[str, Sequence[float | None]], missing: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]], waiting: Sequence[str] = (), host: str = "",
) -> str:  # fmt: skip
    """A row a reward, a column a completion. options: by reward, that were set. host: outside, where a judge is."""
    from train.rewards import REWARDS

    head = "".join(f'<th scope="col">Completion {number}</th>' for number in range(1, n + 1))
    rows = "".join(
        f'<tr><th scope="row">{escape(REWARDS[name].title)}<p class="mc-small">{escape(REWARDS[name].about)}'
        f"{escape(_told(options.get(name, {})))}</p></th>"
        + "".join(
            f'<td data-label="Completion {number}" class="mc-number">{figure(value)}</td>'
            for number, value in enumerate(its, 1)
        )
        + f'<td data-label="Range" class="mc-number">{REWARDS[name].low:g} to {REWARDS[name].high:g}</td></tr>'
        for name, its in values.items()
    )
    reasons = "".join(f"<li>{escape(REWARDS[name].title)}: {escape(reason)}</li>" for name, reason in missing.items())
    left_out = f'<details class="mc-fold" data-key="lab-missing"><summary>Not computed: {len(missing)}</summary>' \
               f'<ul class="mc-plain">{reasons}</ul></details>' if missing else ""  # fmt: skip
    names = ", ".join(REWARDS[name].title for name in waiting)
    outside = f" The judge is asked on {escape(host)}: the case and the completions go there." if host else ""
    job = (
        f'<p class="mc-small">These load a model, and so are computed by a job: {escape(names)}.{outside}</p>'
        '<div class="mc-form-buttons"><button type="button" class="mc-button" data-do="lab-job" id="lab-job">Compute '
        "them too</button></div>"
        if waiting
        else ""
    )
    return (
        '<div class="mc-scroll" tabindex="0" role="region" aria-label="Rewards"><table class="mc-table mc-scores">'
        '<caption class="mc-vh">What each reward gives for each completion; – cannot be scored</caption><thead><tr>'
        f'<th scope="col">Reward</th>{head}<th scope="col">Range</th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"{left_out}{job}"
    )


def _told(options: Mapping[str, Any]) -> str:
    set_to = ", ".join(f"{name} {value}" for name, value in options.items())
    return f" Set: {set_to}." if set_to else ""


def _filled(found: Mapping[str, Any]) -> Filled:
    names = ("question", "context", "answer", "rationale", "key_terms", "answer_format")
    texts = {name: found.get(name, "") for name in names}
    completions = found.get("completions", [])
    if not isinstance(completions, list) or not all(isinstance(text, str) for text in (*texts.values(), *completions)):
        raise InvalidInput(OUT_OF_DATE)
    if any(len(text) > CHARS for text in (*texts.values(), *completions)):
        raise InvalidInput(f"A text is too long: shorten it to {CHARS:,} characters.")
    if texts["answer_format"] not in FORMATS or len(completions) > MOST_COMPLETIONS:
        raise InvalidInput(OUT_OF_DATE)
    return Filled(**texts, completions=tuple(completions) or ("", ""))
