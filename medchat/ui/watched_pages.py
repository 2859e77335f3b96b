"""The open pages that follow something, and what each of them was shown: the newest ones, for all threads at once."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

from medchat.accounts import User

MOST_PAGES = 500
PageT = TypeVar("PageT")


class WatchedPages(Generic[PageT]):
    """Pages by who looks at them and by their key; the ones that were opened longest ago are forgotten."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pages: OrderedDict[tuple[str, str], PageT] = OrderedDict()

    def put(self, user: User, page_key: str, page: PageT) -> None:
        """What the page shows from now on."""
        with self._lock:
            self._pages[user.id, page_key] = page
            self._pages.move_to_end((user.id, page_key))
            while len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)

    def get(self, user: User, page_key: str) -> PageT | None:
        """What the page shows; None where it is not known (any more)."""
        with self._lock:
            return self._pages.get((user.id, page_key))
