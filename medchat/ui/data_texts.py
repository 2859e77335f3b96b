"""Settings that are typed as text: each as its command takes it, and refused where the command would refuse it."""

import re

from medchat.errors import InvalidInput
from medchat.language import is_language

ANY_LANGUAGE = "all"
_TWO_PARTS = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*/\s*(\d{1,3}(?:\.\d+)?)")


def languages(text: str) -> str:
    """Codes of languages, or all. Raises InvalidInput for what is no code."""
    if text.casefold() == ANY_LANGUAGE:
        return ANY_LANGUAGE
    codes = [code.strip().casefold() for code in text.split(",") if code.strip()]
    unknown = next((code for code in codes if not is_language(code)), "")
    if unknown or not codes:
        raise InvalidInput(
            f"{(unknown or text)[:40]} is no code of a language; give codes such as en or en,de, or all."
        )
    return ",".join(dict.fromkeys(codes))


def balance(text: str) -> str:
    """Knowledge and conversation in percent, or none. Raises InvalidInput."""
    if text.casefold() == "none":
        return "none"
    found = _TWO_PARTS.fullmatch(text)
    if not found or abs(float(found[1]) + float(found[2]) - 100) > 0.1 or not min(map(float, found.groups())):
        raise InvalidInput("give two parts that make 100, such as 75/25, or none.")
    return f"{found[1]}/{found[2]}"


def mix(text: str) -> str:
    """Teachers' rows and originals in percent. Raises InvalidInput."""
    from train.distill_options import mix_of

    its = mix_of(text)
    return f"{its.teacher}/{its.original}"


def price(text: str) -> str:
    """US dollars for a million tokens in and out. Raises InvalidInput."""
    from train.teacher_words import price_of

    its = price_of(text)
    return f"{its.input:g}/{its.output:g}"


def style(text: str) -> str:
    """The name of a style, or a style in one's own words. Raises InvalidInput for what is neither."""
    from train.distill_options import STYLES, style_of

    style_of(text)
    if text.strip() not in STYLES and len(re.findall(r"[^\W\d_]{2,}", text)) < 2:
        raise InvalidInput(f"give one of {', '.join(STYLES)}, or say in a sentence how to answer.")
    return text.strip()
