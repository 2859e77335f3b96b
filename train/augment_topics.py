"""Topics that training data hardly speak of: conditions of the knowledge base that few rows name."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from medchat.knowledge import Knowledge
from medchat.records import Example

RARE_SHARE = 0.001  # of the rows; what more of them name is no rare topic
MOST_RARE = 20  # topics, the rarest of them


class ConditionCounts:
    """How many rows name each condition of the knowledge base, by any of its names in full."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.rows = 0
        self._counts = Counter({condition.name: 0 for condition in knowledge.conditions.values()})
        self._name_of = {
            name.lower(): condition.name
            for condition in knowledge.conditions.values()
            for name in condition.all_names
            if len(name) > 3 or " " in name  # MI, PE and MS are other words too
        }
        names = "|".join(sorted(map(re.escape, self._name_of), key=len, reverse=True))
        self._finds = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])")

    def count(self, row: Example) -> None:
        """Count the conditions that the row's question or answer names, each once."""
        self.rows += 1
        text = f"{row.question}\n{row.answer or ''}".lower()
        self._counts.update({self._name_of[match[0]] for match in self._finds.finditer(text)})

    def rare(self) -> Mapping[str, int]:
        """The rarest conditions with the number of rows that name them, the rarest first."""
        most = RARE_SHARE * self.rows
        found: Iterable[tuple[str, int]] = ((name, n) for name, n in self._counts.items() if n <= most)
        return dict(sorted(found, key=lambda item: (item[1], item[0].casefold()))[:MOST_RARE])
