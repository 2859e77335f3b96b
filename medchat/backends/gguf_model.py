"""One GGUF model ready to run: its KV cells and adapter, tokens of a prompt, text of a token.

Used by the worker process only (engine.py): nothing here may be called from two threads.
"""

import ctypes
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import llama_cpp as llama
from jinja2.sandbox import ImmutableSandboxedEnvironment

from medchat.backends.gguf_weights import MIB, GgufWeights, require_memory
from medchat.errors import ContextTooLong, InvalidInput, ModelUnavailable, NotEnoughMemory
from medchat.records import Message, Sampling

KV_BUDGET_BYTES = 1024 * MIB  # more slots than fit into this share cells
MAX_CHARACTERS_PER_TOKEN = 32  # longer texts cannot fit and are not even tokenised
CUT = -1  # between two plain texts that must not be tokenised as one
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"
)


class GgufModel:
    """A llama.cpp context of a model, with one adapter or none, and `slots` + 1 sequences over shared KV cells.

    An adapter is set for a whole context: each has cells of its own, so that they never mix.
    n_ctx: tokens a prompt and its completion may have together. cells: KV cells of all sequences.
    own_bytes: memory that it takes beside the weights.
    chunk: tokens of a prompt to compute in one step, so that a step of a large model stays short.
    can_share: cells of one sequence can be lent to another (not so for recurrent models).
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        slots: int,
        n_ctx: int,
        available_bytes: int,
        adapter: Path | None = None,
        weights: GgufWeights | None = None,
    ) -> None:
        """Load it into at most `available_bytes`; weights: those of this file, if they are loaded already.

        Raises ModelUnavailable when a file is missing, broken or of an unknown architecture, or the adapter is
        not one for this model, NotEnoughMemory when it would not fit.
        """
        self.name = path.name
        self.weights = weights or GgufWeights(path, available_bytes)
        weights_bytes = 0 if weights else self.weights.needed_bytes
        self.weights.hold()
        self.model = self.weights.model
        self._adapter: Any = None
        try:
            if adapter:
                self._adapter = self.weights.load_adapter(adapter)
            self.n_ctx = min(n_ctx, llama.llama_model_n_ctx_train(self.model))
            cell_bytes, head_dim = self.weights.cell_bytes()
            fixed_bytes = adapter.stat().st_size if adapter else 0
            kv_bytes = min(KV_BUDGET_BYTES, available_bytes - weights_bytes - fixed_bytes)
            self.cells = max(self.n_ctx, min(slots * self.n_ctx, kv_bytes // cell_bytes))
            self.own_bytes = fixed_bytes + self.cells * cell_bytes
            require_memory(self.name, weights_bytes + self.own_bytes, available_bytes)
            self.context = self._new_context(threads, slots, head_dim)
        except (ModelUnavailable, NotEnoughMemory):
            self._free()
            raise
        self.memory = llama.llama_get_memory(self.context)
        self.vocab = llama.llama_model_get_vocab(self.model)
        self.n_vocab = llama.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[int, bytes | None] = {}
        self._template = self._compile_template()

    def close(self) -> None:
        """Free the cells, and the weights unless another context needs them."""
        llama.llama_free(self.context)
        self._free()

    # Loading

    def _free(self) -> None:
        if self._adapter:
            llama.llama_adapter_lora_free(self._adapter)
        self.weights.release()

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
        if self._adapter:
            adapters = (llama.llama_adapter_lora_p_ctypes * 1)(self._adapter)
            llama.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0))
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

    def sampler(self, sampling: Sampling, begun: Sequence[int] = ()) -> Any:
        """A sampler chain of its own; the caller frees it. begun: tokens that the completion begins with."""
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        if sampling.presence_penalty:
            penalties = llama.llama_sampler_init_penalties(self.n_vocab, self.n_ctx, 1, 0, sampling.presence_penalty)
            llama.llama_sampler_chain_add(chain, penalties)
            for token in begun:
                llama.llama_sampler_accept(chain, token)
        if sampling.greedy:
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

    def prompt(
        self, messages: Sequence[Message], prefill: str, raw: bool, template_options: Mapping[str, Any] | None = None
    ) -> list[int]:
        """Tokens of the prompt, in which no word of the user counts as a special token.

        template_options: what the chat template is also told.
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
        pieces = (
            self._control_pieces(messages[-1].content) if raw else self._chat_pieces(messages, template_options or {})
        )
        continued = self._control_pieces(prefill)
        ends_turn = any(isinstance(piece, int) and self.piece(piece) is None for piece in continued)
        tokens = self._join([*pieces, *([prefill] if ends_turn else continued)])
        bos = llama.llama_vocab_bos(self.vocab)
        if llama.llama_vocab_get_add_bos(self.vocab) and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        if not tokens:
            raise InvalidInput("The prompt is empty; type a question.")
        return tokens

    def _chat_pieces(self, messages: Sequence[Message], options: Mapping[str, Any]) -> list[str | int]:
        """The rendered chat as plain text and control tokens; only the template writes the latter."""
        key = secrets.token_hex(16)
        turns = [(m.role, _behind_mark(m.content, f"{key}.{i}.")) for i, m in enumerate(messages)]
        rendered = self._render(turns, options)
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

    def _render(self, turns: Sequence[tuple[str, str]], options: Mapping[str, Any]) -> str:
        """The chat with the generation prompt; a system turn the template refuses joins the first question."""
        try:
            messages = [{"role": role, "content": content} for role, content in turns]
            return self._template.render({**options, "messages": messages, "add_generation_prompt": True})
        except (jinja2.TemplateError, TypeError) as error:
            if len(turns) > 1 and turns[0][0] == "system":
                (_, system), (role, content), *rest = turns
                return self._render([(role, f"{system}\n\n{content}"), *rest], options)
            raise ModelUnavailable(f"The chat template of {self.name!r} cannot write this conversation.") from error


def _behind_mark(content: str, mark: str) -> str:
    """The mark in the content's place, with the white space around it, which templates may trim."""
    core = content.strip()
    return content.replace(core, mark, 1) if core else content


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
