"""Near-duplicates: rows that say the same in nearly the same words, found among millions in linear time.

Two steps. `add_bands` computes key columns for a batch of rows; it is pure, so batches can be spread over processes and
machines. `find` looks at whole key columns, one at a time, and decides; it fetches the shingles of those rows only that
may be near-duplicates. `stored_keys` reads the columns from Parquet files.
"""

from __future__ import annotations

from pakar.prepare.near_duplicates.bands import BAND, add_bands
from pakar.prepare.near_duplicates.candidates import pair
from pakar.prepare.near_duplicates.components import components
from pakar.prepare.near_duplicates.find import Keys, NearDuplicates, find
from pakar.prepare.near_duplicates.minhash import SCHEME, Scheme
from pakar.prepare.near_duplicates.stored import stored_keys

__all__ = [
    "BAND",
    "SCHEME",
    "Keys",
    "NearDuplicates",
    "Scheme",
    "add_bands",
    "components",
    "find",
    "pair",
    "stored_keys",
]
