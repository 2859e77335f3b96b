"""What rewards need beside completions: a judge and ratings, refused before anything is loaded where they are not."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from openai_servers import FakeServer, answer, fake_server
from tiny_training import example, pair, stage, write_data, write_recipe, write_rows

from evaluation.judge import JudgeCounts
from medchat.catalogue import Catalogue, Endpoint
from medchat.errors import InvalidInput
from medchat.models_file import ModelSpec, unknown_model
from medchat.rundir import RunDir
from medchat.settings import Settings
from train.__main__ import main
from train.plan import Data, find_data
from train.recipe_schema import Recipe
from train.recipes import RecipeFault, at_line, load_recipe
from train.reward_setup import check_bertscores, check_judges, check_preferences, judge_of, note_on

JUDGED = {"name": "judge", "options": {"model": "demo"}}


def recipe_of(folder: Path, rewards: Sequence[dict[str, Any]], data: Path | None = None) -> Recipe:
    stages = json.loads(json.dumps([stage("grpo", rewards=rewards)]))  # no part of it twice, which YAML would alias
    return load_recipe(str(write_recipe(folder / "r.yaml", "demo-base", data or folder, stages)))


def refusal(folder: Path, fault: RecipeFault) -> str:
    return str(at_line(str(folder / "r.yaml"), [], fault))


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


# A judge


@pytest.mark.parametrize(("reward", "message"), [
    ("{name: judge}", "--set stages.1.rewards.0: the reward 'judge' needs the option 'model'"),
    ("{name: judge, options: {model: demo, most_calls: 0}}", "--set stages.1.rewards.0: the judge may be asked 0"),
    ("{name: judge, options: {model: nobody}}", "--set stages.1.rewards.0: the judge cannot judge: there is no model"),
    ("{name: preference}", "--set stages.1.rewards.0: the reward 'preference' scores only questions with ratings"),
])  # fmt: skip
def test_a_run_that_could_not_be_rewarded_is_refused_before_its_first_stage(
    tmp_path: Path, reward: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    (data / "dpo.jsonl").unlink()
    (data / "kto.jsonl").unlink()
    run = tmp_path / "run"
    argv = ["run", "demo-grpo", "--set", f"stages.1.rewards=[{reward}]", "--data", str(data), "--run-dir", str(run),
            "--data-dir", str(tmp_path)]  # fmt: skip

    assert main(argv) == 1

    assert message in capsys.readouterr().err
    assert not (run / "stages").exists()


def test_a_judge_that_cannot_judge_is_refused_with_the_line(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    recipe = recipe_of(tmp_path, [{"name": "brevity"}, {"name": "judge", "options": {"model": "gemma-3-1b-it"}}])

    with pytest.raises(RecipeFault, match=r".*") as caught:
        check_judges(recipe, catalogue)

    told = refusal(tmp_path, caught.value)
    assert told.startswith(f"r.yaml:{line_of(tmp_path / 'r.yaml', 'gemma-3-1b-it') - 2}: stages.0.rewards.1: ")
    assert "fetch it with `python -m medchat models fetch gemma-3-1b-it`" in told


def test_a_recipe_has_one_judge(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    check_judges(recipe_of(tmp_path, [JUDGED, JUDGED]), catalogue)

    with pytest.raises(RecipeFault, match="two judges, demo and default"):
        check_judges(recipe_of(tmp_path, [JUDGED, {"name": "judge", "options": {"model": "default"}}]), catalogue)


def test_a_bertscore_whose_model_is_not_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rewards = [{"name": "hybrid", "options": {"model": "roberta-large"}}]

    with pytest.raises(RecipeFault, match=r"stages\.0\.rewards\.0: roberta-large is not on this machine"):
        check_bertscores(recipe_of(tmp_path, rewards), tmp_path)
    check_bertscores(recipe_of(tmp_path, [{"name": "hybrid"}, JUDGED]), tmp_path)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as fake:
        yield fake


@pytest.fixture
def settings(tmp_path: Path, server: FakeServer) -> Settings:
    """With the model `wise` of the server in the catalogue."""
    found = Settings(tmp_path)
    spec = ModelSpec(**{**_fields(unknown_model("openai")), "id": "wise", "name": "Wise", "answer_format": "plain",
                        "endpoint": Endpoint(server.url, "m", "", True)})  # fmt: skip
    Catalogue(found.models_dir, found.own_models_file).add(spec)
    return found


def _fields(spec: ModelSpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


@pytest.mark.parametrize(("options", "most"), [([{}], 500), ([{"most_calls": 7}], 7), ([{"most_calls": 7}, {}], 500)])
def test_a_judge_may_be_asked_500_questions_unless_the_recipe_says_otherwise(
    settings: Settings, options: list[dict[str, int]], most: int
) -> None:
    with ExitStack() as stack:
        assert judge_of([{"model": "wise", **its} for its in options], settings, stack).most_calls == most


ASKED = {
    "answer_format": "think",
    "example": {"question": "He has a red toe. What is it?", "answer": None},
    "completions": ["<think>A red toe.</think>Gout", "Influenza"],
    "names": ["judge", "brevity", "answer_exact"],
}


def test_the_command_scores_with_the_judge_and_the_options_of_the_file(
    tmp_path: Path, settings: Settings, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without a reference two criteria an answer: sound reasons (3 points) and harm (-5), here both met: -2 of 3
    # points. Of the second answer only one more question may be asked, so it has no value.
    server.reply(answer('{"met": true}'))
    options = {"judge": {"model": "wise", "most_calls": 3}, "brevity": {"most": 1}}
    file = tmp_path / "asked.json"
    file.write_text(json.dumps(ASKED | {"options": options}))

    assert main(["rewards", str(file), "--data-dir", str(tmp_path), "--run-dir", str(tmp_path / "run")]) == 0

    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["judge", "-0.6667", "-"], ["brevity", "1", "1"]]
    assert lines[2] == ["answer_exact", "It compares with a reference answer, and there is none."]
    assert lines[3][0].startswith("The judge was asked 3 questions, as many as most_calls allows; 1 more")
    result = RunDir(tmp_path / "run").result()
    assert result
    assert result["options"] == options


def test_the_command_takes_the_options_of_a_recipe(
    tmp_path: Path, settings: Settings, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.reply(answer('{"met": false}'))
    file = tmp_path / "asked.json"
    file.write_text(json.dumps(ASKED | {"completions": ["It is gout"], "names": ["judge", "brevity"]}))
    rewards = "[{name: judge, options: {model: wise}}, {name: brevity, options: {most: 1}}]"
    argv = ["rewards", str(file), "--data-dir", str(tmp_path), "--set", f"stages.1.rewards={rewards}"]

    assert main([*argv, "--recipe", "demo-grpo"]) == 0
    assert capsys.readouterr().out.splitlines() == ["judge\t0", "brevity\t0.3333"]
    assert main(argv) == 1
    assert "name it with --recipe" in capsys.readouterr().err


def test_replies_that_are_no_verdict_and_questions_that_are_too_long_are_told() -> None:
    def judge(**counts: int) -> Any:
        return SimpleNamespace(counts=JudgeCounts(**counts))

    assert note_on(None) == note_on(judge(asked=4, cached=2)) == ""
    assert note_on(judge(asked=4, cached=2, unparsable=5, too_long=1)) == (
        "Of 6 replies of the judge 5 were no verdict; another model may judge better. Of the questions to the judge 1"
        " were too long for it."
    )


# Ratings


def data_of(recipe: Recipe, folder: Path) -> Data:
    return find_data(recipe, folder, folder, print)


def test_preference_needs_ratings_of_the_questions_that_are_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write_rows(folder / "grpo.jsonl", [example(n) for n in range(3)])
    recipe = recipe_of(tmp_path, [{"name": "brevity"}, {"name": "preference"}], folder)

    for rated in ([], [pair(7) | {"probability": 0.75}]):  # none, and of another question
        write_rows(folder / "dpo.jsonl", rated)
        with pytest.raises(RecipeFault, match=r"rewards\.1: .*those of 'data' have none; prepare ratings with `python "
                                              r"-m train feedback"):  # fmt: skip
            check_preferences(recipe, data_of(recipe, folder))
    write_rows(folder / "dpo.jsonl", [pair(1) | {"probability": 0.75}])
    check_preferences(recipe, data_of(recipe, folder))


def test_preference_cannot_be_had_from_cases_that_the_run_makes_or_from_a_file(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "mine.jsonl", [example(n) for n in range(30)])
    recipe = recipe_of(tmp_path, [{"name": "preference"}], file)

    for data in (None, data_of(recipe, file)):
        with pytest.raises(InvalidInput, match="scores only questions with ratings"):
            check_preferences(recipe, data)
