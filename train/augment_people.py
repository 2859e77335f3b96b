"""The person of a case: how old, of which sex, and where it says so."""

import re
from typing import Literal, NamedTuple

from medchat.negation import without

Sex = Literal["female", "male"]

_AGE = re.compile(
    r"(?<![\w.,/-])(?P<age>\d{1,3})(?:[ -]?(?:year|yr)s?[ -]old\b|[ -]?(?:yo|y\.o\.?|y/o)(?![a-z])|[ -]?years? of age\b"
    r"|[ -]?(?:year|yr)s?,?[ -](?=(?:male|female|man|woman)\b)|(?P<bare>[ -])(?=(?:male|female|man|woman)\b)"
    r"|(?P<letter> ?(?=(?-i:[MF])(?![\w-]))))",
    re.IGNORECASE,
)
_LETTER_AGES = range(18, 90)  # "99F" is a temperature, "5 M" a concentration
# A number with a letter is a variant (V30M), a concentration (30 M) or a count (30M cells) as well, and "30 male"
# counts mice: they tell an age only where a sentence begins with a person, and goes on so.
_BEFORE_PERSON = re.compile(
    r"(?:^|[.;:!?(\[\n]|\b(?:an?|i am|i'm|i\u2019m|im|(?:patient|pt)(?: is)?|this|our|my))[ \t\n\"]*$", re.IGNORECASE
)
_PERSON_GOES_ON = re.compile(
    r"[ -]?(?:[mf]|male|female|man|woman)(?:\s*[,)\]]|[.;]?\s+(?:(?:patient|pt|smoker),?\s+)?(?:with|w/|w/o|without|"
    r"who|whose|has|had|is|was|presents?|presented|presenting|p/w|c/o|complain\w*|comes?|came|seen|admitted|brought|"
    r"referred|reports?|reported|here|s/p|h/o|hx|known|history|diagnosed|develops?|developed|suffers?|"
    r"suffering|takes?|taking|undergo\w*|underwent|coughs?|feels?|wakes?|woke|from|after|on)\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\d.,/-])(\d{1,3})(?![\d.,/%-])")
_OTHER_AGE = re.compile(
    r"\b(?:age|aged|ages|age of|at age|at the age of|since age|turned|turning|i'?m|i am|she is|he is|she's|he's|is now|"
    r"age is|age:)\s*(?:is\s*|:\s*)?(\d{1,3})\b(?!\s*(?:weeks|months|days|kg|cm|mg|lb|%|/|feet|ft|mm|ml|hours|x|"
    r"times))",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_WORD_AGE = re.compile(
    r"\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -]\w+)?[ -]years?[ -]old|\bin (?:his|her|my|"
    r"their) "
    r"(?:early |mid-?|late )?(?:teens|twenties|thirties|forties|fifties|sixties|seventies|eighties|\d0s)\b",
    re.IGNORECASE,
)

NOUNS: dict[str, str] = {  # female word -> male word
    "woman": "man", "female": "male", "lady": "gentleman", "ms.": "mr.", "f": "m",
}  # fmt: skip
_PRONOUNS = {"she": "he", "herself": "himself", "she's": "he's", "she'd": "he'd", "she'll": "he'll"}
_TO_MALE = NOUNS | _PRONOUNS
_TO_FEMALE = {male: female for female, male in _TO_MALE.items()} | {"him": "her"}
_SEXED = re.compile(
    r"(?<![\w'-])(?:she|he|herself|himself|her|him|his|hers|woman|man|female|male|lady|gentleman)(?:['\u2019](?:s|"
    r"d|ll))?(?![\w-])",
    re.IGNORECASE,
)
_OTHERS = re.compile(  # people who have a sex of their own, so that a pronoun may be theirs
    r"\b(?:wife|husband|spouse|partner|girlfriend|boyfriend|fianc\w+|mother|father|mom|mum|dad|parents?|son|sons|"
    r"daughters?|sisters?|brothers?|siblings?|aunts?|uncles?|cousins?|nieces?|nephews?|grand\w+|women|men|females|"
    r"males|"
    r"mrs|mr|ms|miss|mister|madam|sir|ladies|gentlemen|widow\w*|twins?|roommate|friend|neighbou?r|nurse|waitress|"
    r"actress|housewife|homemaker|nun|priest|businessman|businesswoman|fireman|policeman|salesman|mailman|fisherman|"
    r"king|queen|cheerleader|ballerina|prostitute|mistress|colleague|boss|coworker|caregiver|guy|dude)\b\.?",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?-i:[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?:,| is)? (?:is )?an? \d{1,3}[ -]?(?:year|yr|y)", re.IGNORECASE
)
_GIVES = re.compile(
    r"\b(?:gave|gives?|given|giving|tells?|told|asks?|asked|prescribed?|prescribes|offers?|offered|shows?|showed|shown|"
    r"hands?|handed|brought|brings?|bought|sends?|sent|teaches|taught|makes?|made|making|cost|costs|caused?|causing|"
    r"injected|starts?|started|let|lets|help|helps|helped|saw|see|sees|watched|heard|found|calls?|called|put)$",
    re.IGNORECASE,
)
_AFTER_HIM = re.compile(
    r"\s*(?:$|[.,;:!?)]|(?:to|with|that|for|from|in|on|at|and|or|but|because|as|by|after|before|while|when|about|"
    r"into|of|"
    r"if|how|whether|who|since|during|up|down|out|off|again|today|yesterday|feel|so|very|not|over|is|was|has|under|"
    r"until|without|through)\b)",
    re.IGNORECASE,
)  # fmt: skip


class Age(NamedTuple):
    """An age in years and where its digits stand."""

    years: int
    start: int
    end: int


class Unclear(NamedTuple):
    """Why the text cannot be changed safely."""

    reason: str
    word: str = ""


def ages_in(text: str) -> list[Age]:
    """Every age of a person that the text tells in digits: "45-year-old", "45 yo", "45M"."""
    return [
        Age(int(match["age"]), match.start("age"), match.end("age"))
        for match in _AGE.finditer(text)
        if _is_of_person(match)
    ]


def _is_of_person(match: re.Match[str]) -> bool:
    """Whether the number is an age: it says years, or stands where a person is told of."""
    if match["letter"] is None and match["bare"] is None:
        return True
    if match["letter"] is not None and int(match["age"]) not in _LETTER_AGES:
        return False
    start = match.start()
    before = _BEFORE_PERSON.search(match.string, max(0, start - 20), start)
    return bool(before and _PERSON_GOES_ON.match(match.string, match.end("age")))


def one_age(text: str) -> tuple[list[Age], Unclear | None]:
    """Where the age of the only person stands, each time; [] where no age is told. Unclear where there are several."""
    ages = ages_in(text)
    if not ages:
        return [], None
    if len({age.years for age in ages}) > 1:
        return ages, Unclear("several ages", ", ".join(str(age.years) for age in ages))
    rest = without(text, [(age.start, age.end) for age in ages])
    for pattern in (_OTHER_AGE, _YEAR, _WORD_AGE):
        found = pattern.search(rest)
        if found:
            return ages, Unclear("another age or a year", found[0])
    same = [match[1] for match in _NUMBER.finditer(rest) if int(match[1]) == ages[0].years]
    return ages, Unclear("the age's number stands elsewhere too", same[0]) if same else None


def sexed_words(text: str) -> list[str]:
    """The words of the text that tell a person's sex, in lower case."""
    return [match[0].lower().replace("\u2019", "'") for match in _SEXED.finditer(text)]


def other_people(text: str) -> str:
    """The first word for somebody else who has a sex, "" for none; and the words before "a 45-year-old" of a name."""
    found = _OTHERS.search(text) or _NAMED.search(text)
    return found[0] if found else ""


def sex_of(words: list[str]) -> Sex | None:
    """The one sex that the words tell; None for none and for both."""
    is_female = {_is_female(word) for word in words}
    if len(is_female) != 1:
        return None
    return "female" if is_female.pop() else "male"


def with_other_sex(text: str, sex: Sex) -> str | Unclear:
    """The text of a person of the other sex. sex: what it is now. Unclear where a pronoun can be read in two ways."""
    pieces: list[str] = []
    at = 0
    for match in _SEXED.finditer(text):
        word = match[0].lower().replace("\u2019", "'")
        new = _pronoun(word, text, match.start(), match.end()) if word in ("her", "hers", "his") else _other(word, sex)
        if not new:
            return Unclear(
                "a pronoun that can be read in two ways", text[max(0, match.start() - 20) : match.end() + 20]
            )
        pieces += [text[at : match.start()], _cased(new, match[0])]
        at = match.end()
    changed = "".join([*pieces, text[at:]])
    return _with_letter(changed, sex)


def _is_female(word: str) -> bool:
    return word.partition("'")[0] in ("she", "herself", "her", "hers", "woman", "female", "lady")


def _other(word: str, sex: Sex) -> str:
    return (_TO_MALE if sex == "female" else _TO_FEMALE).get(word, "")


def _pronoun(word: str, text: str, start: int, end: int) -> str:
    """his, her and hers in the other sex; "" where it cannot be told which is meant."""
    after = text[end:]
    if word == "hers":
        return "his"
    if word == "his":
        return "hers" if re.match(r"\s*[.,;:!?)]", after) else "her"
    if _AFTER_HIM.match(after):
        return "him"
    return "" if _GIVES.search(text[:start].rstrip()) else "his"


def _cased(new: str, old: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new.capitalize() if old[:1].isupper() else new


def sex_letters(text: str) -> list[tuple[int, str]]:
    """Where an F or M behind an age tells the sex, and which: the F of "45F"."""
    return [
        (match.end(), text[match.end()])
        for match in _AGE.finditer(text)
        if match["letter"] is not None and _is_of_person(match)
    ]


def _with_letter(text: str, sex: Sex) -> str:
    """45F as 45M."""
    old, new = ("F", "M") if sex == "female" else ("M", "F")
    letters = list(text)
    for place, letter in sex_letters(text):
        letters[place] = new if letter == old else letter
    return "".join(letters)
