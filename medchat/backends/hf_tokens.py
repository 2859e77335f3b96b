"""Text to tokens and back, with the tokenizer in a model's folder.

Used by the worker process only (hf_worker.py).
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from transformers import AutoTokenizer

from medchat.backends.hf_files import shown
from medchat.errors import ContextTooLong, InvalidInput, ModelUnavailable
from medchat.records import Message

MAX_CHARACTERS_PER_TOKEN = 32  # longer texts cannot fit and are not even tokenised
CONTEXT = 6  # tokens before a piece of text that decide how it is written: with or without a space
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"
)
# What ends a turn in models whose files name only the end of a text.
TURN_ENDS = ("<end_of_turn>", "<|eot_id|>", "<|im_end|>")


class _Part(NamedTuple):
    """A piece of a prompt, and the names of tokens that count as tokens in it."""

    text: str
    tokens: frozenset[str]


class Tokens:
    """The tokenizer of a model.

    ends: the tokens that end an answer, as far as the tokenizer knows.
    has_template: whether it brings a chat template of its own. joins_words: its text is made word by word, from
    all of the words before.
    """

    def __init__(self, folder: Path) -> None:
        """Raises ModelUnavailable when there is no usable tokenizer in the folder."""
        self.name = shown(folder)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except ImportError as error:
            raise ModelUnavailable(
                f"The tokenizer of {self.name!r} needs a package that is not installed:"
                f" {str(error).strip().splitlines()[0]}"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ModelUnavailable(
                f"The model {self.name!r} has no usable tokenizer in its folder; fetch it again or choose another."
            ) from error
        self._vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        added = self._tokenizer.added_tokens_decoder.values()
        if len(self._vocabulary) <= len(added):  # made up where no file was found
            raise ModelUnavailable(
                f"The model {self.name!r} has no tokenizer in its folder; fetch it again or choose another."
            )
        names = {token.content for token in added if len(token.content) > 1 and not token.content.isspace()}
        self._all = frozenset(names)
        self._harmless = frozenset(token.content for token in added if not token.special) & self._all
        self._added = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")
        self.ends = {self._tokenizer.eos_token_id, self._tokenizer.pad_token_id}
        self.ends |= {self._vocabulary.get(name) for name in TURN_ENDS if name in names - self._harmless}
        self.ends.discard(None)
        plain = self._encode("a")
        whole: list[int] = self._tokenizer.encode("a")
        start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        self._prefix = whole[:start]  # BOS where the tokenizer adds one
        anchors = [token.content for token in added if token.special and not token.rstrip and len(token.content) > 1]
        self._anchor = self._tokenizer.eos_token if self._tokenizer.eos_token in anchors else next(iter(anchors), "")
        self.joins_words = not self._tokenizer.is_fast
        self.has_template = bool(self._tokenizer.chat_template)

    def require_fit(self, rows: int) -> None:
        """Leave out special tokens without a row in the embedding; where they are needed, or plain ones, it raises.

        A mark for images or for padding may stand behind the last row of a model that never reads it.
        """
        template = str(self._tokenizer.chat_template)
        needed = {self._tokenizer.bos_token, self._tokenizer.eos_token}
        special = self._all - self._harmless - needed
        spare = {name for name in special if self._vocabulary[name] >= rows and name not in template}
        size = max(token for name, token in self._vocabulary.items() if name not in spare) + 1
        if size > rows:
            raise ModelUnavailable(
                f"The tokenizer of {self.name!r} does not fit its weights: it has {size} tokens and they have"
                f" {rows}; fetch the model again or choose another."
            )
        self._all -= spare

    def decode(self, tokens: Sequence[int]) -> str:
        """Their text, special tokens written out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def prompt(
        self, messages: Sequence[Message], prefill: str, raw: bool, n_ctx: int, options: Mapping[str, Any]
    ) -> list[int]:
        """Tokens of the prompt, in which no word of the user counts as a special token.

        options: what the chat template is also told. A raw prompt and the prefill may hold special tokens; a
        prefill that would end the turn may not.
        Raises InvalidInput when it is empty, ContextTooLong when it is too long to be worth tokenising.
        """
        if not messages:
            raise InvalidInput("The prompt is empty; type a question.")
        characters = len(prefill) + sum(len(message.content) for message in messages)
        if characters > MAX_CHARACTERS_PER_TOKEN * n_ctx:
            raise ContextTooLong(
                f"The question and what came before it have {characters} characters and this model reads at most"
                f" {n_ctx} tokens; shorten the question or start a new conversation."
            )
        parts = [_Part(messages[-1].content, self._all)] if raw else self._chat_parts(messages, options)
        ends_turn = any(token in self.ends for token in self._encode(prefill)) if prefill else False
        tokens = self._tokens([*parts, _Part(prefill, frozenset() if ends_turn else self._all)])
        if tokens[: len(self._prefix)] != self._prefix:
            tokens = self._prefix + tokens
        if not tokens:
            raise InvalidInput("The prompt is empty; type a question.")
        return tokens

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def _tokens(self, parts: Sequence[_Part]) -> list[int]:
        """The parts' tokens: all as one text, cut within each name of a token that may not count as one."""
        text = "".join(part.text for part in parts)
        pieces: list[str] = []
        start = position = 0
        while found := self._added.search(text, position):
            if found[0] in _allowed(parts, found.start(), found.end()):
                position = found.end()
                continue
            pieces.append(text[start : found.start() + 1])
            start = position = found.start() + 1
        tokens = self._encode(text[start:]) if not pieces else self._encode(pieces[0])
        for piece in [*pieces[1:], text[start:]] if pieces else []:
            # Behind a special token, so that no tokenizer takes it for the beginning of a text.
            tokens += self._encode(self._anchor + piece)[1 if self._anchor else 0 :]
        return tokens

    def _chat_parts(self, messages: Sequence[Message], options: Mapping[str, Any]) -> list[_Part]:
        key = secrets.token_hex(16)
        turns: list[tuple[str, str]] = [
            (m.role, _behind_mark(m.content, f"{key}.{i}.")) for i, m in enumerate(messages)
        ]
        parts: list[_Part] = []
        for position, text in enumerate(re.split(rf"{key}\.(\d+)\.", self._render(turns, options))):
            if position % 2 == 0:
                parts.append(_Part(text, self._all))
            else:
                message = messages[int(text)]
                allowed = frozenset[str]() if message.role == "user" else self._harmless
                parts.append(_Part(message.content.strip(), allowed))
        return parts

    def _render(self, turns: list[tuple[str, str]], options: Mapping[str, Any]) -> str:
        """The chat with the generation prompt; a system turn the template refuses joins the first question."""
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            return self._apply(messages, options, None if self.has_template else PLAIN_TEMPLATE)
        except jinja2.TemplateSyntaxError:
            return self._apply(messages, options, PLAIN_TEMPLATE)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            if len(turns) > 1 and turns[0][0] == "system":
                (_, system), (role, content), *rest = turns
                return self._render([(role, f"{system}\n\n{content}"), *rest], options)
            raise ModelUnavailable(f"The chat template of {self.name!r} cannot write this conversation.") from error

    def _apply(self, messages: list[dict[str, str]], options: Mapping[str, Any], template: str | None) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages, **options, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        )


class TextStream:
    """Text of tokens that arrive one by one, whole characters only."""

    def __init__(self, tokens: Tokens, prompt: Sequence[int]) -> None:
        self._tokens = tokens
        self._before = list(prompt[-CONTEXT:])
        self._new: list[int] = []
        self._taken = tokens.decode(self._before)

    def add(self, token: int) -> None:
        """The next token."""
        self._new.append(token)

    def take(self, *, final: bool = False) -> str:
        """The text not yet taken; a character that is still incomplete stays unless `final`."""
        if not self._new:
            return ""
        text = self._tokens.decode([*self._before, *self._new])
        if self._tokens.joins_words and not final:
            text = text[: text.rfind(" ")]  # how the last word is joined may still change
        if not final and (text.endswith("\ufffd") or not text.startswith(self._taken)):
            return ""
        pairs = enumerate(zip(self._taken, text, strict=False))
        start = next((i for i, (one, other) in pairs if one != other), len(self._taken))
        self._taken = text
        if not self._tokens.joins_words:
            self._before = [*self._before, *self._new][-max(CONTEXT, len(self._new)) :]
            self._new.clear()
            self._taken = self._tokens.decode(self._before)
        return text[start:]


def _allowed(parts: Sequence[_Part], start: int, end: int) -> frozenset[str]:
    """The tokens that count where this stretch lies; none if it goes over the edge of a part."""
    for part in parts:
        if start < len(part.text):
            return part.tokens if end <= len(part.text) else frozenset()
        start, end = start - len(part.text), end - len(part.text)
    return frozenset()


def _behind_mark(content: str, mark: str) -> str:
    """The mark in the content's place, with the white space around it, which templates may trim."""
    core = content.strip()
    return content.replace(core, mark, 1) if core else content
