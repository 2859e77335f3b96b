"""Public benchmarks in their original files: name -> how they are read, licence, home page."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evaluation import benchmark_answers, benchmark_cases, benchmark_choices, benchmark_documents
from evaluation.benchmark_files import Record, Records, Skipped, files_of, table_records
from medchat.errors import InvalidInput
from medchat.records import Example

_TABLES = (".json", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark. suffixes: of its files in a folder; records: those of one file; example_of: a row's Example.

    answered: a question without an answer is no example of it.
    """

    name: str
    home: str
    licence: str
    example_of: Callable[[Mapping[str, Any]], Example | Skipped]
    records: Callable[[Path], Records] = table_records
    suffixes: tuple[str, ...] = _TABLES
    answered: bool = False


_BENCHMARKS = (
    Benchmark(
        "medmcqa", "https://github.com/medmcqa/medmcqa", "MIT",
        benchmark_choices.medmcqa, benchmark_choices.medmcqa_records,
    ),
    Benchmark("medqa", "https://github.com/jind11/MedQA", "MIT", benchmark_choices.medqa),
    Benchmark(
        "pubmedqa", "https://github.com/pubmedqa/pubmedqa", "MIT",
        benchmark_choices.pubmedqa, partial(table_records, layout="by_id"),
    ),
    Benchmark(
        "mmlu_medical", "https://github.com/hendrycks/test", "MIT",
        benchmark_choices.mmlu, benchmark_choices.mmlu_records,
    ),
    Benchmark(
        "medquad", "https://github.com/abachaa/MedQuAD", "CC-BY-4.0",
        benchmark_answers.medquad, benchmark_documents.medquad_records, (".xml", ".jsonl", ".parquet"), answered=True,
    ),
    Benchmark(
        "bioasq", "http://bioasq.org", "CC-BY-2.5, after registration",
        benchmark_answers.bioasq, partial(table_records, layout="questions"), answered=True,
    ),
    Benchmark("kqa", "https://github.com/Itaymanes/K-QA", "MIT", benchmark_answers.kqa),
    Benchmark("healthbench", "https://github.com/openai/simple-evals", "MIT", benchmark_answers.healthbench),
    Benchmark("medcalc_bench", "https://github.com/ncbi-nlp/MedCalc-Bench", "CC-BY-SA-4.0", benchmark_cases.medcalc),
    Benchmark(
        "symptom2disease", "https://www.kaggle.com/datasets/niyarrbarman/symptom2disease",
        "MIT where it was found; its origin is not verified", benchmark_cases.symptom2disease,
    ),
    Benchmark(
        "meddialog", "https://github.com/UCSD-AI4H/Medical-Dialogue-System", "not stated",
        benchmark_answers.meddialog, benchmark_documents.meddialog_records, (".txt", ".json", ".jsonl", ".parquet"),
    ),
    Benchmark(
        "medical_o1", "https://huggingface.co/datasets/FreedomIntelligence/medical-o1-reasoning-SFT", "Apache-2.0",
        benchmark_answers.medical_o1, answered=True,
    ),
    Benchmark("mts_dialog", "https://github.com/abachaa/MTS-Dialog", "CC-BY-4.0", benchmark_answers.mts_dialog),
)  # fmt: skip

BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType({benchmark.name: benchmark for benchmark in _BENCHMARKS})


def read_benchmark(benchmark: Benchmark, path: Path) -> Iterator[tuple[str, Example | Skipped]]:
    """For each record of the file, or of the files in the folder: where it stands, and its Example or why it has none.

    Raises NotFound where there is nothing, InvalidInput with file and line where a file cannot be read.
    """
    for file in files_of(path, benchmark.suffixes):
        for record in benchmark.records(file):
            if isinstance(record, Record):
                found = benchmark.example_of(record.row)
                unasked = isinstance(found, Example) and found.answer is None and benchmark.answered
                yield record.where, Skipped("no answer") if unasked else found
                continue
            where, skipped = record
            if skipped.broken:
                raise InvalidInput(f"{where}: {skipped.detail}.")
            yield where, skipped
