"""What is said of a GGUF file before it is loaded, and what a request may ask of one that is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tiny_models import (
    CHAT_TEMPLATE,
    write_chain_model,
    write_misfit,
    write_random_model,
    write_unknown_architecture,
)

from medchat.backends.llamacpp import Engine, LlamaCppBackend
from medchat.errors import ModelUnavailable
from medchat.records import Message, Request, Sampling, Text

QUESTION = Request((Message("user", "hello"),), Sampling(max_new_tokens=50))


def text_of(backend: LlamaCppBackend, request: Request = QUESTION) -> str:
    return "".join(event.text for event in backend.generate([request]) if isinstance(event, Text))


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After "a" it says the letters b to g, for ever."""
    return write_chain_model(tmp_path_factory.mktemp("models") / "letters.gguf", ["abcdefga"])


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(threads=1, slots=4, n_ctx=4096)
    yield engine
    engine.close()


# A look at a file


def test_the_check_says_what_a_model_is_without_loading_it(engine: Engine, letters: Path) -> None:
    facts = LlamaCppBackend(letters, engine).check()
    # 260 tokens x 256 in and out, 1 norm, and a block of 2 norms, 2 x 256 x 256, 2 x 32 x 256 and 3 x 512 x 256
    assert facts.parameters * 1e9 == pytest.approx(2 * 260 * 256 + 256 + 2 * 256 + 131072 + 16384 + 393216)
    assert (facts.architecture, facts.n_ctx, facts.has_chat_template) == ("llama", 8192, True)
    # The file, 256 MiB of margin, and 8,000 cells of one head of 32 with 2 bytes for each key and value.
    assert facts.memory_gb == pytest.approx((letters.stat().st_size + (256 << 20) + 8000 * 32 * 2 * 2) / 1e9)
    mapped = psutil.Process(engine.status().pid).memory_maps()
    assert not [region.path for region in mapped if region.path.endswith(".gguf")]


def test_the_check_sees_that_a_chat_template_is_missing(engine: Engine, tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "bare.gguf", ["Hi!<|end|>"], template=None)
    assert not LlamaCppBackend(path, engine).check().has_chat_template


def cut_short(path: Path) -> None:
    content = write_random_model(path).read_bytes()
    path.write_bytes(content[:-10])


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (lambda path: None, r"^There is no model file 'x\.gguf'; choose another model\.$"),
        (lambda path: path.write_text("not a model"), r"^The model file 'x\.gguf' is not a readable GGUF file"),
        (cut_short, r"^The model file 'x\.gguf' is not a readable GGUF file: it is damaged, incomplete"),
        (write_unknown_architecture, r"'x\.gguf' has the architecture 'abacus', which this llama\.cpp cannot run"),
        (lambda path: write_misfit(path, "none"), r"^The model file 'x\.gguf' has no tokenizer; choose another model"),
        (
            lambda path: write_misfit(path, "full"),
            r"'x\.gguf' has a tokenizer of 260 tokens, which does not fit its weights for 100; choose another model",
        ),
    ],
    ids=["missing", "text", "truncated", "architecture", "no-tokenizer", "misfit"],
)
def test_the_check_refuses_what_cannot_be_run_in_one_line(
    write: Callable[[Path], object], line: str, engine: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    write(path)
    backend = LlamaCppBackend(path, engine)
    for wrong in (backend.check, lambda: text_of(backend)):
        with pytest.raises(ModelUnavailable, match=line):
            wrong()


# What a request may ask


def test_the_chat_template_is_told_its_options(engine: Engine, tmp_path: Path) -> None:
    template = CHAT_TEMPLATE + "{% if thinking is defined and not thinking %}H{% endif %}"
    path = write_chain_model(tmp_path / "told.gguf", ["Hi!<|end|>", "\nx<|end|>"], template=template)
    plain, told = LlamaCppBackend(path, engine), LlamaCppBackend(path, engine, template_options={"thinking": False})
    assert [text_of(backend) for backend in (plain, told, plain)] == ["x", "i!", "x"]


def test_a_presence_penalty_keeps_every_token_from_coming_twice(engine: Engine, letters: Path) -> None:
    def answer(prefill: str, penalty: float) -> str:
        sampling = Sampling(max_new_tokens=8, presence_penalty=penalty)
        return text_of(
            LlamaCppBackend(letters, engine), Request((Message("user", "abcdefg"),), sampling, prefill=prefill)
        )

    assert answer("a", 0) == "bcdefgab"
    assert answer("b", 0) == "cdefgabc"
    # What the prompt holds is free, what the answer holds is not, nor what it was begun with.
    assert answer("b", 1000)[:6] == "cdefga"
    assert "b" not in answer("b", 1000)


def test_a_raw_prompt_begins_with_one_start_token(engine: Engine, tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "bos.gguf", ["Hi!<|end|>"], add_bos=True)
    backend = LlamaCppBackend(path, engine)
    lengths = [
        backend.count_tokens(Request((Message("user", prompt),), raw=True)) for prompt in ("abc", "<|start|>abc")
    ]
    assert lengths == [4, 4]
    assert text_of(backend, Request((Message("user", "H"),), Sampling(max_new_tokens=9), raw=True)) == "i!"
