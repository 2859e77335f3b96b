"""What conditions are kinds of, and how frequent they are: assets/condition_groups.yaml, checked."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medchat.errors import InvalidInput
from medchat.settings import ASSETS
from medchat.yaml_lines import line_of, read_yaml

Words = Annotated[str, Field(min_length=2, max_length=80)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parent(_Strict):
    """A disease of which conditions are kinds. names: its other names; of: ids of the conditions."""

    name: Words
    names: tuple[Words, ...]
    of: Annotated[tuple[str, ...], Field(min_length=1)]


class ConditionGroups(_Strict):
    """Parents of conditions, and the ids of the common and the rare ones."""

    parents: tuple[Parent, ...]
    common: frozenset[str]
    rare: frozenset[str]

    def frequency(self, condition_id: str) -> str:
        """ "common", "rare", or "" where it is neither."""
        return "common" if condition_id in self.common else "rare" if condition_id in self.rare else ""


@lru_cache(maxsize=4)
def condition_groups(path: Path = ASSETS / "condition_groups.yaml") -> ConditionGroups:
    """The groups of a file. Raises InvalidInput with file and line for one that breaks the schema."""
    raw, lines = read_yaml(path)
    try:
        return ConditionGroups.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}:{line_of(lines, first['loc'])}: {place}: {first['msg']}.") from error
