"""An answer that is shown more slowly than it is written."""

from collections.abc import Iterator

from medchat.formats import IncrementalParser
from medchat.live import LiveAnswer
from medchat.pacing import Progress
from medchat.parsed import Parsed
from medchat.records import Text
from medchat.turns import EndPhase, TurnView

LINGER_S = 0.25


class PacedAnswer(LiveAnswer):
    """A LiveAnswer of which as much counts as was let out; its end waits until all of it is.

    What is let out is parsed by itself: it cannot depend on how far the model is ahead. Stopped, it keeps what
    was let out, which is what its reader saw; `raw` has all that the model wrote until then. The model goes on unseen,
    to be measured, until let_all_out().
    """

    def __init__(self, view: TurnView, answer_format: str, *, began: float | None = None) -> None:
        super().__init__(view, answer_format, began=began)
        self._waiting: list[Text] = []
        self._shown_parser = IncrementalParser(answer_format)
        self._shown_parsed = Parsed("", "", complete=False)
        self._n_shown = 0
        self._n_written = 0
        self._written = False
        self._is_out = False

    @property
    def is_out(self) -> bool:
        """Whether all is shown that ever will be."""
        return self._is_out

    @property
    def ending(self) -> bool:
        """Whether whoever writes is to leave off."""
        return self._ending is not None and (self._ending != "stopped" or self._is_out)

    def progress(self) -> Progress:
        """Characters of reasoning and solution that the model has written, and whether no more will come."""
        with self._changed:
            return Progress(self._n_written, self._written or self._is_out or self.ending)

    def text(self) -> tuple[str, str]:
        """Reasoning and solution as far as they were let out."""
        reasoning, solution = self._shown_parsed.reasoning, self._shown_parsed.solution
        return reasoning[: self._n_shown], solution[: max(0, self._n_shown - len(reasoning))]

    def feed(self, event: Text) -> None:
        """Add what the model wrote."""
        with self._changed:
            if not event.text or self.ending:
                return
            if self._ending:
                parsed = self._parser.feed(event.text, event.kind)
            else:
                self._waiting.append(event)
                super().feed(event)
                parsed = self._parsed
            self._n_written = len(parsed.reasoning) + len(parsed.solution)

    def let_out(self, n_chars: int) -> None:
        """Show so many characters from the beginning; never fewer than before."""
        with self._changed:
            if self._ending or self._is_out:
                return
            while self._n_parsed() < n_chars and self._waiting:
                self._parse_some(n_chars - self._n_parsed())
            self._n_shown = max(self._n_shown, n_chars)

    def let_all_out(self) -> None:
        """Show everything and let it end; of one that was stopped only the model ends."""
        with self._changed:
            if self._is_out:
                return
            if not self._ending:
                while self._waiting:
                    self._parse_some(len(self._waiting[0].text))
                self._shown_parsed = self._shown_parser.finish()
                self._n_shown = self._n_written = self._n_parsed()
            self._is_out = True
            self._changed.notify_all()

    def linger(self) -> Iterator[None]:
        """Time passes until all is let out, or somebody ends it."""
        with self._changed:
            self._written = True
            if self._done_ms is None:  # it failed: the time until it is shown is not the model's
                self._done_ms = self._elapsed_ms()
        while not (self._is_out or self._ending):
            with self._changed:
                self._changed.wait_for(lambda: bool(self._is_out or self._ending), LINGER_S)
            yield

    def claim_end(self, phase: EndPhase, error: str = "") -> bool:
        """Whether the caller is the first to end it; the text stands still where it was let out."""
        with self._changed:
            claimed = super().claim_end(phase, error)
            self._changed.notify_all()
            return claimed

    def _text_at_end(self) -> Parsed:
        if self._is_out:
            return self._shown_parsed
        reasoning, solution = self.text()
        return Parsed(reasoning, solution, complete=False)

    def _n_parsed(self) -> int:
        return len(self._shown_parsed.reasoning) + len(self._shown_parsed.solution)

    def _parse_some(self, n_chars: int) -> None:
        """Parse at most so many more characters."""
        first = self._waiting[0]
        self._shown_parsed = self._shown_parser.feed(first.text[:n_chars], first.kind)
        if len(first.text) > n_chars:
            self._waiting[0] = first._replace(text=first.text[n_chars:])
        else:
            del self._waiting[0]
