"""Path → bytes or lines: missing and empty files, compression, encodings. Knows nothing of rows and columns.

Compression is told from the first bytes, never from the name. A compressed stream that ends too early is an error, not
a shorter file: how many records are missing cannot be known.
"""

from __future__ import annotations

import bz2
import contextlib
import difflib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from pakar.errors import DataError
from pakar.prepare.sources.characters import UTF8, guess, holds_stray_bytes, marked, mend

CHUNK_BYTES = 1 << 17
PACKED_BYTES = 1 << 14
"""Compressed bytes that are unpacked at a time; they may hold a thousand times as many."""
SAMPLE_BYTES = 1 << 20
LONGEST_LINE = 1 << 25
"""Characters."""
KEPT_OF_TOO_LONG = 4096

_DECOMPRESSORS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
)


class DamagedError(DataError):
    """A compressed file ends too early or is broken; what stands before that place was read."""


def existing(path: Path) -> Path:
    """`path` if it is a file or a directory that can be opened.

    Raises:
        DataError: with the nearest name in the same directory.
    """
    if path.is_file() or path.is_dir():
        return path
    if path.exists():
        raise DataError(
            f"{path} is neither a file nor a folder", next_step="write it to a file first: data is read more than once."
        )
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1)
    if near:
        raise DataError(f"there is no file {path}", next_step=f"did you mean {path.parent / near[0]}?")
    missing = "" if path.parent.is_dir() else f"; there is no folder {path.parent} either"
    raise DataError(
        f"there is no file {path}{missing}", next_step="paths are relative to the recipe file; check the spelling."
    )


def open_bytes(path: Path) -> io.BufferedReader:
    """The file's bytes, decompressed."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened: {error.strerror}", next_step="check the permissions of the file."
        ) from None
    start = file.read(8)
    file.seek(0)
    for magic, new in _DECOMPRESSORS:
        if start.startswith(magic):
            return io.BufferedReader(_Decompressed(file, path, new), CHUNK_BYTES)
    return file


def whole_bytes(path: Path) -> bytes:
    """All bytes, decompressed."""
    with open_bytes(path) as file:
        return file.read()


def is_compressed(path: Path) -> bool:
    """Whether `open_bytes` would decompress."""
    with path.open("rb") as file:
        start = file.read(8)
    return any(start.startswith(magic) for magic, _ in _DECOMPRESSORS)


def head(path: Path, size: int = SAMPLE_BYTES) -> bytes:
    """The first `size` bytes, decompressed.

    Raises:
        DataError: if there are none.
    """
    with open_bytes(path) as file:
        start = _first_bytes(file, size)
    if not start:
        raise DataError(f"{path} is empty (0 bytes)", next_step="check how the file was written or copied.")
    return start


def _first_bytes(file: io.BufferedReader, size: int) -> bytes:
    """Of a damaged file what stands before the damage; if that is nothing, the error."""
    pieces: list[bytes] = []
    try:
        while size > 0 and (piece := file.read1(size)):
            pieces.append(piece)
            size -= len(piece)
    except DamagedError:
        if not pieces:
            raise
    return b"".join(pieces)


def detect_encoding(path: Path) -> str:
    """Name of the encoding: byte order mark, else UTF-8, else the likeliest.

    Looks at the first megabyte that holds anything beyond ASCII, wherever in the file that is.
    """
    with open_bytes(path) as file:
        sample = _first_bytes(file, SAMPLE_BYTES)
        if found := marked(sample):
            return found
        with contextlib.suppress(DamagedError):  # told when the records are read, with the place
            while sample.isascii() and (more := file.read1(SAMPLE_BYTES)):
                sample = more
    return guess(sample)


def known_encoding(name: str) -> str:
    """`name` in canonical spelling.

    Raises:
        DataError: if Python knows no such text encoding.
    """
    try:
        "".encode(name)
    except LookupError:
        raise DataError(
            f"there is no encoding {name!r}", next_step="write `encoding: auto`, or one such as utf-8, utf-16, cp1252."
        ) from None
    plain = name.lower().replace("_", "-")
    return UTF8 if plain in {"utf8", "utf-8", "utf-8-sig", "u8"} else plain


class TooLong(str):
    """The beginning of a line that is longer than `LONGEST_LINE`; the rest of it was passed over."""

    __slots__ = ()


def lines(path: Path, encoding: str, newline: str = "", *, start: int = 0) -> Iterator[str]:
    """The file's lines with their ends; of a line that is too long only the beginning, as a `TooLong`.

    Args:
        path: The file.
        encoding: As from `detect_encoding`. Of UTF-8, stray bytes are read as cp1252; of others they become U+FFFD.
        newline: What ends a line. Empty: CR, LF and CRLF all do, and are left as they are.
        start: Byte to begin at; only for files that are not compressed.
    """
    with _open_text(path, encoding, newline, start) as file:
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
                line = _beginning(line, file)
            yield line if line.isascii() else mend(line)


def _beginning(line: str, file: IO[str]) -> str:
    """`line`, or a `TooLong` if the line goes on after it; the rest of the line is read and forgotten."""
    rest = more = file.readline(LONGEST_LINE)
    while more and more[-1] not in "\r\n":
        more = file.readline(LONGEST_LINE)
    return TooLong(mend(line[:KEPT_OF_TOO_LONG])) if rest else line


def whole_text(path: Path, encoding: str) -> str:
    """All characters of the file, line ends as they are."""
    with _open_text(path, encoding, "") as file:
        return mend(file.read())


def lines_with_stray_bytes(path: Path, encoding: str) -> int:
    """Number of lines of a UTF-8 file that are not wholly UTF-8."""
    if encoding != UTF8:
        return 0
    with _open_text(path, encoding, "\n") as file:
        return sum(holds_stray_bytes(line) for line in file)


def _open_text(path: Path, encoding: str, newline: str, start: int = 0) -> IO[str]:
    marked_utf8 = UTF8 if start else "utf-8-sig"  # within a file the mark is a character
    codec, errors = (marked_utf8, "surrogateescape") if encoding == UTF8 else (encoding, "replace")
    file = open_bytes(path)
    if start:
        file.seek(start)
    return io.TextIOWrapper(file, encoding=codec, errors=errors, newline=newline)


class _Decompressed(io.RawIOBase):
    """A compressed file as a plain stream; unlike the libraries' own readers it notices every early end.

    Several compressed streams one after the other (as `cat a.gz b.gz` makes them) are one file.
    """

    def __init__(self, file: IO[bytes], path: Path, new: Callable[[], Any]) -> None:
        self._file, self._path, self._new = file, path, new
        self._stream = new()
        self._ready = memoryview(b"")
        self._finished = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._finished:
            self._ready = memoryview(self._next())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _next(self) -> bytes:
        chunk = self._file.read(PACKED_BYTES)
        if not chunk:
            self._finished = True
            if not self._stream.eof:
                raise DamagedError(
                    f"{self._path} is cut off: its compressed stream has no end",
                    next_step="copy or download the file again.",
                )
            return b""
        pieces = []
        try:
            while chunk.strip(b"\0") or not self._stream.eof:
                if self._stream.eof:
                    self._stream = self._new()
                pieces.append(cast("bytes", self._stream.decompress(chunk)))
                chunk = self._stream.unused_data if self._stream.eof else b""
                if not chunk:
                    break
        except (zlib.error, zstandard.ZstdError, OSError, lzma.LZMAError) as error:
            raise DamagedError(
                f"{self._path} is damaged: {error}", next_step="copy or download the file again."
            ) from None
        return b"".join(pieces)
