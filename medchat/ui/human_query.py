"""What of people's judgements is looked at: a study, all ratings or the example, and filters; and what fits them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from evaluation.human_data import HumanData, filtered
from medchat.errors import InvalidInput

ALL, EXAMPLE = "all", "example"  # sources that are no study
UNNAMED = "-"  # judgements without a specialty, or by raters without a group
DAY = timedelta(days=1)
MOST_CHARS = 200


@dataclass(frozen=True, slots=True)
class Query:
    """source: ALL, EXAMPLE or the id of a study. since, until: days as 2026-03-31, both of them in it.

    "" is no filter. named: raters by name, for those who have the right "studies".
    """

    source: str = ALL
    specialty: str = ""
    model: str = ""
    group: str = ""
    since: str = ""
    until: str = ""
    named: bool = False

    @property
    def study_id(self) -> str:
        """ "" where it is no study."""
        return "" if self.source in (ALL, EXAMPLE) else self.source

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves anything out."""
        return any((self.specialty, self.model, self.group, self.since, self.until))

    def as_dict(self) -> dict[str, Any]:
        """For a draft; query_of takes it back."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def address(self) -> str:
        """As it stands in the address of a file."""
        return urlencode({name: "1" if value is True else value for name, value in self.as_dict().items()})


def query_of(fields: Mapping[str, Any]) -> Query:
    """The query of these fields; what is missing or no text is as by default."""
    texts = {
        name: value
        for name in ("source", "specialty", "model", "group", "since", "until")
        if isinstance(value := fields.get(name), str) and value and len(value) <= MOST_CHARS
    }
    return Query(**texts, named=fields.get("named") in (True, "1"))


def narrowed(data: HumanData, query: Query) -> HumanData:
    """Only what fits the filters, which its title then names. Raises InvalidInput for days that are none."""
    if not query.is_filtered:
        return data
    since, until = _day(query.since, "From"), _day(query.until, "To")
    if since and until and until < since:
        raise InvalidInput("The last day is before the first one; choose a later one.")
    found = filtered(
        data,
        specialty=_named(query.specialty),
        model=query.model or None,
        group=_named(query.group),
        since=since,
        until=until + DAY if until else None,
    )
    return replace(found, title=f"{data.title} ({filter_words(query, data.models)})")


def filter_words(query: Query, models: Mapping[str, str]) -> str:
    """The filters in words, "" without any."""
    words = [
        f"specialty {query.specialty}" if query.specialty not in ("", UNNAMED) else "",
        "no specialty" if query.specialty == UNNAMED else "",
        models.get(query.model, query.model),
        f"raters of {query.group}" if query.group not in ("", UNNAMED) else "",
        "raters without a group" if query.group == UNNAMED else "",
        f"from {query.since}" if query.since else "",
        f"to {query.until}" if query.until else "",
    ]
    said = [word for word in words if word]
    return f"only {', '.join(said)}" if said else ""


def _named(value: str) -> str | None:
    return None if not value else "" if value == UNNAMED else value


def _day(text: str, field: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{field}: write the day as 2026-03-31.") from error
    if not 1900 <= day.year <= 9000:
        raise InvalidInput(f"{field}: write the day as 2026-03-31.")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
