"""A trained adapter on the Hugging Face Hub, with its card; private unless somebody says otherwise.

The token comes from HF_TOKEN alone. Only the files named here travel: no reference adapter, no optimiser state, no
row of the data.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub import logging as hub_logging
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from medchat.errors import AccessDenied, InvalidInput, MedChatError, NotFound
from medchat.settings import LOOPBACK, secret

ALLOWED = (
    "README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model",
)  # fmt: skip
NEEDED = ("README.md", "adapter_config.json", "adapter_model.safetensors")
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
MESSAGE = "Upload of an adapter trained with MedChat"


def upload_adapter(folder: Path, repo: str, *, public: bool = False, endpoint: str = constants.ENDPOINT) -> str:
    """The address of the repository that now has the adapter in the folder, made when there was none.

    endpoint: of the Hub, as HF_ENDPOINT says. Raises NotFound or InvalidInput when something is missing, AccessDenied
    when the Hub refuses HF_TOKEN, MedChatError when it cannot be reached.
    """
    if not REPO.fullmatch(repo):
        raise InvalidInput("Name the repository OWNER/NAME, such as my-team/our-adapter.")
    for name in NEEDED:
        if not (folder / name).is_file():
            raise NotFound(f"The adapter {folder.name!r} has no {name}; nothing was uploaded.")
    token = _token(endpoint)
    api = HfApi(endpoint=endpoint, token=token, library_name="medchat")
    hub_logging.set_verbosity_error()  # it would remark that open files go by HTTP
    with _clear_errors(repo, endpoint), ExitStack() as opened:
        # Open files, not paths: these would go by a second protocol, which not every Hub of one's own speaks.
        files = [
            CommitOperationAdd(name, opened.enter_context((folder / name).open("rb")))
            for name in ALLOWED
            if (folder / name).is_file()
        ]
        url = api.create_repo(repo, private=not public, exist_ok=True)
        api.create_commit(repo, files, commit_message=MESSAGE)
    return str(url)


def _token(endpoint: str) -> str:
    token = secret("HF_TOKEN")
    if not token:
        raise AccessDenied("Set the environment variable HF_TOKEN to a token of the Hub that may write.")
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise InvalidInput(
            f"HF_TOKEN would travel to {parts.hostname} for everybody to read: set HF_ENDPOINT to an address that"
            " begins with https://, or unset it."
        )
    return token


@contextmanager
def _clear_errors(repo: str, endpoint: str) -> Iterator[None]:
    """What can go wrong with the Hub, in a line."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise MedChatError("The Hub is switched off here (HF_HUB_OFFLINE is set); unset it to upload.") from error
    except HFValidationError as error:
        raise InvalidInput(f"The Hub takes no repository called {repo!r}.") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        if code in (401, 403):
            raise AccessDenied(f"The Hub refuses HF_TOKEN: is it valid, and may it write {repo}?") from error
        raise MedChatError(f"The Hub did not take {repo} (HTTP {code}); try again later.") from error
    except httpx2.RequestError as error:
        raise MedChatError(
            f"The Hub cannot be reached ({urlsplit(endpoint).hostname}), or the connection broke; try again."
        ) from error
