"""Files and folders → conversations.

    path ─ opening, characters ─ formats ─┬ delimited  ┐
    (bytes, lines, encoding)              ├ columnar   ├─ rows ─ shapes, turns ─ batches of RECORDS and REJECTED
                                          ├ json_files │          (recognise: which shape)
                                          └ plain_text ┘

Every record of a source comes out once: kept as a conversation, or rejected with a reason word. What makes a whole
source unusable (missing, cut off, not clear what its columns mean) is a `DataError`. Cleaning is not done here: an
empty question, HTML or broken characters pass through as they are.

Reason words: `unequal_row`, `unclosed_quote` (tables); `unreadable_json`, `not_an_object` (JSON); `not_text` (an object
where text is expected); `missing_turns`, `no_answer`, `unknown_role`, `unsupported_content`, `empty_message`
(messages); `no_patterns`, `no_responses` (intents); `unsupported_file`, `binary_file`, `unreadable_file` (folders).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pakar import files
from pakar.prepare.frames import Sieved
from pakar.prepare.sources.opening import existing
from pakar.prepare.sources.plain_text import files_of
from pakar.prepare.sources.reading import outcomes, resolve
from pakar.prepare.sources.rows import batches
from pakar.recipe import Source


def read(source: Source) -> Iterator[Sieved]:
    """All records of a source in file order, in batches of about 10,000 rows or 16 million characters.

    Args:
        source: What the recipe says; its path absolute or relative to the working directory.

    Raises:
        DataError: at once, if the source cannot be used; while iterating, if it breaks off in the middle.
    """
    reading = resolve(source)
    return batches(outcomes(reading), reading.name)


def fingerprint(source: Source) -> str:
    """SHA-256 over the file's bytes; of a folder over the names and bytes of its files."""
    path = existing(Path(source.path))
    return files.tree_sha256(files_of(path), path) if path.is_dir() else files.sha256(path)
