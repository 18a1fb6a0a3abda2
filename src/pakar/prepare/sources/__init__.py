"""Files, folders, patterns and datasets of the hub → conversations.

    path ─ parts (which files) ─ formats ─ opening, characters (bytes, lines, encoding)
         ┬ delimited, json_files ─ bulk ────────┐
         ├ columnar, hub ─ vectors (text) ──────┼─ batches of RECORDS and REJECTED
         ├ columnar, hub ─ shapes (all else) ───┤      sharding: as a whole, or in shards for several processes
         ├ documents, plain_text ─ shapes ──────┤      recognise: which shape
         └ chat, tables ─ threads ──────────────┘

Every record of a source comes out once: kept as a conversation, or rejected with a reason word (docs/sources.md lists
them). What makes a whole source unusable (missing, cut off, not clear what its columns mean) is a `DataError`. Cleaning
is not done here: an empty question, HTML in a cell or broken characters pass through as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar import files
from pakar.prepare.frames import Sieved
from pakar.prepare.sources import hub, parts
from pakar.prepare.sources.reading import Reading, resolve
from pakar.prepare.sources.sharding import Shard, read_all, read_shard, shards
from pakar.recipe import Source

__all__ = ["Reading", "Shard", "fingerprint", "read", "read_all", "read_shard", "resolve", "shards"]


def read(source: Source) -> Iterator[Sieved]:
    """All records of a source in file order, in batches of about 10,000 rows or 16 million characters.

    Args:
        source: What the recipe says; its path absolute or relative to the working directory.

    Raises:
        DataError: at once, if the source cannot be used; while iterating, if it breaks off in the middle.
    """
    return read_all(resolve(source))


def fingerprint(source: Source) -> str:
    """SHA-256 over the file's bytes; of a folder or pattern over the names and bytes of its files; of the hub over the commit."""
    if hub.is_hub(source):
        return hub.fingerprint(source)
    found = parts.find(source.path, source.format)
    return files.sha256(Path(source.path)) if found is None else files.tree_sha256(found.files, found.root)
