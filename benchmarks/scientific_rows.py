"""Generates scientific instruction rows: columns id, input, output, as Parquet part files.

    python -m benchmarks.scientific_rows OUT_DIR --rows 300000 --words 1.0 --seed 1

The words are invented; lengths, marks (`@xmath0`, `@xcite`, ` $ ] `, a newline after sentences), figures, damaged letters and
repetitions are those of abstracts in the scientific-papers style. Row number `i` is a function of `i`, the seed and the shares
alone: a counter-based generator (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators") gives every word,
so neither the total nor the number of processes changes a row.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.scientific_vocabulary import CLASSES, DRAWS, PATTERN, Vocabulary, vocabulary

Numbers = NDArray[np.uint64]
Indices = NDArray[np.int64]

PART_ROWS = 25_000
"""Rows of one Parquet file."""

INPUT_WORDS = (281.823916, 117.387111, 11, 1416)
"""Mean, standard deviation, least and most whitespace words of an input, as published for 1,500,000 rows."""

OUTPUT_WORDS = (119.862444, 100.666986, 1, 1319)

OPENINGS = (
    "Suppose that you have an abstract for a scientific paper:",
    "Write the first line of an abstract of a paper which starts with:",
    "Here is the opening of a manuscript:",
    "Continue the text of this article:",
)
"""Every input begins with one of them; a quarter of the rows each."""

SPECIAL = {
    "hyphen": (0.021, 1.0),
    "figure": (0.010, 1.0),
    "math": (0.030, 0.5),
    "bracket": (0.002, 0.5),
    "cite": (0.010, 0.1),
    "foreign": (0.002, 0.3),
    "mojibake": (0.004, 0.02),
    "entity": (0.004, 0.01),
    "email": (0.004, 0.02),
}
"""Kind of special word → its share of the words in rows that have any, share of rows that have any."""

_EDITED = 0.01  # share of the words that a near-duplicate has different; at least one
_CHUNK = 2_000  # rows worked on at once: some tens of megabytes
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Settings(NamedTuple):
    """What decides the rows.

    Attributes:
        words: Factor on the length of every text; 1 gives the published lengths.
        seed: Fixes every choice.
        duplicates: Share of the rows that repeat an earlier row, both texts letter by letter.
        near_duplicates: Share of the rows that repeat an earlier row with about one word in a hundred changed, one at least.
    """

    words: float = 1.0
    seed: int = 1
    duplicates: float = 0.03
    near_duplicates: float = 0.02


class Origin(NamedTuple):
    """Where the content of rows comes from.

    Attributes:
        key: Number of the row whose words are used; shape (rows,).
        editor: Number of the near-duplicate whose changes are applied, or -1; shape (rows,).
    """

    key: Indices
    editor: Indices


def rows(first: int, last: int, settings: Settings) -> pa.Table:
    """Rows first … last - 1 as a table with columns id, input, output."""
    chunks = [_chunk(at, min(at + _CHUNK, last), settings) for at in range(first, last, _CHUNK)]
    return pa.concat_tables(chunks).combine_chunks()


def origins(first: int, last: int, settings: Settings) -> Origin:
    """Follow every repetition back to the row it repeats; a repeated row may be a repetition itself."""
    current = np.arange(first, last, dtype=np.int64)
    editor = np.full(last - first, -1, np.int64)
    while True:
        chance = _uniform(_stream(current, settings.seed, "repeat"))
        near = (chance < settings.near_duplicates) & (current > 0)
        copied = (chance < settings.near_duplicates + settings.duplicates) & (current > 0)
        if not copied.any():
            return Origin(current, editor)
        editor = np.where(near & (editor < 0), current, editor)
        parent = _stream(current, settings.seed, "parent") % np.maximum(current, 1).astype(np.uint64)
        current = np.where(copied, parent.astype(np.int64), current)


def write(out_dir: Path, total: int, settings: Settings, processes: int | None = None) -> None:
    """Write part files; a folder that already holds these rows is left as it is."""
    wanted = {"rows": total, **settings._asdict()}
    marker = out_dir / "_generated.json"  # readers of Parquet folders skip names with an underscore
    if marker.exists() and json.loads(marker.read_text()) == wanted:
        return
    out_dir.mkdir(parents=True, exist_ok=True)
    for old in [marker, *out_dir.glob("part-*.parquet")]:
        old.unlink(missing_ok=True)
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_write_part, out_dir, total, settings), range(-(-total // PART_ROWS))))
    marker.write_text(json.dumps(wanted))


def _write_part(out_dir: Path, total: int, settings: Settings, part: int) -> None:
    table = rows(part * PART_ROWS, min((part + 1) * PART_ROWS, total), settings)
    pq.write_table(table, out_dir / f"part-{part:05d}.parquet", row_group_size=PART_ROWS // 4)


def _chunk(first: int, last: int, settings: Settings) -> pa.Table:
    origin = origins(first, last, settings)
    numbers = pc.utf8_lpad(pa.array(np.arange(first, last)).cast(pa.string()), 9, "0")
    ids = pc.binary_join_element_wise("sp", numbers, "-")
    return pa.table({"id": ids, "input": _inputs(origin, settings), "output": _outputs(origin, settings)})


def _inputs(origin: Origin, settings: Settings) -> pa.Array:
    opening = (_stream(origin.key, settings.seed, "opening") % np.uint64(len(OPENINGS))).astype(np.int64)
    opening_words = np.array([len(text.split()) for text in OPENINGS])[opening]
    wanted = _lengths(origin, settings, "input", _lognormal_quantiles(INPUT_WORDS))
    return _texts(origin, settings, "input", np.maximum(wanted - opening_words, 1), opening)


def _outputs(origin: Origin, settings: Settings) -> pa.Array:
    return _texts(origin, settings, "output", _lengths(origin, settings, "output", _gamma_quantiles(OUTPUT_WORDS)))


def _texts(
    origin: Origin, settings: Settings, column: str, lengths: Indices, opening: Indices | None = None
) -> pa.Array:
    """One text a row: `lengths` words, after the opening if there is one."""
    lexicon = _lexicon()
    row = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    place = np.arange(len(row)) - starts[row]
    base = _stream(origin.key, settings.seed, column)
    bits = _mix(base[row] + place.astype(np.uint64) * _GOLDEN)
    _edit(bits, origin, settings, column, lengths, starts)
    word = _words(bits, place, row, base, lexicon)
    ends = starts + lengths
    if opening is not None:
        word = np.insert(word, starts, len(lexicon.words) - len(OPENINGS) + opening)
        ends = ends + np.arange(1, len(ends) + 1)
    flat = _arrow_words().take(pa.array(word))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(offsets, flat), " ")


def _edit(bits: Numbers, origin: Origin, settings: Settings, column: str, lengths: Indices, starts: Indices) -> None:
    """Draw some words of near-duplicates anew, in place; of an input, one word at least."""
    edited = np.flatnonzero(origin.editor >= 0)
    row = np.repeat(edited, lengths[edited])
    count = lengths[edited]
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    base = _stream(origin.editor, settings.seed, "edit " + column)
    drawn = _mix(base[row] + place.astype(np.uint64) * _GOLDEN)
    changed = _uniform(_mix(drawn)) < _EDITED
    if column == "input":
        changed |= place == (base % lengths.astype(np.uint64)).astype(np.int64)[row]
    bits[(starts[row] + place)[changed]] = drawn[changed]


def _words(bits: Numbers, place: Indices, row: Indices, base: Numbers, lexicon: Vocabulary) -> Indices:
    """Index of every word: ordinary ones by class, then marks and the ends of sentences."""
    shift = (base % np.uint64(len(PATTERN))).astype(np.int64)
    kinds = np.array([CLASSES.index(letter) for letter in PATTERN])[(place + shift[row]) % len(PATTERN)]
    word: Indices = lexicon.tables.ravel()[kinds * DRAWS + (bits & np.uint64(0xFFFF)).astype(np.int64)].astype(np.int64)
    shares = np.cumsum([share for share, _ in SPECIAL.values()])
    chance = ((bits >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.float64) / (1 << 16)
    rare = np.flatnonzero(chance < shares[-1])
    kind = np.searchsorted(shares, chance[rare], side="right")
    row_chance = _uniform(_mix(base[row[rare]] + (kind + 1).astype(np.uint64)))
    has = row_chance < np.array([of_rows for _, of_rows in SPECIAL.values()])[kind]
    rare, kind = rare[has], kind[has]
    spans = np.array([lexicon.marks[name] for name in SPECIAL])
    word[rare] = _within(bits[rare], spans[kind, 0], spans[kind, 1])
    period = 16 + (base >> np.uint64(40)) % np.uint64(12)  # words a sentence: 16 to 27
    stops = np.flatnonzero((place + 1) % period.astype(np.int64)[row] == 0)
    word[stops] = _within(bits[stops], *lexicon.marks["stop"])
    return word


def _within(bits: Numbers, first: Indices | int, past: Indices | int) -> Indices:
    return np.asarray(first + (bits >> np.uint64(33)).astype(np.int64) % (past - first), np.int64)


def _lengths(origin: Origin, settings: Settings, column: str, quantiles: Indices) -> Indices:
    drawn = quantiles[(_stream(origin.key, settings.seed, "length " + column) % np.uint64(DRAWS)).astype(np.int64)]
    lengths: Indices = np.maximum(np.rint(drawn * settings.words), quantiles[0]).astype(np.int64)
    return lengths


@cache
def _lognormal_quantiles(target: tuple[float, float, int, int]) -> Indices:
    """DRAWS lengths of a log-normal distribution, the shortest thousandth stretched down to the least."""
    mean, deviation, least, most = target
    variance = np.log1p((deviation / mean) ** 2)
    normal = np.random.default_rng(5).standard_normal(DRAWS)
    lengths = np.sort(np.exp(np.log(mean) - variance / 2 + np.sqrt(variance) * normal))
    short = DRAWS // 1000
    lengths[:short] = np.linspace(least, lengths[short], short)
    return _whole(lengths, least, most)


@cache
def _gamma_quantiles(target: tuple[float, float, int, int]) -> Indices:
    mean, deviation, least, most = target
    lengths = np.sort(np.random.default_rng(6).gamma((mean / deviation) ** 2, deviation**2 / mean, DRAWS))
    return _whole(lengths, least, most)


def _whole(lengths: NDArray[np.float64], least: int, most: int) -> Indices:
    whole: Indices = np.clip(np.rint(lengths), least, most).astype(np.int64)
    return whole


@cache
def _lexicon() -> Vocabulary:
    made = vocabulary()
    return made._replace(words=[*made.words, *OPENINGS])


@cache
def _arrow_words() -> pa.Array:
    return pa.array(_lexicon().words, pa.string())


def _stream(numbers: Indices, seed: int, purpose: str) -> Numbers:
    """64 random bits for each number, different for each seed and purpose."""
    salt = np.uint64(int.from_bytes(f"{seed} {purpose}".encode().ljust(16, b"\0")[:16], "little") % (1 << 61))
    return _mix(_mix(numbers.astype(np.uint64) * _GOLDEN) ^ _mix(np.array([salt], np.uint64)))


def _mix(bits: Numbers) -> Numbers:
    """The finaliser of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _uniform(bits: Numbers) -> NDArray[np.float64]:
    return (bits >> np.uint64(11)).astype(np.float64) / (1 << 53)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Generate scientific instruction rows as Parquet part files.")
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--rows", type=int, default=300_000)
    for name, default in Settings()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    return parser.parse_args(given)


def main() -> None:
    """Generate, and say how long it took."""
    given = vars(arguments())
    started, out_dir, total = time.perf_counter(), given.pop("out_dir"), given.pop("rows")
    write(out_dir, total, Settings(**given))
    seconds = time.perf_counter() - started
    print(f"{total:,} rows in {out_dir}: {seconds:.1f} s, {total / seconds:,.0f} rows/s")


if __name__ == "__main__":
    main()
