"""What is made of the decisions in the end: a data set with them applied, or a validation that is kept from then on."""

from collections.abc import Callable, Iterator
from pathlib import Path

from medchat.accounts import REVIEW_APPLIED, REVIEW_FROZEN, User
from medchat.errors import InvalidInput, MedChatError
from medchat.settings import Settings
from medchat.ui.common import counted, escape
from medchat.ui.data_child import Children, Said
from medchat.ui.data_folders import Folder, folder_named, folders_dir
from medchat.ui.data_headline import rows_words
from medchat.ui.data_sources import UPLOADED

REVIEW_S = 1800.0
NO_SAMPLE = "Nobody is asked to review rows of this data set: check its quality first."
DONE = {"apply": REVIEW_APPLIED, "freeze": REVIEW_FROZEN}  # what is noted in the audit
DOING = {"apply": "Applying the decisions", "freeze": "Writing the reviewed validation"}


class Finish:
    """The commands at the end of a review; a page waits for one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children = Children(settings)

    def run(
        self, user: User, page_key: str, verb: str, name: str, note: Callable[[str, str, str], None]
    ) -> Iterator[str]:
        """How long it has taken, again and again, and then what came of it; verb: "apply" or "freeze".

        note: is told what was done, of which data set, and what was written.
        """
        try:
            folder = reviewed_folder(self._settings, name)
            out = applied_folder(self._settings, folder) if verb == "apply" else frozen_file(self._settings, folder)
            arguments = ["-m", "train", "review", str(folder.path), f"--{verb}", str(out)]
            for said in self._children.run((user.id, page_key, "review"), arguments, REVIEW_S):
                if not isinstance(said, Said):
                    yield _doing_html(DOING[verb], said)
                    continue
                note(DONE[verb], folder.name, out.name)
                if verb == "apply":
                    yield _applied_html(folder_named(self._settings, out.name), may_train="train" in user.rights)
                else:
                    yield _frozen_html(out)
        except MedChatError as error:
            yield f'<p class="mc-fault" role="alert">{escape(str(error))}</p>'

    def stop(self, user: User, page_key: str) -> None:
        """End what the page waits for."""
        self._children.stop((user.id, page_key, "review"))


def reviewed_folder(settings: Settings, name: str) -> Folder:
    """The data set, which has a sample. Raises NotFound, InvalidInput."""
    folder = folder_named(settings, name)
    if not folder.n_review:
        raise InvalidInput(NO_SAMPLE)
    return folder


def applied_folder(settings: Settings, folder: Folder) -> Path:
    """Where the rows with the decisions go: a name of the data set's own that is free."""
    return _free(folders_dir(settings), f"{folder.name}-reviewed")


def frozen_file(settings: Settings, folder: Folder) -> Path:
    """Where the reviewed validation goes: a free name among the files that a new data set may name."""
    place = settings.data_dir / UPLOADED
    place.mkdir(parents=True, exist_ok=True)
    return _free(place, f"{folder.name}-frozen", ".jsonl")


def _free(place: Path, name: str, suffix: str = "") -> Path:
    """The name, with a number behind it where it is taken."""
    taken = {path.name for path in place.glob("*")}
    names = (f"{name}{f'-{n}' if n > 1 else ''}{suffix}" for n in range(1, len(taken) + 2))
    return place / next(one for one in names if one not in taken)


def _doing_html(doing: str, seconds: float) -> str:
    took = f" {seconds:.0f} s" if seconds >= 2 else ""
    return (
        f'<p class="mc-checking" role="status">{escape(doing)}…{took} <button type="button" class="mc-button" '
        'data-do="review-stop" id="review-stop">Stop</button></p>'
    )


def _applied_html(folder: Folder, *, may_train: bool) -> str:
    dropped = folder.report.get("dropped")
    out = dropped if isinstance(dropped, dict) else {}
    rows = "".join(f"<li>{n:,} {escape(why)}</li>" for why, n in out.items())
    left = f"<p>Left out:</p><ul>{rows}</ul>" if rows else "<p>Nothing was left out.</p>"
    train = (
        f'<button type="button" class="mc-button mc-primary" data-do="data-train" data-folder="{escape(folder.name)}" '
        'id="review-train">Train on this</button>'
        if may_train
        else ""
    )
    name, words = escape(folder.name), escape(rows_words(folder))
    return (
        '<section class="mc-review-done" aria-labelledby="review-done-title"><h3 id="review-done-title" tabindex="-1">'
        f"The decisions are applied: {name}</h3><p>{words}. It stands among the data sets.</p>"
        f'{left}<div class="mc-form-buttons">{train}</div></section>'
    )


def _frozen_html(file: Path) -> str:
    with file.open("rb") as lines:
        n = sum(bool(line.strip()) for line in lines)
    return (
        '<section class="mc-review-done" aria-labelledby="review-done-title"><h3 id="review-done-title" tabindex="-1">'
        f"{counted(n, 'row')} of the validation {'is' if n == 1 else 'are'} frozen</h3><p>Choose the file as “Reviewed "
        "validation rows” of a new data set: what is in it stays in the validation.</p>"
        f'<pre class="mc-code" tabindex="0" role="region" aria-label="File">{escape(str(file))}</pre></section>'
    )
