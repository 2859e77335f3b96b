"""The table of adapters: how each public set is read, its licence, its home, and what is needed to get it."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from evaluation import benchmark_answers, benchmark_cases, benchmark_choices, benchmark_documents
from evaluation.benchmarks import BENCHMARKS
from train import adapter_choices, adapter_dialogues, adapter_questions, adapter_records, adapter_symptoms
from train.adapter import TABLES, Adapter, Hub
from train.adapter_rows import single

PHYSIONET = "PhysioNet Credentialed Health Data License 1.5.0"
NOT_STATED = "not stated"

_ADAPTERS = (
    Adapter(
        "meddialog", "MedDialog (English)", NOT_STATED, BENCHMARKS["meddialog"].home,
        "the English text files from its home page, or the files of its form on the Hub", "conversation",
        adapter_dialogues.meddialog, benchmark_documents.meddialog_records, (".txt", *TABLES),
        note="licence not stated; patients' own words from public forums",
    ),
    Adapter(
        "healthcaremagic", "HealthCareMagic-100k", NOT_STATED, "https://github.com/Kent0n-Li/ChatDoctor",
        "HealthCareMagic-100k.json from its home page, or healthcaremagic=hub:", "conversation",
        adapter_dialogues.healthcaremagic, hub=Hub("lavita/ChatDoctor-HealthCareMagic-100k"),
        note="licence not stated; patients' own words from a public forum",
    ),
    Adapter(
        "icliniq", "iCliniq-10k", NOT_STATED, "https://github.com/Kent0n-Li/ChatDoctor",
        "iCliniq.json from its home page, or icliniq=hub:", "conversation",
        adapter_dialogues.icliniq, hub=Hub("lavita/ChatDoctor-iCliniq"),
        note="licence not stated; patients' own words from a public forum",
    ),
    Adapter(
        "medquad", "MedQuAD", "CC-BY-4.0", BENCHMARKS["medquad"].home,
        "its repository, or medquad=hub:", "knowledge",
        adapter_questions.medquad, benchmark_documents.medquad_records, (".xml", *TABLES),
        hub=Hub("lavita/MedQuAD"), tried=True,
        marks=frozenset({"question_id", "question_focus", "question_type", "document_source", "document_url"}),
        note="in three of its collections the answers are left out for copyright: their questions can be labelled",
    ),
    Adapter(
        "medmcqa", "MedMCQA", "MIT", BENCHMARKS["medmcqa"].home, "the files from its home page, or medmcqa=hub:",
        "knowledge", partial(adapter_choices.choice, benchmark_choices.medmcqa), benchmark_choices.medmcqa_records,
        hub=Hub("openlifescienceai/medmcqa", ("train", "validation", "test"), add=(("cop_base", 0),)), tried=True,
        note="the keys of its test split are kept back",
    ),
    Adapter(
        "pubmedqa", "PubMedQA (labelled, unlabelled, artificial)", "MIT", BENCHMARKS["pubmedqa"].home,
        "ori_pqal.json, ori_pqau.json and ori_pqaa.json by its repository's links, or pubmedqa=hub:", "knowledge",
        adapter_choices.pubmedqa, BENCHMARKS["pubmedqa"].records,
        hub=Hub("qiaojin/PubMedQA", configs=("pqa_labeled", "pqa_artificial", "pqa_unlabeled")), tried=True,
        note="the abstracts are PubMed's; the artificial part's decisions were made by rules",
    ),
    Adapter(
        "medqa", "MedQA-USMLE", "MIT", BENCHMARKS["medqa"].home,
        "data_clean.zip by its repository's link (questions/US/4_options), or medqa=hub:", "knowledge",
        partial(adapter_choices.choice, benchmark_choices.medqa),
        hub=Hub("GBaker/MedQA-USMLE-4-options", ("train", "test")), tried=True,
    ),
    Adapter(
        "mmlu_medical", "MMLU, its medical subjects", "MIT", BENCHMARKS["mmlu_medical"].home,
        "data.tar by its repository's link, or mmlu_medical=hub:", "knowledge",
        adapter_choices.mmlu, benchmark_choices.mmlu_records,
        hub=Hub("cais/mmlu", ("dev", "validation", "test"), benchmark_choices.MMLU_SUBJECTS), tried=True,
    ),
    Adapter(
        "drugehrqa", "DrugEHRQA", PHYSIONET, "https://physionet.org/content/drugehrqa/",
        "a credentialed PhysioNet account and its data use agreement", "knowledge",
        adapter_records.drugehrqa, may_be_fetched=False,
        note="the patients' records are not in its files; without them (a column context) its rows teach guessing",
    ),
    Adapter(
        "mimic_iv", "MIMIC-IV discharge notes", PHYSIONET, "https://physionet.org/content/mimic-iv-note/",
        "a credentialed PhysioNet account, CITI training, and a local folder with note/discharge.csv.gz", "knowledge",
        adapter_records.mimic_notes, suffixes=(".csv", ".parquet", ".jsonl"), files="discharge.*", may_be_fetched=False,
        note="never downloaded; its rows, and what is trained on them, may not be shared or sent to a service",
    ),
    Adapter(
        "medical_o1", "medical-o1-reasoning-SFT", "Apache-2.0", BENCHMARKS["medical_o1"].home,
        "the file from its home page, or medical_o1=hub:", "knowledge",
        partial(single, benchmark_answers.medical_o1),
        hub=Hub("FreedomIntelligence/medical-o1-reasoning-SFT", configs=("en",)), tried=True,
        marks=frozenset({"Complex_CoT", "Open-ended Verifiable Question"}),
        note="its answers and reasoning were written by a language model",
    ),
    Adapter(
        "symptom2disease", "Symptom2Disease", "MIT where it was found", BENCHMARKS["symptom2disease"].home,
        "Symptom2Disease.csv from its home page (a Kaggle account), or symptom2disease=hub:", "knowledge",
        partial(single, benchmark_cases.symptom2disease),
        hub=Hub("gretelai/symptom_to_diagnosis", ("train", "test")), tried=True,
        note="its origin is not verified",
    ),
    Adapter(
        "symptoms132", "Table of 132 symptoms, and its long form", NOT_STATED,
        "https://www.kaggle.com/datasets/kaushil268/disease-prediction-using-machine-learning",
        "Training.csv and Testing.csv from its home page (a Kaggle account); the long form is dataset.csv", "knowledge",
        adapter_symptoms.symptom_table,
        note="most of its rows are repeated; a small part of medicine in an artificial form",
    ),
    Adapter(
        "medcalc_bench", "MedCalc-Bench", "CC-BY-SA-4.0", BENCHMARKS["medcalc_bench"].home,
        "the CSV files of its repository, or medcalc_bench=hub:", "knowledge", adapter_questions.medcalc,
        hub=Hub("ncbi/MedCalc-Bench-v1.2", ("train", "test")), tried=True,
        note="share-alike; some of its truths are wrong, a corrected release exists",
    ),
    Adapter(
        "bioasq", "BioASQ", "CC-BY-2.5", BENCHMARKS["bioasq"].home, "registration at bioasq.org", "knowledge",
        adapter_choices.bioasq, BENCHMARKS["bioasq"].records,
    ),
    Adapter(
        "kqa", "K-QA", "MIT", BENCHMARKS["kqa"].home, "the JSONL files of its repository", "conversation",
        adapter_questions.kqa, tried=True, marks=frozenset({"Free_form_answer", "Must_have", "ICD_10_diag"}),
    ),
    Adapter(
        "healthbench", "HealthBench", "MIT", BENCHMARKS["healthbench"].home,
        "the JSONL files that its repository names, or healthbench=hub:", "conversation",
        partial(single, benchmark_answers.healthbench),
        hub=Hub("openai/healthbench", ("test",), data_file="2025-05-07-06-14-12_oss_eval.jsonl"), tried=True,
        note="for evaluation alone: its rows carry a canary and are never taught",
    ),
    Adapter(
        "liveqa", "LiveQA-Med (TREC 2017)", NOT_STATED, "https://github.com/abachaa/LiveQA_MedicalTask_TREC2017",
        "the XML files of its repository", "knowledge",
        adapter_questions.liveqa, benchmark_documents.liveqa_records, (".xml",),
    ),
    Adapter(
        "mediqa", "MEDIQA 2019 (answers) and 2021 (summaries of questions)", "CC-BY-4.0",
        "https://github.com/abachaa/MEDIQA2021", "the XML files of MEDIQA2019 and the Excel files of MEDIQA2021",
        "knowledge", adapter_questions.mediqa, benchmark_documents.mediqa_records, (".xml", *TABLES), tried=True,
        marks=frozenset({"QID", "NLM Question", "CHQ", "Summary"}),
        tried_on="run on real files of 2021, never on those of 2019",
    ),
    Adapter(
        "mts_dialog", "MTS-Dialog", "CC-BY-4.0", BENCHMARKS["mts_dialog"].home, "the CSV files of its repository",
        "conversation", partial(single, benchmark_answers.mts_dialog), tried=True,
    ),
    Adapter(
        "miriad", "MIRIAD", "ODC-By-1.0", "https://huggingface.co/datasets/miriad/miriad-4.4M",
        "miriad=hub: (about 10 GB; --limit takes the first rows)", "knowledge",
        adapter_questions.miriad, hub=Hub("miriad/miriad-4.4M"), marks=frozenset({"passage_text", "paper_title"}),
        note="its questions and answers were written by a language model from papers",
    ),
    Adapter(
        "examples", "Examples: MedChat's own rows", "", "", "a file or folder that MedChat wrote", "knowledge",
        adapter_questions.own, adapter_questions.example_records, (".jsonl", ".csv"), own=True,
    ),
    Adapter(
        "qca", "Plain question, context and answer", NOT_STATED, "",
        "a file of your own with the fields question and answer, and perhaps context", "knowledge",
        adapter_questions.plain, own=True,
    ),
)  # fmt: skip

ADAPTERS: Mapping[str, Adapter] = MappingProxyType({adapter.name: adapter for adapter in _ADAPTERS})
