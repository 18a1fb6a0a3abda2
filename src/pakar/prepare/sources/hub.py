"""Datasets of the Hugging Face hub → tables of rows, streamed: nothing is stored and no code of theirs is run.

The only module that imports `datasets`, which also reads a local folder of the same layout (`format: hub`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pakar import files, text
from pakar.errors import DataError
from pakar.prepare.sources.rows import Row
from pakar.recipe import Source
from pakar.recipe.sources import HUB

ROWS_AT_ONCE = 2_000


def is_hub(source: Source) -> bool:
    """Whether the source is read by `datasets`."""
    return source.path.startswith(HUB) or source.format == "hub"


def pinned(source: Source) -> Source:
    """The source with the commit that its revision names today, so that all of it is read from one state.

    Raises:
        DataError: there is no such dataset, or it cannot be reached.
    """
    if not source.path.startswith(HUB):
        return source
    from huggingface_hub import HfApi  # noqa: PLC0415 - slow to import, rarely needed

    try:
        found = HfApi().dataset_info(_name(source), revision=source.hub.revision)
    except Exception as error:  # of the network, of the hub, of the login
        raise _unreachable(source, error) from None
    return source.model_copy(update={"hub": source.hub.model_copy(update={"revision": found.sha})})


def fingerprint(source: Source) -> str:
    """Changes with the dataset's commit, its configuration and its split; of a local folder with its files."""
    source = pinned(source)
    chosen = (source.hub.config or "", source.hub.split)
    if source.path.startswith(HUB):
        return text.fingerprint(_name(source), source.hub.revision or "", *chosen)
    folder = Path(source.path)
    return text.fingerprint(files.tree_sha256([p for p in folder.rglob("*") if p.is_file()], folder), *chosen)


def tables(source: Source) -> Iterator[pa.Table]:
    """All rows in order.

    Raises:
        DataError: `datasets` is not installed, or can make nothing of the dataset, its configuration or its split.
    """
    try:
        yield from _dataset(source).with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
    except DataError:
        raise
    except Exception as error:  # of the network, of the file formats
        raise _unreachable(source, error) from None


def rows(source: Source) -> Iterator[Row]:
    """All rows; the offset is the number of the row in the split."""
    found = (values for table in tables(source) for values in table.to_pylist())
    return itertools.starmap(Row, enumerate(found, 1))


def _dataset(source: Source) -> Any:
    try:
        import datasets  # noqa: PLC0415 - an extra
    except ImportError:
        raise DataError(
            f"{source.path} is read by the package `datasets`, which is not installed",
            next_step="`pip install 'pakar[hub]'`.",
        ) from None
    datasets.disable_progress_bars()
    return datasets.load_dataset(
        _name(source), source.hub.config, split=source.hub.split, revision=source.hub.revision, streaming=True
    )


def _name(source: Source) -> str:
    return source.path.removeprefix(HUB).strip("/") if source.path.startswith(HUB) else source.path


def _unreachable(source: Source, error: Exception) -> DataError:
    said = " ".join(str(error).split())[:500]
    return DataError(
        f"the dataset {_name(source)} cannot be read: {type(error).__name__}: {said}",
        next_step="check its name, and `hub: {config: …, split: …, revision: …}` below the source's path; "
        "of a dataset that is not public, `hf auth login` first.",
    )
