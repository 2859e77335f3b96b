"""Every folder of real public sets goes through, and no row is lost without a counted reason."""

from pathlib import Path

import pytest
from prepared_rows import adds_up, in_files, leaks
from real_texts import FOLDER, needs_real_texts

from train.adapters import ADAPTERS, Reading, Source
from train.prepare import prepare
from train.prepare_options import Options
from train.row_files import SPLITS

ADAPTER_OF = {"mediqa2021_qs": "mediqa", "medical_o1_sft": "medical_o1", "medqa_usmle": "medqa"}


def real_sources() -> list[Source]:
    """One for each folder."""
    names = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
    return [
        Source(ADAPTER_OF.get(name, name), FOLDER / name, text=f"{ADAPTER_OF.get(name, name)}={name}") for name in names
    ]


@needs_real_texts
@pytest.mark.parametrize("choices", ["options", "explained"])
def test_every_folder_goes_through_and_every_row_is_counted(tmp_path: Path, choices: str) -> None:
    sources = real_sources()
    assert {its.adapter for its in sources} <= set(ADAPTERS)
    reading = Reading(choices="options" if choices == "options" else "explained")

    report = prepare(sources, tmp_path, Options(reading=reading, brief_share=0.3), leaks=leaks())

    assert adds_up(report)
    for its in report["sources"]:
        reasons = ", ".join(f"{n} {rule}" for rule, n in its["dropped"].items()) or "nothing dropped"
        print(f"{its['adapter']}: {its['rows_in']} read, {its['kept']} kept, {its['unlabelled']} open; {reasons}")
        assert its["rows_in"] > 0
        if its["adapter"] != "healthbench":  # for evaluation alone
            assert its["kept"] + its["unlabelled"] > 0
    files = in_files(tmp_path)
    asked = [{row.question_id for row in files[name]} for name in SPLITS]
    assert all(asked)
    assert sum(map(len, asked)) == len(set.union(*asked))
    before, after = report["balance"]["before"], report["balance"]["after"]
    if report["balance"]["notes"] == [] and before["conversation"]:
        assert 100 * after["knowledge"] / sum(after.values()) == pytest.approx(75, abs=1)
