"""One GGUF model in memory: its weights and KV cells, tokens of a prompt, text of a token.

Used by the worker process only (engine.py): nothing here may be called from two threads.
"""

import ctypes
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import llama_cpp as llama
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medchat.errors import ContextTooLong, InvalidInput, ModelUnavailable, NotEnoughMemory
from medchat.records import Message, Sampling

LOG_LEVEL_ERROR = 4  # GGML_LOG_LEVEL_ERROR of ggml.h
MIB = 1 << 20
MARGIN_BYTES = 256 * MIB  # compute buffers, vocabulary, and air for everybody else
KV_BUDGET_BYTES = 1024 * MIB  # more slots than fit into this share cells
MAX_CHARACTERS_PER_TOKEN = 32  # longer texts cannot fit and are not even tokenised
CUT = -1  # between two plain texts that must not be tokenised as one
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"
)

_load_errors: list[str] = []


def _keep_errors(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    if level == LOG_LEVEL_ERROR:
        _load_errors.append(text.decode(errors="replace").strip())


_log_callback = llama.llama_log_callback(_keep_errors)  # referred to here as long as llama.cpp calls it
llama.llama_log_set(_log_callback, ctypes.c_void_p(0))


class GgufModel:
    """A loaded model and its llama.cpp context with `slots` + 1 sequences over shared KV cells.

    n_ctx: tokens a prompt and its completion may have together. cells: KV cells of all sequences.
    chunk: tokens of a prompt to compute in one step, so that a step of a large model stays short.
    can_share: cells of one sequence can be lent to another (not so for recurrent models).
    """

    def __init__(self, path: Path, *, threads: int, slots: int, n_ctx: int, available_bytes: int) -> None:
        """Load it into at most `available_bytes`.

        Raises ModelUnavailable when the file is missing, broken or of an unknown architecture,
        NotEnoughMemory when it would not fit.
        """
        self.name = path.name
        if not path.is_file():
            raise ModelUnavailable(f"There is no model file {self.name!r}; choose another model.")
        file_bytes = path.stat().st_size
        self._require_memory(file_bytes + MARGIN_BYTES, available_bytes)
        self.model = self._load(path)
        try:
            self.n_ctx = min(n_ctx, llama.llama_model_n_ctx_train(self.model))
            cell_bytes, head_dim = self._cell_bytes()
            kv_bytes = min(KV_BUDGET_BYTES, available_bytes - file_bytes - MARGIN_BYTES)
            self.cells = max(self.n_ctx, min(slots * self.n_ctx, kv_bytes // cell_bytes))
            self.needed_bytes = file_bytes + MARGIN_BYTES + self.cells * cell_bytes
            self._require_memory(self.needed_bytes, available_bytes)
            self.context = self._new_context(threads, slots, head_dim)
        except (ModelUnavailable, NotEnoughMemory):
            llama.llama_model_free(self.model)
            raise
        self.memory = llama.llama_get_memory(self.context)
        self.vocab = llama.llama_model_get_vocab(self.model)
        self.n_vocab = llama.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[int, bytes | None] = {}
        self._template = self._compile_template()

    def close(self) -> None:
        """Free weights and cells."""
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)

    # Loading

    def _require_memory(self, needed_bytes: int, available_bytes: int) -> None:
        if needed_bytes > available_bytes:
            raise NotEnoughMemory(
                f"Loading {self.name!r} needs about {needed_bytes // MIB} MB of memory and {available_bytes // MIB} MB"
                " are free; close other programs or choose a smaller model."
            )

    def _load(self, path: Path) -> Any:
        _load_errors.clear()
        model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        if model is None:
            unknown = re.search(r"unknown model architecture: '(.*?)'", " ".join(_load_errors))
            if unknown:
                self._cannot_run(f"has the architecture {unknown[1]!r}, which this llama.cpp cannot run")
            self._cannot_run("is not a readable GGUF file: it is damaged, incomplete or something else")
        if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
            llama.llama_model_free(model)
            self._cannot_run("is not a model that writes text")
        return model

    def _cannot_run(self, why: str) -> NoReturn:
        raise ModelUnavailable(f"The model file {self.name!r} {why}; choose another model.")

    def _cell_bytes(self) -> tuple[int, int]:
        """Bytes of a KV cell over all layers (two a value), and the width of an attention head."""
        width = llama.llama_model_n_embd(self.model) // max(1, llama.llama_model_n_head(self.model))
        architecture = self._metadata("general.architecture")
        key = int(self._metadata(f"{architecture}.attention.key_length") or width)
        value = int(self._metadata(f"{architecture}.attention.value_length") or width)
        heads = llama.llama_model_n_layer(self.model) * llama.llama_model_n_head_kv(self.model)
        return max(1, heads * (key + value) * 2), key

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(128)
        length = llama.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length > 0 else ""

    def _new_context(self, threads: int, slots: int, head_dim: int) -> Any:
        n_params = llama.llama_model_n_params(self.model)
        self.chunk = 128 if n_params < 250e6 else 64 if n_params < 1e9 else 32
        self.can_share = not (llama.llama_model_is_recurrent(self.model) or llama.llama_model_is_hybrid(self.model))
        params = llama.llama_context_default_params()
        params.n_ctx = self.cells
        params.n_seq_max = slots + 1
        params.kv_unified = True
        params.n_batch = params.n_ubatch = self.chunk + slots
        params.n_threads = params.n_threads_batch = threads
        # Flash attention gains with wide heads; with narrow ones in f16 it loses on CPUs, and q8_0 cells make
        # it twice as fast as doing without (heads of 32, eight sequences: 2,900 against 1,400 tokens/s).
        if head_dim == 32:
            params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
            params.type_k = params.type_v = llama.GGML_TYPE_Q8_0
        elif head_dim < 64:
            params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama.llama_init_from_model(self.model, params)
        if context is None:
            raise NotEnoughMemory(f"There is not enough memory to run {self.name!r}; choose a smaller model.")
        return context

    # Tokens

    def piece(self, token: int) -> bytes | None:
        """The token's bytes, special ones written out; None when it ends the answer."""
        if token not in self._pieces:
            ends = llama.llama_vocab_is_eog(self.vocab, token)
            self._pieces[token] = None if ends else self._spelling(token)
        return self._pieces[token]

    def _spelling(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        length = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
        return buffer.raw[:length]

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        data = text.encode(errors="replace")
        size = len(data) + 8
        buffer = (llama.llama_token * size)()
        return buffer[: llama.llama_tokenize(self.vocab, data, len(data), buffer, size, False, special)]

    def sampler(self, sampling: Sampling) -> Any:
        """A sampler chain of its own; the caller frees it."""
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling.temperature <= 0:
            llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_greedy())
            return chain
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_temp(sampling.temperature))
        if sampling.top_k > 0:
            llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_top_p(sampling.top_p, 1))
        seed = sampling.seed % llama.LLAMA_DEFAULT_SEED  # that one value means a random seed
        llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_dist(seed))
        return chain

    # Prompts

    def prompt(self, messages: Sequence[Message], prefill: str, raw: bool) -> list[int]:
        """Tokens of the prompt, in which no word of the user counts as a special token.

        A raw prompt and the prefill may hold special tokens; a prefill that would end the turn may not.
        Raises InvalidInput when it is empty, ContextTooLong when it is too long to be worth tokenising.
        """
        if not messages:
            raise InvalidInput("The prompt is empty; type a question.")
        characters = len(prefill) + sum(len(message.content) for message in messages)
        if characters > MAX_CHARACTERS_PER_TOKEN * self.n_ctx:
            raise ContextTooLong(
                f"The question and what came before it have {characters} characters and this model reads at most"
                f" {self.n_ctx} tokens; shorten the question or start a new conversation."
            )
        pieces = self._control_pieces(messages[-1].content) if raw else self._chat_pieces(messages)
        continued = self._control_pieces(prefill)
        ends_turn = any(isinstance(piece, int) and self.piece(piece) is None for piece in continued)
        tokens = self._join([*pieces, *([prefill] if ends_turn else continued)])
        bos = llama.llama_vocab_bos(self.vocab)
        if llama.llama_vocab_get_add_bos(self.vocab) and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        if not tokens:
            raise InvalidInput("The prompt is empty; type a question.")
        return tokens

    def _chat_pieces(self, messages: Sequence[Message]) -> list[str | int]:
        """The rendered chat as plain text and control tokens; only the template writes the latter."""
        key = secrets.token_hex(16)
        rendered = self._render([(m.role, _behind_mark(m.content, f"{key}.{i}.")) for i, m in enumerate(messages)])
        pieces: list[str | int] = []
        for position, part in enumerate(re.split(rf"{key}\.(\d+)\.", rendered)):
            if position % 2 == 0:
                pieces += self._control_pieces(part)
            elif messages[int(part)].role == "user":
                pieces += self._quoted_pieces(messages[int(part)].content.strip())
            else:
                pieces.append(messages[int(part)].content.strip())
        return pieces

    def _control_pieces(self, text: str) -> list[str | int]:
        """The text cut at its control tokens."""
        pieces: list[str | int] = []
        for token in self._tokenize(text, special=True):
            if llama.llama_vocab_is_control(self.vocab, token):
                before, _, text = text.partition(self._spelling(token).decode(errors="replace"))
                pieces += [before, token]
        return [*pieces, text]

    def _quoted_pieces(self, text: str) -> list[str | int]:
        """The text cut within every name of a token that llama.cpp would read even in plain text.

        Those are user-defined tokens; the turn marks of some models are among them.
        """
        pieces: list[str | int] = []
        for token in self._tokenize(text, special=False):
            if llama.llama_vocab_get_attr(self.vocab, token) & llama.LLAMA_TOKEN_ATTR_USER_DEFINED:
                name = self._spelling(token).decode(errors="replace")
                if not name.isspace():
                    before, _, after = text.partition(name)
                    pieces += [before + name[:1], CUT]
                    text = name[1:] + after
        return [*pieces, text]

    def _join(self, pieces: Sequence[str | int]) -> list[int]:
        """Tokens of the pieces; neighbouring plain texts are tokenised as one, as in training."""
        tokens: list[int] = []
        text = ""
        for piece in [*pieces, CUT]:
            if isinstance(piece, str):
                text += piece
                continue
            if text:
                tokens += self._tokenize(text, special=False)
                text = ""
            if piece != CUT:
                tokens.append(piece)
        return tokens

    def _compile_template(self) -> jinja2.Template:
        source = (llama.llama_model_chat_template(self.model, None) or b"").decode(errors="replace")
        # A mark that only training reads; jinja2 does not know it.
        source = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", source)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals |= {
            "raise_exception": _refuse,
            "strftime_now": lambda form: datetime.now().strftime(form),
            "bos_token": self._special(llama.llama_vocab_bos(self.vocab)),
            "eos_token": self._special(llama.llama_vocab_eos(self.vocab)),
        }
        try:
            return environment.from_string(source or PLAIN_TEMPLATE)
        except jinja2.TemplateError:
            return environment.from_string(PLAIN_TEMPLATE)

    def _special(self, token: int) -> str:
        return self._spelling(token).decode(errors="replace") if token >= 0 else ""

    def _render(self, turns: list[tuple[str, str]]) -> str:
        """The chat with the generation prompt; a system turn the template refuses joins the first question."""
        try:
            return self._template.render(
                messages=[{"role": role, "content": content} for role, content in turns], add_generation_prompt=True
            )
        except (jinja2.TemplateError, TypeError) as error:
            if len(turns) > 1 and turns[0][0] == "system":
                (_, system), (role, content), *rest = turns
                return self._render([(role, f"{system}\n\n{content}"), *rest])
            raise ModelUnavailable(f"The chat template of {self.name!r} cannot write this conversation.") from error


def _behind_mark(content: str, mark: str) -> str:
    """The mark in the content's place, with the white space around it, which templates may trim."""
    core = content.strip()
    return content.replace(core, mark, 1) if core else content


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
