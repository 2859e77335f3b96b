"""Pools of keys: taken in turn, within what their server allows, and never told by value."""

import math
from pathlib import Path

import pytest
from teacher_server import FakeClock

from medchat.catalogue import Catalogue, Endpoint
from medchat.errors import AccessDenied, InvalidInput
from medchat.keys import KeyPool, Lease, Limits, key_variables, limits_of, projects_of
from medchat.models_file import parse_models, row_of


def taken(pool: KeyPool, tokens: int = 10) -> Lease:
    lease = pool.take(tokens)
    assert lease is not None
    return lease


def test_keys_are_taken_in_turn() -> None:
    pool = KeyPool({"A": "A", "B": "B", "C": "C"}, Limits(), (clock := FakeClock()).now)
    keys = []
    for _ in range(6):
        keys.append(taken(pool).key)
        clock.sleep(1)

    assert keys == ["A", "B", "C", "A", "B", "C"]


def test_a_minute_slides_and_has_a_second_to_spare() -> None:
    clock = FakeClock()
    pool = KeyPool({"A": "A"}, Limits(requests_per_minute=2), clock.now)
    pool.give_back(taken(pool))
    clock.sleep(30)
    pool.give_back(taken(pool))

    assert pool.take(1) is None
    assert pool.wait_s(1) == 31.0  # 61 s after the first
    clock.sleep(31)
    taken(pool)
    assert pool.wait_s(1) == 30.0  # 61 s after the second


def test_tokens_of_a_minute_are_kept_and_corrected_by_what_was_used() -> None:
    clock = FakeClock()
    pool = KeyPool({"A": "A"}, Limits(tokens_per_minute=1000), clock.now)
    first = taken(pool, 800)
    assert pool.take(300) is None
    assert pool.wait_s(300) == 61.0
    pool.give_back(first, 500)
    taken(pool, 300)  # 500 + 300 <= 1000
    assert pool.take(300) is None
    clock.sleep(61)
    taken(pool, 5000)  # larger than the limit: when nothing else counts


def test_only_so_many_are_under_way_at_once() -> None:
    pool = KeyPool({"A": "A"}, Limits(at_once=2), FakeClock().now)
    first, _ = taken(pool), taken(pool)

    assert pool.take(1) is None
    assert pool.wait_s(1) == math.inf
    pool.give_back(first)
    taken(pool)


def test_keys_of_a_project_rest_together_and_others_do_not() -> None:
    clock = FakeClock()
    pool = KeyPool({"A": "one", "B": "one", "C": "C"}, Limits(), clock.now)
    first = taken(pool)
    assert first.key == "A"
    pool.rest(first, 20)

    assert [taken(pool).key for _ in range(3)] == ["C", "C", "C"]
    clock.sleep(20)
    assert taken(pool).key == "B"


def test_a_refused_key_goes_alone_and_a_used_up_day_with_its_project() -> None:
    pool = KeyPool({"A": "one", "B": "one", "C": "C"}, Limits(), FakeClock().now)
    a, c = taken(pool), taken(pool)
    assert (a.key, c.key) == ("A", "C")
    pool.retire(a, "The server refused A.")
    assert set(pool.keys) == {"B", "C"}
    pool.retire(c, "The day is used up.", project=True)
    pool.retire(taken(pool), "The day is used up for B too.", project=True)

    assert not pool.keys
    assert pool.take(1) is None
    assert pool.over == "The day is used up for B too."


def test_only_variables_that_hold_a_key_count_and_one_key_counts_once() -> None:
    endpoint = Endpoint(
        "https://h.example/v1", "m", "FIRST", key_variables=("SECOND", "THIRD", "FOURTH"),
        key_projects={"FIRST": "one", "SECOND": "one"},
    )  # fmt: skip
    environment = {"FIRST": "k1", "SECOND": " k2 ", "FOURTH": "k1"}

    assert projects_of(endpoint, lambda name: environment.get(name, "")) == {"FIRST": "one", "SECOND": "one"}
    assert projects_of(Endpoint("http://127.0.0.1/v1", "m"), lambda name: "") == {"": ""}


def test_without_any_key_the_line_names_the_variables() -> None:
    endpoint = Endpoint("https://h.example/v1", "m", "FIRST", key_variables=("SECOND",))

    with pytest.raises(AccessDenied, match="Set FIRST or SECOND in the environment"):
        projects_of(endpoint, lambda name: "")


def test_the_catalogue_knows_the_keys_limits_and_prices_of_its_servers(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    gemini, nvidia = catalogue["gemini-3.8-flash"], catalogue["nvidia-gpt-oss-120b"]
    assert gemini.endpoint is not None
    assert nvidia.endpoint is not None

    assert key_variables(gemini) == ("GEMINI_API_KEY", *(f"Gemini_COS30018_{i}" for i in range(1, 6)))
    # Google counts by project: five keys of one are no faster than one.
    assert set(projects_of(gemini.endpoint, lambda name: f"key of {name}").values()) == {"one"}
    assert len(set(projects_of(nvidia.endpoint, lambda name: f"key of {name}").values())) == 6
    assert limits_of(nvidia.endpoint) == Limits(requests_per_minute=40, at_once=8)
    assert (gemini.endpoint.input_price, gemini.endpoint.output_price) == (1.5, 7.5)
    assert nvidia.endpoint.input_price is None
    assert key_variables(catalogue.default) == ()


ENTRY = {
    "id": "mine", "name": "Mine", "backend": "openai", "answer_format": "plain", "n_ctx": 4096,
    "sampling": {"max_new_tokens": 100}, "description": "A", "licence": "L", "limits": ["One."],
}  # fmt: skip
SERVER = {"base_url": "https://h.example/v1", "model": "m", "key_variable": "A"}


def test_a_model_of_ones_own_keeps_its_keys_and_limits_when_it_is_saved(tmp_path: Path) -> None:
    more = {"key_variables": ["b_2"], "key_projects": {"A": "x", "b_2": "x"}, "tokens_per_minute": 9, "at_once": 3}
    entry = ENTRY | {"endpoint": SERVER | more | {"input_price": 0.5, "output_price": 2.0}}
    spec = parse_models({"models": [entry]}, "file", tmp_path, own=True)["mine"]
    again = parse_models({"models": [row_of(spec)]}, "file", tmp_path, own=True)["mine"]

    assert again == spec
    assert hash(again) == hash(spec)
    assert spec.endpoint is not None
    assert spec.endpoint.key_variables == ("b_2",)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"key_projects": {"OTHER": "x"}}, "endpoint.key_projects"),
        ({"input_price": 1.0}, "endpoint.input_price"),
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"key_variables": ["sk-abc"]}, "key_variables"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(fields: dict[str, object], line: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=line):
        parse_models({"models": [ENTRY | {"endpoint": SERVER | fields}]}, "file", tmp_path, own=True)


def test_a_further_key_does_not_travel_unencrypted_either() -> None:
    endpoint = Endpoint("http://10.0.0.5/v1", "m", key_variables=("A",))

    assert "A key would travel" in endpoint.clear_text_fault
