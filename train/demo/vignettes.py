"""Synthetic cases: which findings a case has, and how it is told."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medchat.knowledge import HE, SHE, Condition, Finding, I, Knowledge, Person, is_held_out, say

_DURATIONS = {
    "sudden": (
        "since an hour ago",
        "since this morning",
        "for 40 minutes",
        "for two hours",
        "that began suddenly today",
    ),
    "acute": ("for two days", "since yesterday", "since this morning", "for 3 days", "for several hours", "x 2 days"),
    "subacute": ("for two weeks", "for 10 days", "for the past three weeks", "for a month", "x 3 weeks"),
    "chronic": ("for six months", "for over a year", "over the last few months", "for 8 months", "for years", "x 6/12"),
}
_ARRIVES = (
    "presents with",
    "comes in with",
    "complains of",
    "has",
    "reports",
    "is seen for",
    "is referred with",
    "attends with",
    "is brought in with",
    "describes",
)
_I_ARRIVE = ("I have", "I've had", "I am suffering from", "I keep having", "I came because of", "I've been getting")
_RELATIVES = {
    "male": ("husband", "father", "brother", "son", "grandfather"),
    "female": ("wife", "mother", "sister", "daughter", "grandmother"),
}
_ASKERS = ("teacher", "farmer", "nurse", "driver", "office worker", "builder", "shop assistant", "cook", "electrician")
_SMALL_WORDS = frozenset("a an the of is has and with in on at that been was he she his her".split())


@dataclass(frozen=True, slots=True)
class Vignette:
    """A told case. present and denied: finding ids in the order of the text."""

    text: str
    condition: str
    age: int
    sex: str
    present: tuple[str, ...]
    denied: tuple[str, ...]


def fit_score(condition: Condition, findings: Sequence[str]) -> int:
    """How well findings fit: two points for a core finding, one for another."""
    return sum(2 if f in condition.core else 1 for f in findings if f in condition.all_findings)


def sample_findings(knowledge: Knowledge, condition: Condition, rng: random.Random) -> tuple[str, ...]:
    """Two to six findings that fit this condition better than any other."""
    for _ in range(60):
        core = list(condition.core) if rng.random() < 0.8 else [rng.choice(condition.core)]
        others = rng.sample(condition.findings, len(condition.findings))
        chosen = [*core, *others][: rng.choice((2, 3, 3, 4, 4, 5, 6))]
        rng.shuffle(chosen)
        score = fit_score(condition, chosen)
        rivals = (c for c in knowledge.conditions.values() if c.id != condition.id)
        if score >= 3 and all(fit_score(rival, chosen) < score for rival in rivals):
            return tuple(chosen)
    return (*condition.core, *condition.findings[:3])


def vignette(
    knowledge: Knowledge, condition: Condition, split: str, rng: random.Random, filler: Sequence[str]
) -> Vignette:
    """A case of this condition; split says which combinations and which wordings it is made of."""
    for _ in range(80):
        findings = sample_findings(knowledge, condition, rng)
        if split == "wordings" or (split == "combinations") == is_held_out(condition, findings):
            break
    teller = _Teller(knowledge, condition, split, rng, filler)
    return teller.tell(findings)


class _Teller:
    def __init__(
        self, knowledge: Knowledge, condition: Condition, split: str, rng: random.Random, filler: Sequence[str]
    ):
        self.knowledge, self.condition, self.split, self.rng, self.filler = knowledge, condition, split, rng, filler
        self.age = rng.randint(*condition.ages)
        self.sex: str = condition.sexes if condition.sexes != "any" else rng.choice(("male", "female"))
        first_person = self.age >= 14 and rng.random() < 0.22
        self.person: Person = I if first_person else (HE if self.sex == "male" else SHE)

    def tell(self, findings: Sequence[str]) -> Vignette:
        rng = self.rng
        marked = {f: self._worded(self.knowledge.findings[f]) for f in findings}
        clauses = [f for f in findings if marked[f].endswith(".")]
        phrases = [f for f in findings if not marked[f].endswith(".")]
        body = [self._mark(f, say(marked[f], self.person)) for f in clauses]
        body += self._grouped(phrases, marked)
        if rng.random() < 0.5:
            rng.shuffle(body)
        opening = self._opening(body, findings)
        denied = self._denied(findings)
        if denied:
            said = " or ".join(self._bare(self.knowledge.findings[f]) for f in denied)
            body.insert(rng.randrange(len(body) + 1), self._denial(said))
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3, 5)) if self.split != "wordings" else rng.choice((0, 0, 1))):
            if self.filler:
                body.insert(rng.randrange(len(body) + 1), say(rng.choice(self.filler), self.person))
        body = [s if not s.startswith("\x03") else f"{s}." for s in body]
        text = " ".join(_capital(s) for s in [*opening, *body] if s)
        if self.split == "train":
            text = self._noise(text)
        order = tuple(dict.fromkeys(re.findall("\x01(\\w+)\x02", text)))
        return Vignette(re.sub("\x01\\w+\x02", "", text), self.condition.id, self.age, self.sex, order, denied)

    def _worded(self, finding: Finding) -> str:
        if self.split == "wordings":
            return self.rng.choice(finding.held_out)
        return self.rng.choice(finding.wordings)

    def _bare(self, finding: Finding) -> str:
        names = [w for w in finding.wordings if not w.endswith(".") and "{" not in w and len(w) < 40]
        return re.sub(r"^(?:a|an|the) ", "", self.rng.choice(names or [finding.name]))

    def _mark(self, finding: str, text: str) -> str:
        return f"\x01{finding}\x02{text}" if not text.endswith(".") else f"{text[:-1]}\x01{finding}\x02."

    def _who(self) -> str:
        age, rng = self.age, self.rng
        if self.person is I:
            noun = self.sex if rng.random() < 0.3 else ("man" if self.sex == "male" else "woman")
            return rng.choice(
                (
                    f"I am a {age} year old {noun}.",
                    f"I'm {age}, {self.sex}.",
                    f"{age}{self.sex[0]} here.",
                    f"{age} yo {noun}.",
                    "",
                )
            )
        noun = {"male": "boy" if age < 16 else "man", "female": "girl" if age < 16 else "woman"}[self.sex]
        article = "an" if str(age)[0] == "8" or age in (11, 18) else "a"
        choices = [f"{article} {age}-year-old {noun}"] * 4 + [
            f"{article} {age} year old {noun}",
            f"{age}{self.sex[0].upper()}",
            f"{age} yo {noun}",
            f"{noun} aged {age}",
            f"{age} y/o {self.sex}",
        ]
        if age > 20:
            choices += [
                f"my {age} year old {rng.choice(_RELATIVES[self.sex])}",
                f"a {age}-year-old {rng.choice(_ASKERS)}",
            ]
        return rng.choice(choices)

    def _opening(self, body: list[str], findings: Sequence[str]) -> list[str]:
        """The first sentence or two; takes the first grouped sentence over where it can."""
        rng = self.rng
        duration = rng.choice(_DURATIONS[self.condition.onset]) if rng.random() < 0.5 else ""
        who = self._who()
        lead = next((s for s in body if s.startswith("\x03")), "")
        if lead:
            body.remove(lead)
            listed = lead[1:]
            if self.person is I:
                return [who, f"{rng.choice(_I_ARRIVE)} {listed}{' ' + duration if duration else ''}."]
            style = rng.random()
            if style < 0.15:
                return [f"{listed}{' ' + duration if duration else ''} in {who}."]
            if style < 0.3:
                return [f"{who}.", f"{listed}{' ' + duration if duration else ''}."]
            return [f"{who} {rng.choice(_ARRIVES)} {listed}{' ' + duration if duration else ''}."]
        if self.person is I:
            return [who]
        return [
            rng.choice(
                (
                    f"{who}.",
                    f"{who} comes to the clinic.",
                    f"{who} is seen in the emergency department.",
                    f"{who}, unwell {duration}." if duration else f"{who} is unwell.",
                )
            )
        ]

    def _grouped(self, phrases: Sequence[str], marked: dict[str, str]) -> list[str]:
        """Noun phrases joined by kind of finding; a group that can open the case starts with \\x03."""
        rng = self.rng
        groups: dict[str, list[str]] = {}
        for f in phrases:
            groups.setdefault(self.knowledge.findings[f].kind, []).append(self._mark(f, say(marked[f], self.person)))
        out = []
        he, has = _capital(self.person.he), "have" if self.person is I else "has"
        for kind, items in groups.items():
            listed = _join(items, rng)
            if kind == "symptom" or (kind == "history" and "symptom" not in groups and rng.random() < 0.4):
                out.append("\x03" + listed)
            elif kind == "history":
                out.append(
                    rng.choice(
                        (
                            f"{he} {has} {listed}.",
                            f"Background: {listed}.",
                            f"PMH: {listed}.",
                            f"History of {listed}.",
                            f"There is {listed} in the history.",
                        )
                    )
                )
            elif kind == "sign":
                out.append(
                    rng.choice(
                        (
                            f"On examination there is {listed}.",
                            f"Examination shows {listed}.",
                            f"O/E: {listed}.",
                            f"Exam reveals {listed}.",
                            f"They found {listed}.",
                            f"{listed}.",
                        )
                    )
                )
            else:
                out.append(
                    rng.choice(
                        (
                            f"Tests show {listed}.",
                            f"Investigations: {listed}.",
                            f"Results: {listed}.",
                            f"Work-up shows {listed}.",
                            f"{listed}.",
                            f"Bloods and imaging: {listed}.",
                        )
                    )
                )
        return out

    def _denied(self, findings: Sequence[str]) -> tuple[str, ...]:
        rng, knowledge = self.rng, self.knowledge
        if rng.random() < 0.5:
            return ()
        rivals = [*self.condition.absent, *(a.finding for a in self.condition.alternatives)]
        rivals += rng.sample([f for f in knowledge.findings if knowledge.findings[f].kind == "symptom"], 2)
        rivals = [f for f in dict.fromkeys(rivals) if f not in self.condition.all_findings]
        return tuple(rng.sample(rivals, min(len(rivals), rng.choice((1, 1, 2)))))

    def _denial(self, said: str) -> str:
        he = _capital(self.person.he)
        if self.person is I:
            return self.rng.choice((f"No {said}.", f"I don't have {said}.", f"I have no {said}."))
        return self.rng.choice(
            (
                f"No {said}.",
                f"{he} denies {said}.",
                f"There is no {said}.",
                f"{he} has no {said}.",
                f"Negative for {said}.",
                f"Without {said}.",
            )
        )

    def _noise(self, text: str) -> str:
        rng = self.rng
        if rng.random() < 0.25:
            text = _drop_small_words(text, rng)
        if rng.random() < 0.2:
            text = _mistype(text, rng)
        if rng.random() < 0.25:
            text = text.lower()
        if rng.random() < 0.1:
            text = text.replace(". ", ", ")
        return text


def _join(items: list[str], rng: random.Random) -> str:
    if len(items) == 1:
        return items[0]
    if rng.random() < 0.2:
        return ", ".join(items)
    return ", ".join(items[:-1]) + rng.choice((" and ", " and ", ", and ", " with ", " plus ")) + items[-1]


def _drop_small_words(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    return " ".join(w for w in words if w.lower() not in _SMALL_WORDS or rng.random() > 0.5)


def _mistype(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) > 4 and word.isalpha() and rng.random() < 0.07:
            at = rng.randrange(1, len(word) - 1)
            words[i] = rng.choice(
                (
                    word[:at] + word[at + 1 :],
                    word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                    word[:at] + word[at] + word[at:],
                )
            )
    return " ".join(words)


def _capital(text: str) -> str:
    """First letter upper case, past a finding's mark."""
    match = re.match("((?:\x01\\w+\x02|\x03)*)(.)(.*)", text, re.DOTALL)
    return f"{match[1].replace(chr(3), '')}{match[2].upper()}{match[3]}" if match else text
