"""Files as people really have them. Skipped where the collection is not at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pakar.errors import DataError
from pakar.prepare.sources.reading import resolve
from pakar.recipe import Source
from tests.prepare.sources.helpers import SHARED, read, shared

FORMATS = "training_formats/llama_factory_"


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("counsel_chat/counsel_chat_2020_plain.csv", 1346),
        ("counsel_chat/counsel_chat_2022_html.csv", 918),
        ("medquad/medquad_input_output.csv.gz", 9676),
        ("medquad/medquad.jsonl.gz", 9676),
        ("mental_health_faq/Mental_Health_FAQ_98.csv", 98),
        ("mental_health_faq/Mental_Health_FAQ_74_bom_crlf.csv", 74),
        ("scitldr/scitldr_train_id_input_output.csv.gz", 1992),
        ("scitldr/SciTLDR-A_train.jsonl.gz", 1992),
        ("scitldr/SciTLDR-A_dev.jsonl.gz", 619),
        ("pubmedqa/pqal_dev500.json.gz", 500),
        ("nq_open/NQ-open.efficientqa.dev.1.1.jsonl.gz", 1800),
        ("arxiv_abstracts/arxiv_abstracts_a.csv.gz", 1024),
        ("goemotions/dev.tsv.gz", 5426),
        ("goemotions/train.tsv.gz", 43410),
        ("gateway_probes/llm_guard_input_examples.json", 15),
        ("wnut17/wnut17train.conll", 3394),
        (FORMATS + "alpaca_en_demo.json.gz", 999),
        (FORMATS + "identity.json", 91),
        (FORMATS + "glaive_toolcall_en_demo.json.gz", 300),
        (FORMATS + "dpo_en_demo_first60.json", 60),
        (FORMATS + "v1_sft_demo.jsonl.gz", 500),
        (FORMATS + "reason_tool_use_demo_50.jsonl", 50),
        (FORMATS + "c4_demo.jsonl.gz", 300),
        (FORMATS + "wiki_demo.txt.gz", 30),
        ("training_formats/axolotl_conversation.json", 1),
        ("training_formats/litgpt_dolly.json", 12),
        ("training_formats/torchtune_stack_exchange_paired_tiny.json", 25),
    ],
)
def test_all_records_are_read(name: str, records: int) -> None:
    found = read(shared(name))
    assert len(found.kept) == records
    assert found.reasons == []


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mental_health_faq/Mental_Health_FAQ_98.csv", {"question": "Questions", "answer": "Answers"}),
        ("mental_health_faq/Mental_Health_FAQ_74_bom_crlf.csv", {"question": "Questions", "answer": "Answers"}),
        (
            "counsel_chat/counsel_chat_2022_html.csv",
            {"question": "questionText", "answer": "answerText", "fallback": "questionTitle"},
        ),
        ("pubmedqa/pqal_dev500.json.gz", {"question": "QUESTION", "answer": "LONG_ANSWER", "context": "CONTEXTS"}),
        ("scitldr/SciTLDR-A_train.jsonl.gz", {"question": "source", "answer": "target"}),
        (FORMATS + "alpaca_en_demo.json.gz", {"question": "instruction", "answer": "output", "context": "input"}),
        ("training_formats/litgpt_dolly.json", {"question": "instruction", "answer": "response", "context": "context"}),
    ],
)
def test_the_right_columns_are_found(name: str, shape: dict[str, str]) -> None:
    assert resolve(Source(path=str(shared(name)))).shape.model_dump(exclude_none=True) == {"kind": "pairs", **shape}


def test_titles_fill_the_empty_questions() -> None:
    found = read(shared("counsel_chat/counsel_chat_2022_html.csv"))
    assert all(question.strip() for question, _ in found.pairs)
    assert max(len(answer) for _, answer in found.pairs) == 223_973


def test_both_forms_of_medquad_agree() -> None:
    lines, table = read(shared("medquad/medquad.jsonl.gz")), read(shared("medquad/medquad_input_output.csv.gz"))
    assert lines.pairs == table.pairs


def test_intents_are_expanded() -> None:
    path = shared("intents_json/mental-health (1).json")
    intents = json.loads(path.read_text(encoding="utf-8"))["intents"]
    found = read(path)
    assert len(found.kept) == sum(len(one["patterns"]) * len(one["responses"]) for one in intents)
    assert found.kept["group"].n_unique() == 80


def test_one_table_in_four_formats_gives_equal_records() -> None:
    folder = shared("data_juicer_demo")
    texts = [read(folder / f"same_table.{ending}").texts for ending in ("csv", "tsv", "parquet")]
    assert texts[0] == texts[1] == texts[2]
    assert set(read(folder / "same_table.jsonl").texts) < set(
        texts[0]
    )  # upstream's fourth copy repeats two of the six rows


def test_a_conversation_with_an_empty_turn_is_rejected() -> None:
    assert read(shared("training_formats/axolotl_conversation.missingturns.json")).reasons == [(1, "empty_message")]


REFUSED = [
    "training_formats/axolotl_conversation.tokenized_llama2chat.json",
    "training_formats/llama_factory_dataset_info.json",
    "gpt2_tokenizer/vocab.json",
    "medquad/raw_xml_sample.tar.gz",
    "mt_bench/question.jsonl",
    "gateway_probes/llm_guard_output_examples.json",
    "simple_safety_tests/sst_odd50.csv",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_pairs_is_refused_with_a_next_step(name: str) -> None:
    path = shared(name)
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.next_step


@pytest.mark.slow
def test_every_file_is_read_or_refused() -> None:
    paths = [path for path in shared("").rglob("*") if path.is_file()] if SHARED.exists() else []
    for path in paths:
        try:
            found = read(Path(path))
        except DataError:
            continue
        assert len(found.kept) + len(found.rejected) > 0, path
