"""Near-duplicates: recall and precision on planted pairs, speed and memory by number of rows, beside two other tools.

    python -m benchmarks.near_duplicates [--rows 10000 100000 1000000] [--peers PYTHON]

PYTHON is an interpreter of its own in which `datasketch`, `datatrove[processing]`, `spacy` and `polars` are installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import machine
from pakar import text
from pakar.evaluate.intervals import wilson
from pakar.prepare.near_duplicates import SCHEME, add_bands, find, stored_keys

LEVELS = {0.6: (100, 5), 0.7: (170, 6), 0.8: (90, 2), 0.85: (185, 3), 0.9: (95, 1)}
"""Jaccard similarity J → shingles S of a row, words changed C: each change replaces 5 shingles, so J = (S-5C)/(S+5C)."""
ABOUT = """Pairs of known Jaccard similarity (five-word shingles) are planted among questions of six common forms, whose answers of
90 to 140 words share 20 to 70 words with all answers to questions of that form. A pair is found when one row of it is dropped
in favour of the other; near-duplicates begin at 0.8. Precision: of the dropped rows, those whose exact similarity to the kept
row, computed anew with sets of strings, is at least 0.8. Brackets: 95 % Wilson intervals. One core; MiB: peak of the process."""
BESIDE = """datasketch: MinHash and MinHashLSH with our 96 functions in 16 bands; datatrove: its four MinHash steps with its own
defaults (14 bands of 8, 64 bits). Neither verifies what it finds. Processor time without starting Python."""
SHARD = 50_000
QUESTIONS = (
    "What are the symptoms of {} ?",
    "What causes {} ?",
    "Is {} inherited ?",
    "How many people are affected by {} ?",
    "What are the treatments for {} ?",
    "How to diagnose {} ?",
)
SHARED_WORDS = (20, 20, 30, 30, 40, 70)
"""Words of the answer that are the same in all answers to a question of that form, of 90 to 140."""


class Writer:
    """Writes questions and answers from a vocabulary with Zipf's frequencies; equal seeds write equal texts."""

    def __init__(self, seed: int, words: int = 30_000) -> None:
        self.random = np.random.default_rng(seed)
        onsets, vowels = (
            ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v"],
            ["a", "e", "i", "o", "u"],
        )
        syllables = np.array([onset + vowel for onset in onsets for vowel in vowels], dtype=object)
        shape = self.random.choice(syllables, (words, 4))
        lengths = 1 + np.minimum(3, np.arange(words) * 4 // words + self.random.integers(0, 2, words))
        self.vocabulary = np.array(["".join(row[:n]) for row, n in zip(shape, lengths, strict=True)], dtype=object)
        weights = 1 / np.arange(1, words + 1)
        self.steps = np.cumsum(weights / weights.sum())
        self.shared = [self.words(count) for count in SHARED_WORDS]

    def words(self, count: int) -> list[str]:
        """So many words."""
        drawn = np.searchsorted(self.steps, self.random.random(count))
        return list(self.vocabulary[np.minimum(drawn, len(self.vocabulary) - 1)])

    def look_alike(self) -> tuple[str, str]:
        """A question of a common form with an answer that is partly the same for all questions of that form."""
        form = int(self.random.integers(len(QUESTIONS)))
        own = self.words(int(self.random.integers(90, 140)) - len(self.shared[form]))
        half = len(own) // 2
        return self.question(form), " ".join([*own[:half], *self.shared[form], *own[half:]])

    def question(self, form: int) -> str:
        """A question about something that has a name of two words."""
        return QUESTIONS[form].format(" ".join(self.words(2)))

    def planted(self, similarity: float) -> tuple[tuple[str, str], tuple[str, str]]:
        """Two rows that differ in some words of their answers, of exactly this similarity."""
        size, changes = LEVELS[similarity]
        while True:
            question = self.question(int(self.random.integers(len(QUESTIONS))))
            answer = self.words(size - max(1, len(text.key(question).split()) - 4) + 4)
            slots = self.random.choice((len(answer) - 8) // 5, changes, replace=False)
            changed = list(answer)
            for slot in slots:
                changed[4 + 5 * slot] = self.words(1)[0]
            one, other = (question, " ".join(answer)), (question, " ".join(changed))
            if jaccard(one, other) == similarity:
                return one, other


def jaccard(one: tuple[str, str], other: tuple[str, str]) -> float:
    """Exact similarity of two rows, by sets of strings and `pakar.text` alone."""
    sets = [
        {(side, *words) for side, part in enumerate(row) for words in grams(text.key(part).split())}
        for row in (one, other)
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All sequences of five words; a shorter text as a whole."""
    return (tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4)))


def generate(directory: Path, rows: int) -> None:
    """Shards with planted pairs among look-alikes, in the order of their ids, and the list of the pairs."""
    writer, pairs = Writer(seed=rows), []
    contents: list[tuple[str, str]] = []
    for similarity in LEVELS:
        for _ in range(min(2000, rows // 50)):
            couple = writer.planted(similarity)
            pairs.append(
                {"similarity": similarity, "one": text.fingerprint(*couple[0]), "other": text.fingerprint(*couple[1])}
            )
            contents += couple
    contents += [writer.look_alike() for _ in range(rows - len(contents))]
    table = pl.DataFrame(contents, schema=["question", "answer"], orient="row")
    ids = pl.Series("id", [text.fingerprint(*row) for row in contents])
    table = table.with_columns(ids).unique("id").sort("id")
    pl.DataFrame(pairs).write_parquet(directory / "pairs.parquet")
    for number, shard in enumerate(table.iter_slices(SHARD)):
        sides = [
            pl.struct(pl.lit(role).alias("role"), pl.col(side).alias("content"))
            for role, side in (("user", "question"), ("assistant", "answer"))
        ]
        shard.select("id", pl.concat_list(sides).alias("messages")).write_parquet(
            directory / f"rows-{number:03}.parquet"
        )


def add_keys(directory: Path) -> None:
    """The map step."""
    for path in sorted(directory.glob("rows-*.parquet")):
        add_bands(pl.read_parquet(path)).drop("messages").write_parquet(
            path.with_name(path.name.replace("rows", "keys"))
        )


def decide(directory: Path) -> None:
    """The driver's step."""
    paths = sorted(directory.glob("keys-*.parquet"))
    found = find(stored_keys(paths))
    ids = pl.read_parquet(paths, columns=["id"])["id"]
    dropped = pl.DataFrame({"dropped": ids.gather(found.dropped), "kept": ids.gather(found.kept)})
    dropped.write_parquet(directory / "found.parquet")
    print(found.compared, found.similar)


def measured(directory: Path, rows: int) -> dict[str, object]:
    """Generate, run both steps in processes of their own, and tell what they took. Starting Python is not counted."""
    generate(directory, rows)
    none, keys, decision = (_run(step, directory) for step in STEPS)
    compared, similar = decision.output.split()
    return {
        "rows": f"{rows:,}",
        "add_bands, rows/s of a core": round(rows / (keys.cpu_seconds - none.cpu_seconds)),
        "add_bands, MiB": keys.peak_bytes >> 20,
        "find, processor s": round(decision.cpu_seconds - none.cpu_seconds, 1),
        "find, µs a row": round((decision.cpu_seconds - none.cpu_seconds) / rows * 1e6),
        "find, MiB": decision.peak_bytes >> 20,
        "pairs compared": f"{int(compared):,}",
        "similar pairs": f"{int(similar):,}",
    }


def _run(step: str, directory: Path) -> machine.Measured:
    one_core = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return machine.measure([sys.executable, "-m", "benchmarks.near_duplicates", "--step", step, directory], one_core)


def quality(directory: Path, tool: str) -> dict[str, object]:
    """Recall by planted similarity, and how many of the dropped rows should have been dropped."""
    pairs = pl.read_parquet(directory / "pairs.parquet")
    found = {frozenset(row) for row in pl.read_parquet(directory / "found.parquet").iter_rows()}
    rows = pl.read_parquet(directory / "rows-*.parquet")
    wanted = {one for couple in found for one in couple}
    contents = {
        row["id"]: (row["messages"][0]["content"], row["messages"][1]["content"])
        for row in rows.filter(pl.col("id").is_in(list(wanted))).iter_rows(named=True)
    }
    right = [jaccard(*(contents[one] for one in couple)) >= SCHEME.threshold for couple in found]
    recall = {
        f"recall at {similarity}": share([frozenset(row) in found for row in some.select("one", "other").iter_rows()])
        for (similarity,), some in pairs.group_by("similarity", maintain_order=True)
    }
    return {"tool": tool, "rows": f"{len(rows):,}", **recall, "precision": share(right)}


def share(hits: Sequence[bool]) -> str:
    """A share with its 95 % Wilson interval."""
    found = sum(hits) / len(hits)
    low, high = wilson(found, len(hits), 0.95)
    return f"{found:.4f} [{low:.4f}, {high:.4f}] of {len(hits):,}"


def peers(python: Path, directory: Path, ours: float) -> list[dict[str, object]]:
    """What other tools find among the same rows, and how long they take, starting Python not counted."""
    script = Path(__file__).parent / "peers" / "near_duplicates.py"
    told = []
    for tool in ("datasketch", "datatrove"):
        seconds = machine.measure([python, script, tool, directory]).output.split()[-1]
        told.append(quality(directory, tool) | took(float(seconds), ours))
    return told


def took(seconds: float, ours: float) -> dict[str, object]:
    """Processor time, and how many times that of ours it is."""
    return {"processor s": round(seconds, 1), "ratio to pakar": round(seconds / ours, 1)}


STEPS = {"none": lambda _: None, "keys": add_keys, "find": decide}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("directory", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.step:
        STEPS[asked.step](asked.directory)
        return
    speeds, found, beside = [], [], []
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as name:
            speeds.append(measured(Path(name), rows))
            found.append(quality(Path(name), "pakar"))
            if asked.peers and rows == min(asked.rows):
                ours = sum(_run(step, Path(name)).cpu_seconds for step in ("keys", "find"))
                ours -= 2 * _run("none", Path(name)).cpu_seconds
                beside = [found[-1] | took(ours, ours), *peers(asked.peers, Path(name), ours)]
    machine.publish(
        "near_duplicates",
        "# Near-duplicates",
        machine.describe(["numpy", "polars"]),
        ABOUT,
        "## Quality",
        machine.table(found),
        "## Speed and memory",
        machine.table(speeds),
        *(["## The same rows in other tools", BESIDE, machine.table(beside)] if beside else []),
    )


if __name__ == "__main__":
    main()
