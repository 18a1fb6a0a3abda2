from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pakar.prepare import sources
from pakar.prepare.sources import vectors
from pakar.prepare.sources.reading import outcomes
from pakar.prepare.sources.rows import batches
from pakar.recipe import Source
from tests.prepare.sources.helpers import Read, read

CELL = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        [
            "",
            " ",
            "\x1c",
            "\x85",
            "\u200b",
            "<p><br></p>",
            "&nbsp;",
            "<p>a</p>",
            "<" + "x" * 501 + ">",
            "<br>" * 500,
            "\x00",
        ]
    )
)
NAMES = ("question", "answer", "context", "fallback", "system", "kind")
PAIRS: dict[str, Any] = {"kind": "pairs", **{name: name for name in NAMES[:5]}}


def _row_by_row(path: Path, **source: Any) -> Read:
    reading = sources.resolve(Source.model_validate({"path": str(path), **source}))
    found = list(batches(outcomes(reading), reading.name))
    return Read(pl.concat([batch.kept for batch in found]), pl.concat([batch.rejected for batch in found]))


def _is_fast(path: Path, **source: Any) -> bool:
    reading = sources.resolve(Source.model_validate({"path": str(path), **source}))
    return vectors.fits(pq.read_schema(path), reading.shape, reading.label)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(*[CELL] * len(NAMES)), min_size=1, max_size=10), st.integers(2, 6))
def test_columns_at_once_equal_row_by_row(rows: list[tuple[str | None, ...]], used: int) -> None:
    shape = {"kind": "pairs", **{name: name for name in NAMES[: min(used, 5)]}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pl.DataFrame(rows, schema=dict.fromkeys(NAMES, pl.String), orient="row").write_parquet(path, row_group_size=3)
        for source in (
            {"shape": shape},
            {"shape": shape, "label": "kind"},
            {"shape": {"kind": "text", "column": "kind"}},
        ):
            assert _is_fast(path, **source)
            assert read(path, **source).kept.equals(_row_by_row(path, **source).kept)


@pytest.mark.parametrize(
    ("label", "kind", "expected"),
    [
        ([1, None, 3], pa.int32(), ["1", None, "3"]),
        ([True, False, None], pa.bool_(), ["true", "false", None]),
        (["a", "", None], pa.dictionary(pa.int8(), pa.string()), ["a", None, None]),
        ([1.0, 2.5, float("nan")], pa.float64(), ["1.0", "2.5", None]),
        ([["a", "b"], [], None], pa.list_(pa.string()), ["a\nb", None, None]),
    ],
)
def test_labels_of_any_type_become_text(
    tmp_path: Path, label: list[Any], kind: pa.DataType, expected: list[str]
) -> None:
    table = {"question": ["a", "b", "c"], "answer": ["d", "e", "f"], "kind": pa.array(label, kind)}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", label="kind")
    assert found.kept["label"].to_list() == expected
    assert found.kept.equals(_row_by_row(tmp_path / "a.parquet", label="kind").kept)


def test_other_columns_than_text_go_row_by_row(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"question": ["a", "b"], "answer": [["", "first", "second"], [{}]][:1] * 2}), tmp_path / "a.parquet"
    )
    assert not _is_fast(tmp_path / "a.parquet", shape={"kind": "pairs", "question": "question", "answer": "answer"})
    assert read(tmp_path / "a.parquet").pairs == [("a", "first"), ("b", "first")]


def test_text_that_is_not_utf8_is_mended(tmp_path: Path) -> None:
    cells = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\5\0\0\0\7\0\0\0"), pa.py_buffer(b"Caf\xe9?ok")]
    )
    pq.write_table(pa.table({"question": cells, "answer": ["So.", "Thus."]}), tmp_path / "a.parquet")
    shape = {"kind": "pairs", "question": "question", "answer": "answer"}
    assert read(tmp_path / "a.parquet", shape=shape).pairs == [("Café?", "So."), ("ok", "Thus.")]


def test_batches_of_large_rows_are_small(tmp_path: Path) -> None:
    table = pa.table({"question": [f"Why {n}?" for n in range(300)], "answer": ["word " * 40_000] * 300})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False)
    found = list(sources.read(Source(path=str(tmp_path / "a.parquet"))))
    assert sum(len(batch.kept) for batch in found) == 300
    assert max(len(batch.kept) for batch in found) <= 80


def test_small_row_groups_make_no_small_batches(tmp_path: Path) -> None:
    table = pa.table({"question": [f"Why {n}?" for n in range(12_000)], "answer": ["So."] * 12_000})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    assert [len(batch.kept) for batch in sources.read(Source(path=str(tmp_path / "a.parquet")))] == [10_000, 2_000]
