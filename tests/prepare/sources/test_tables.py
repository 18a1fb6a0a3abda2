from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.errors import DataError
from pakar.prepare import sources
from pakar.recipe import Source
from tests.prepare.sources.helpers import read, write

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
HARD_CELL = st.text(st.sampled_from("\"',;\t|\n\r\\ aé?"), max_size=12)


def _written(table: list[tuple[str, str]], end: str) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end).writerows([("question", "answer"), *table])
    return buffer.getvalue()


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(CELL | HARD_CELL, CELL | HARD_CELL), min_size=1, max_size=12), st.sampled_from(["\r\n", "\n"])
)
def test_what_a_csv_writer_writes_is_read_back(table: list[tuple[str, str]], end: str) -> None:
    if end == "\n":  # then the writer leaves carriage returns unquoted, and nobody can tell them from row ends
        table = [(question.replace("\r", "\n"), answer.replace("\r", "\n")) for question, answer in table]
    with tempfile.TemporaryDirectory() as folder:
        found = read(write(Path(folder) / "a.csv", _written(table, end)))
    assert found.pairs == table
    assert found.reasons == []


def test_newlines_quotes_and_delimiters_live_inside_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '\ufeffquestion,answer\r\n"Why, ""really""?","One.\n\nTwo,\r\nthree."\r\n')
    assert read(path).pairs == [('Why, "really"?', "One.\n\nTwo,\r\nthree.")]


def test_a_cell_of_any_size_is_read(tmp_path: Path) -> None:
    answer = "<p>x</p>" * 28_000
    assert read(write(tmp_path / "a.csv", f'question,answer\nWhy?,"{answer}"\n')).pairs == [("Why?", answer)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_recognised(tmp_path: Path, delimiter: str) -> None:
    rows = [("question", "answer"), ("Why, now?", "a; b | c"), ("How?", "d, e, f; g")]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert read(write(tmp_path / "a.csv", text)).pairs == rows[1:]


def test_an_announced_delimiter_is_no_record(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "sep=;\r\nquestion;answer\r\nWhy?;So.\r\n")).pairs == [("Why?", "So.")]


def test_unequal_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", 'question,answer\nWhy?,"a\nb"\nalone\n1,2,3\nHow?,So.,,\n\nLast?,Yes.\n'))
    assert found.pairs == [("Why?", "a\nb"), ("How?", "So."), ("Last?", "Yes.")]
    assert found.kept["offset"].to_list() == [1, 4, 5]
    assert found.reasons == [(2, "unequal_row"), (3, "unequal_row")]
    assert found.rejected["detail"].to_list() == ["1 field, expected 2 (line 4)", "3 fields, expected 2 (line 5)"]
    assert found.rejected["text"].to_list() == ["alone", "1,2,3"]
    assert found.rejected["operator"].unique().to_list() == ["read"]


def test_a_last_record_without_its_closing_quote_is_rejected(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", 'question,answer\nWhy?,Because.\nHow?,"cut\noff'))
    assert found.pairs == [("Why?", "Because.")]
    assert found.reasons == [(2, "unclosed_quote")]
    assert "line 3" in found.rejected["detail"][0]


def test_a_quote_that_swallows_the_rest_of_the_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'question,answer\nWhy?,Because.\nHow?,"open\n' + "What?,That.\n" * 500)
    with pytest.raises(DataError, match="line 3 never closes"):
        read(path)


def test_lone_quotation_marks_in_tab_separated_files_are_characters(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.tsv", 'question\tanswer\n"Why?\t"So" it is\nHow?\tThus\n'))
    assert found.pairs == [('"Why?', '"So" it is'), ("How?", "Thus")]


def test_quoted_cells_of_tab_separated_files_are_opened(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.tsv", 'question\tanswer\n"Why\tnow?"\t"So\n""it"" is"\n'))
    assert found.pairs == [("Why\tnow?", 'So\n"it" is')]


def test_backslash_escaped_quotes_are_understood(tmp_path: Path) -> None:
    text = (
        'question,answer\n"He said \\"hi, there\\"?","Yes, he did."\n"And, she?","She said \\"no, never\\", twice."\n'
    )
    found = read(write(tmp_path / "a.csv", text))
    assert found.pairs == [('He said "hi, there"?', "Yes, he did."), ("And, she?", 'She said "no, never", twice.')]


def test_zero_bytes_do_not_stop_the_reader(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "question,answer\nWhy\0?,Be\0cause.\n")).pairs == [("Why\0?", "Be\0cause.")]


def test_carriage_returns_alone_end_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "question,answer\rWhy?,So.\rHow?,Thus.\r")).pairs == [
        ("Why?", "So."),
        ("How?", "Thus."),
    ]


def test_a_file_without_header_loses_no_row(tmp_path: Path) -> None:
    found = read(
        write(
            tmp_path / "a.csv",
            "What is sleep?,A state of rest for body and mind.\nWhat is stress?,A strain that wears people out.\n",
        )
    )
    assert found.pairs == [
        ("What is sleep?", "A state of rest for body and mind."),
        ("What is stress?", "A strain that wears people out."),
    ]


def test_columns_of_a_file_without_header_can_be_named_by_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "hello,hi\nbye,ciao\n")
    found = read(path, shape={"kind": "pairs", "question": "column_1", "answer": "column_2"})
    assert found.pairs == [("hello", "hi"), ("bye", "ciao")]


def test_nameless_and_repeated_columns_get_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ",text,text\n1,a b c,d e f\n")
    assert read(path, shape={"kind": "pairs", "question": "text", "answer": "text_2"}).pairs == [("a b c", "d e f")]


def test_parquet_is_read_with_nested_messages_and_any_type(tmp_path: Path) -> None:
    messages = [[{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]]
    pl.DataFrame({"messages": messages, "id": [1]}).write_parquet(tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet").turns == [[("user", "Why?"), ("assistant", "So.")]]
    pl.DataFrame({"question": ["One?", None], "answer": [1.5, None]}).write_parquet(tmp_path / "p.parquet")
    shape = {"kind": "pairs", "question": "question", "answer": "answer"}
    assert read(tmp_path / "p.parquet", shape=shape).pairs == [("One?", "1.5"), ("", "")]


def _workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    for number, (name, rows) in enumerate(sheets.items()):
        sheet = book.create_sheet(name, number)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_read(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        ["id", "question", "answer"],
        [1, "Why?", "Line one\nline two"],
        [None, None, None],
        [2, "How much?", 42],
    ]
    found = read(_workbook(tmp_path / "a.xlsx", Sheet=rows))
    assert found.pairs == [("Why?", "Line one\nline two"), ("How much?", "42")]


def test_a_workbook_with_several_filled_sheets_is_refused(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx", one=[["question", "answer"], ["a", "b"]], two=[["x"]])
    with pytest.raises(DataError, match="several sheets with rows: one, two"):
        read(path)


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "question,answer\n" + "Why?,Because.\n" * 25_000)
    assert [len(batch.kept) for batch in sources.read(Source(path=str(path)))] == [10_000, 10_000, 5_000]
