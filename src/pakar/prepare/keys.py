"""What set-wise steps compare: the identity of a row, and the group that the split must not part."""

from __future__ import annotations

import polars as pl

from pakar import text
from pakar.prepare.frames import Sieved, reject

NAME = "duplicates"


def add_keys(batch: pl.DataFrame) -> pl.DataFrame:
    """Add `id` (fingerprint of all messages) and replace `group` by a fingerprint.

    Rows whose reader named a group keep it; of the others the first question decides, and of plain text the text: case,
    punctuation and white space do not count.
    """
    ids, groups = [], []
    for messages, group in zip(batch["messages"].to_list(), batch["group"].to_list(), strict=True):
        ids.append(text.fingerprint(*(part for message in messages for part in (message["role"], message["content"]))))
        first = next((m["content"] for m in messages if m["role"] != "system"), "")
        groups.append(text.fingerprint(group if group else text.key(first)))
    return batch.with_columns(pl.Series("id", ids, pl.String), pl.Series("group", groups, pl.String))


def reject_duplicates(batch: pl.DataFrame, seen: set[str]) -> Sieved:
    """Rows whose id was not seen before; `seen` grows. The first of equal rows in reading order stays."""
    fresh = []
    for identity in batch["id"]:
        fresh.append(identity not in seen)
        seen.add(identity)
    mask = pl.Series(fresh, dtype=pl.Boolean)
    repeated = reject(batch.filter(~mask), "duplicate", NAME, "all messages equal those of an earlier row")
    return Sieved(batch.filter(mask), repeated)


def number_duplicates(batch: pl.DataFrame, seen: dict[str, int]) -> pl.DataFrame:
    """Where equal rows are kept, give each an id of its own."""
    ids = []
    for identity in batch["id"]:
        seen[identity] = seen.get(identity, 0) + 1
        ids.append(identity if seen[identity] == 1 else text.fingerprint(identity, str(seen[identity])))
    return batch.with_columns(pl.Series("id", ids, pl.String))
