"""Models through transformers: precisions, adapters that never mix, scores, memory, and the same text as elsewhere."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from peft import PeftModel
from tiny_hf import UNLIKE_THOSE, write_adapter, write_chain_model, write_random_model
from tiny_models import CHAT_TEMPLATE
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from medchat.backends.hf_decoding import Completion, DecodeLoop, Event
from medchat.backends.hf_local import HfBackend, HfEngine
from medchat.backends.hf_model import MARGIN_BYTES, HfModel, memory_checked
from medchat.backends.llamacpp import LlamaCppBackend
from medchat.errors import ModelUnavailable, NotEnoughMemory
from medchat.records import Done, Message, Request, Sampling, Text
from medchat.settings import ASSETS

GIB = 1 << 30
CASES = (
    "A 58-year-old man has crushing chest pain that spreads to the left arm, with sweating.",
    "A 6-year-old has a sore throat, fever and a rash that feels like sandpaper.",
    "A woman of 34 lost weight, has a tremor, palpitations and protruding eyes.",
)


def ask(content: str, *, prefill: str = "", raw: bool = False, **sampling: Any) -> Request:
    return Request((Message("user", content),), Sampling(**sampling), prefill, raw)


def texts_of(backend: Any, requests: Sequence[Request]) -> list[str]:
    texts = [""] * len(requests)
    for event in backend.generate(requests):
        if isinstance(event, Text):
            texts[event.index] += event.text
    return texts


@pytest.fixture(scope="module")
def engine() -> Iterator[HfEngine]:
    engine = HfEngine(threads=1, n_ctx=4096)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with two adapters for it, and another base."""
    folder = tmp_path_factory.mktemp("models")
    write_random_model(folder / "base")
    write_random_model(folder / "other", seed=7)
    write_adapter(folder / "a", folder / "base", seed=1)
    write_adapter(folder / "b", folder / "base", seed=2, target_modules="all-linear")
    return folder


def direct_text(path: Path, prompt: str, max_new_tokens: int, adapter: Path | None = None) -> str:
    """What transformers itself makes of a prompt."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    made = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=1
    )
    return str(tokenizer.decode(made[0, ids.shape[1] :]).removesuffix("<|end|>"))


# Precisions and architectures


@pytest.mark.parametrize("precision", ["nf4", "int8", "bf16", "fp32"])
def test_a_model_answers_in_every_precision(engine: HfEngine, tmp_path: Path, precision: str) -> None:
    backend = HfBackend(write_chain_model(tmp_path / "chain", ["Hi!<|end|>"]), engine, precision=precision)
    assert texts_of(backend, [ask("x", prefill="H"), ask("y", prefill="H")]) == ["i!", "i!"]
    backend.close()


def test_weights_that_are_packed_already_are_loaded_as_they_are(engine: HfEngine, tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain", ["Hi!<|end|>"])
    bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    AutoModelForCausalLM.from_pretrained(path, quantization_config=bits, device_map="cpu").save_pretrained(path)
    backend = HfBackend(path, engine, precision="fp32")
    assert texts_of(backend, [ask("x", prefill="H")]) == ["i!"]
    assert backend.check().parameters == pytest.approx(0.000724, rel=0.01)
    backend.close()


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3", "llama", "mistral", *UNLIKE_THOSE])
def test_long_answers_in_a_batch_are_those_of_transformers_itself(
    engine: HfEngine, tmp_path: Path, architecture: str
) -> None:
    # Prompts of several lengths, over chunks (128) and over the window of those layers that have one (16).
    path = write_random_model(tmp_path / "model", architecture)
    prompts = ["short", "a prompt of middle length " * 3, "a long one " * 30]
    backend = HfBackend(path, engine, precision="fp32")
    texts = texts_of(backend, [ask(prompt, raw=True, max_new_tokens=60) for prompt in prompts])
    assert texts == [direct_text(path, prompt, 60) for prompt in prompts]
    backend.close()


def test_a_chat_is_tokenised_as_transformers_does_it(engine: HfEngine, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    messages = (Message("system", "Be brief."), Message("user", " Fever? "), Message("assistant", "Yes."))
    turns = [{"role": message.role, "content": message.content} for message in messages]
    whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    backend = HfBackend(folder / "base", engine, precision="fp32")
    assert backend.count_tokens(Request(messages)) == len(tokenizer.encode(whole))
    request = Request(messages, Sampling(max_new_tokens=20))
    assert texts_of(backend, [request]) == [direct_text(folder / "base", whole, 20)]


def with_token(path: Path, name: str, **kind: bool) -> Path:
    """The folder with one more token than the weights have rows."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_tokens([AddedToken(name, **kind)], special_tokens=kind.get("special", False))
    tokenizer.save_pretrained(path)
    return path


def test_a_plain_token_behind_the_last_row_is_refused(engine: HfEngine, tmp_path: Path) -> None:
    path = with_token(write_chain_model(tmp_path / "chain", ["Hi!<|end|>"]), "<think>")
    with pytest.raises(ModelUnavailable, match=r"does not fit its weights: it has 261 tokens and they have 260"):
        HfBackend(path, engine).count_tokens(ask("x"))


def test_a_mark_behind_the_last_row_that_no_chat_needs_is_read_as_text(engine: HfEngine, tmp_path: Path) -> None:
    path = with_token(write_chain_model(tmp_path / "chain", ["Hi!<|end|>"]), "<image>", special=True)
    backend = HfBackend(path, engine)
    assert backend.count_tokens(ask("<image>", raw=True)) == len("<image>")
    assert texts_of(backend, [ask("<image>", prefill="H")]) == ["i!"]
    backend.close()
    template = CHAT_TEMPLATE + "<image>"
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    with pytest.raises(ModelUnavailable, match="does not fit its weights"):
        backend.count_tokens(ask("x"))


def test_no_word_of_a_user_is_a_token_of_its_own_even_where_it_is_no_special_one(
    engine: HfEngine, tmp_path: Path
) -> None:
    path, name = write_chain_model(tmp_path / "chain", ["Hi!<|end|>"]), "<unused94>"
    written = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    [row] = [row for row in written["added_tokens"] if row["content"] == name]
    row["special"] = False
    (path / "tokenizer.json").write_text(json.dumps(written), encoding="utf-8")
    backend = HfBackend(path, engine)
    plain = backend.count_tokens(ask("x"))
    assert backend.count_tokens(ask(f"x{name}")) == plain + len(name)
    assert backend.count_tokens(ask("x", prefill=name)) == plain + 1
    said = Request((Message("user", "x"), Message("assistant", name), Message("user", name)))
    empty = Request((Message("user", "x"), Message("assistant", "-"), Message("user", "-")))
    assert backend.count_tokens(said) == backend.count_tokens(empty) + len(name) - 1
    backend.close()


def test_template_options_reach_the_template(engine: HfEngine, tmp_path: Path) -> None:
    path = write_random_model(tmp_path / "model", template="{{ 'deep' if thinking else 'quick' }} thoughts")
    counts = [
        HfBackend(path, engine, template_options=options).count_tokens(ask("x")) for options in ({}, {"thinking": True})
    ]
    assert counts == [len("quick thoughts"), len("deep thoughts")]


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen3_5"])
def test_log_probabilities_are_those_of_transformers_itself(
    engine: HfEngine, tmp_path: Path, architecture: str
) -> None:
    path = write_random_model(tmp_path / "model", architecture)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    prompt, options = "The answer is " * 12, ["A", "yes, both", "", "an option that is rather long"]
    expected = []
    for option in options:
        ids = torch.tensor([tokenizer.encode(prompt + option)])
        with torch.no_grad():
            scores = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        expected.append(float(scores[len(tokenizer.encode(prompt)) - 1 :].sum()))
    backend = HfBackend(path, engine, precision="fp32")
    assert backend.loglikelihoods([ask(prompt, raw=True)], [options]) == [pytest.approx(expected, abs=1e-3)]
    backend.close()


# Adapters


def test_adapters_in_turn_and_at_once_give_what_each_gives_alone(engine: HfEngine, folder: Path) -> None:
    request = ask("A long question about fever. " * 6, raw=True, max_new_tokens=50)
    names = ["a", "none", "b"]
    alone = {
        name: direct_text(folder / "base", request.messages[0].content, 50, None if name == "none" else folder / name)
        for name in names
    }
    assert len(set(alone.values())) == 3
    backends = {
        name: HfBackend(folder / "base", engine, precision="fp32", adapter=None if name == "none" else folder / name)
        for name in names
    }
    for name in ["none", "a", "b", "a", "none", "b", "none"]:
        assert texts_of(backends[name], [request]) == [alone[name]], name
    results: dict[int, tuple[str, str]] = {}

    def answer(number: int, name: str) -> None:
        results[number] = (name, texts_of(backends[name], [request])[0])

    threads = [threading.Thread(target=answer, args=(i, names[i % 3])) for i in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results.values()) == sorted((names[i % 3], alone[names[i % 3]]) for i in range(9))


def test_an_adapter_that_was_trained_anew_is_read_anew(engine: HfEngine, folder: Path, tmp_path: Path) -> None:
    request = ask("A question.", raw=True, max_new_tokens=30)
    base = HfBackend(folder / "other", engine, precision="fp32")
    plain = texts_of(base, [request])
    adapter, kept = tmp_path / "adapter", write_adapter(tmp_path / "kept", folder / "other", seed=5)
    for seed in (3, 4):
        write_adapter(adapter, folder / "other", seed=seed, modules_to_save=["lm_head"])
        backend = HfBackend(folder / "other", engine, precision="fp32", adapter=adapter)
        assert texts_of(backend, [request]) == [direct_text(folder / "other", "A question.", 30, adapter)] != plain
        backend.close()
        assert texts_of(base, [request]) == plain
        other = HfBackend(folder / "other", engine, precision="fp32", adapter=kept)
        assert texts_of(other, [request]) == [direct_text(folder / "other", "A question.", 30, kept)] != plain
    base.close()  # the adapter that is still in use keeps the weights
    assert texts_of(other, [request]) == [direct_text(folder / "other", "A question.", 30, kept)]


def test_an_adapter_on_a_packed_base_changes_what_it_says(engine: HfEngine, folder: Path) -> None:
    request = ask("A question.", max_new_tokens=30)
    plain, adapted = (
        texts_of(HfBackend(folder / "base", engine, precision="nf4", adapter=adapter), [request])
        for adapter in (None, folder / "a")
    )
    assert plain != adapted


# Memory


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain", ["Hi!<|end|>"])
    engine = HfEngine(threads=1, n_ctx=512, available_memory=lambda: 100 << 20)
    backend = HfBackend(path, engine)
    with pytest.raises(NotEnoughMemory, match=r"Loading 'chain' needs about 25\d MB of memory and 100 MB are free"):
        texts_of(backend, [ask("x")])
    engine.close()


@pytest.mark.slow
def test_an_idle_model_makes_room_for_another(tmp_path: Path) -> None:
    paths = [write_chain_model(tmp_path / name, ["Hi!<|end|>"]) for name in ("one", "two", "three")]
    engine = HfEngine(threads=1, n_ctx=512, available_memory=lambda: MARGIN_BYTES + (20 << 20))
    backends = [HfBackend(path, engine) for path in paths]
    assert [texts_of(backend, [ask("x", prefill="H")])[0] for backend in [*backends, *backends]] == ["i!"] * 6
    [pid] = {engine.status().pid}
    assert pid is not None
    assert psutil.pid_exists(pid)
    engine.close()


def test_the_librarys_own_lack_of_memory_is_named() -> None:
    def too_much() -> None:
        with memory_checked("big"):
            torch.empty(1 << 60)

    with pytest.raises(NotEnoughMemory, match="not enough memory to run 'big'"):
        too_much()


class _Exhausted(HfModel):
    """A model whose memory does not suffice for a token at this position."""

    full_at = 60

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, *rest: Any, **how: Any) -> torch.Tensor:
        if mask.shape[1] >= self.full_at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(tokens, mask, *rest, **how)


def run(loop: DecodeLoop) -> None:
    while loop.busy:
        loop.step()


@pytest.mark.slow
def test_running_out_of_memory_ends_what_ran_and_the_next_question_is_answered(tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain", ["Hi!<|end|>", "abcdefga"])
    events: list[Event] = []
    loop = DecodeLoop(_Exhausted(path, "fp32", n_ctx=512, available_bytes=GIB), events)
    prompt = loop.model.tokens.prompt([Message("user", "x")], "a", False, 512, {})
    loop.add(Completion(1, "", prompt, Sampling(), max_new=500))
    loop.add(Completion(2, "", prompt * 4, Sampling(), max_new=500))
    run(loop)
    errors = [(number, event[1]) for number, kind, *event in events if kind == "error"]
    assert [number for number, _ in errors] == [2, 1]
    assert all("not enough memory to run 'chain'" in message for _, message in errors)
    loop.add(Completion(3, "", prompt, Sampling(), max_new=5))
    run(loop)
    assert events[-2:] == [[3, "text", "bcdef"], [3, "done", "length", len(prompt), 5]]


# Failures


class _Faulty(HfModel):
    """A model that computes no number for the second of two rows, or fails as a library does, once."""

    fault = "nan"

    def forward(self, tokens: torch.Tensor, *rest: Any, **how: Any) -> torch.Tensor:
        logits = super().forward(tokens, *rest, **how)
        if len(tokens) == 2 and self.fault:
            fault, self.fault = self.fault, ""
            if fault == "raise":
                raise AssertionError("N must be divisible by block_n")
            logits = logits.clone()
            logits[1] = torch.nan
        return logits


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "failed"), [("nan", [2]), ("raise", [1, 2])])
@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_a_failure_ends_the_answers_it_belongs_to_and_no_others(
    tmp_path: Path, fault: str, failed: list[int], temperature: float
) -> None:
    path = write_chain_model(tmp_path / "chain", ["Hi!<|end|>", "abcdefga"])
    events: list[Event] = []
    model = _Faulty(path, "fp32", n_ctx=512, available_bytes=GIB)
    model.fault = fault
    loop = DecodeLoop(model, events)
    prompt = model.tokens.prompt([Message("user", "x")], "a", False, 512, {})
    sampling = Sampling(temperature=temperature, top_k=2)
    for number in (1, 2):
        loop.add(Completion(number, "", prompt, sampling, max_new=8))
    run(loop)
    loop.add(Completion(3, "", prompt, sampling, max_new=8))
    run(loop)
    errors = {event[0]: event for event in events if event[1] == "error"}
    assert list(errors) == failed
    assert all(event[2] == "ModelUnavailable" and "\n" not in event[3] for event in errors.values())
    done = [[number, "done", "length", len(prompt), 8] for number in (1, 2, 3) if number not in failed]
    assert [event for event in events if event[1] == "done"] == done


def test_a_question_that_the_tokenizer_refuses_ends_no_other_answer(engine: HfEngine, folder: Path) -> None:
    backend = HfBackend(folder / "base", engine, precision="fp32")
    running = backend.generate([ask("A question.", raw=True, max_new_tokens=300)])
    assert isinstance(next(running), Text)
    pid = engine.status().pid
    with pytest.raises(
        ModelUnavailable, match=r"^The model 'base' failed \(\w+\); your text is kept\. Please ask again"
    ):
        texts_of(backend, [ask("half a character: \ud83d")])
    assert isinstance(list(running)[-1], Done)
    assert engine.status().pid == pid


# The bundled model


@pytest.mark.skipif(not (ASSETS / "demo" / "demo").is_dir(), reason="the bundled model is not there")
def test_the_bundled_model_answers_as_its_gguf_does(engine: HfEngine) -> None:
    # The GGUF is rounded to 8 bits: the first words must be the same and of three solutions two.
    requests = [ask(case, max_new_tokens=200) for case in CASES]
    gguf = LlamaCppBackend(ASSETS / "demo" / "demo-q8_0.gguf", threads=1, slots=3, n_ctx=1024)
    expected = texts_of(gguf, requests)
    gguf.close()
    backend = HfBackend(ASSETS / "demo" / "demo", engine, precision="fp32")
    texts = texts_of(backend, requests)
    assert [text[:30] for text in texts] == [text[:30] for text in expected]
    assert sum(one == other for one, other in zip(texts, expected, strict=True)) >= 2
    assert backend.n_ctx == 1024
    assert backend.check().parameters == pytest.approx(0.005, rel=0.1)
    backend.close()
    assert all(isinstance(event, Text | Done) for event in backend.generate(requests[:1]))  # loaded again
