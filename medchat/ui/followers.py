"""Who watches an answer for which page: a page shows one conversation, so the newest watcher ends the one before."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

PATIENCE_S = 2.0  # of the newer one, until the older has shown its last frame


class Follower:
    """Frames for one page until another follower takes it over."""

    def __init__(self) -> None:
        self._over = Event()
        self.gone = Event()

    def replace(self) -> None:
        """End it."""
        self._over.set()

    def pause(self, seconds: float) -> bool:
        """Whether the page is still this follower's, after so long or as soon as it is not."""
        return not self._over.wait(seconds)


class Followers:
    """The follower of each open page; a page is known by its owner and a key of its own making."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pages: dict[tuple[str, str], Follower] = {}

    @contextmanager
    def page(self, owner: str, page_key: str) -> Iterator[Follower]:
        """The page's follower within the block; the one before has left when the block begins.

        What is shown from then on stays: no late frame of another conversation comes over it.
        """
        follower = Follower()
        with self._lock:
            before = self._pages.get((owner, page_key))
            self._pages[owner, page_key] = follower
        try:
            if before:
                before.replace()
                before.gone.wait(PATIENCE_S)
            yield follower
        finally:
            with self._lock:
                if self._pages.get((owner, page_key)) is follower:
                    del self._pages[owner, page_key]
            follower.gone.set()
