"""How well the bundled recogniser finds the names of people, and how fast it is.

    python benchmarks/person_names.py --synthetic DIR --social DIR --without DIR/medquad.jsonl.gz DIR/SciTLDR-A_dev.jsonl.gz
    python benchmarks/person_names.py --model NAME_OR_PATH ...

`--synthetic`: a directory with the sentences of presidio-research (records with `full_text` and `spans`). `--social`: one
with `wnut17train.conll`; the first 2,000 texts helped to train the recogniser, only the others are measured. `--without`:
texts in which names are rare. The prose written for this benchmark lies beside this file. None of the measured texts was
used to make the recogniser.

"overlap": a name counts as found if a found span touches it, a found span as right if it touches a name. "exact": both
ends must agree. Recall and precision have Wilson's 95 % intervals, F1 a bootstrap over texts (1,000 draws).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pakar.prepare.names import NameRecogniser, Span, bundled, from_model

PROSE = Path(__file__).with_name("person_names_prose.txt")
TRAINED_ON = 2000
MARK = re.compile(r"\[\[(.+?)\]\]")


class Labelled(NamedTuple):
    """A text and the names in it."""

    text: str
    names: list[Span]


class Counts(NamedTuple):
    """Of one text: names, names found, spans, spans that are right."""

    names: int
    found: int
    spans: int
    right: int


def prose(path: Path) -> list[Labelled]:
    """The hand-written texts, whose names stand in double square brackets."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [_unmark(text) for text in re.split(r"\n\n+", "\n".join(lines).strip())]


def _unmark(marked: str) -> Labelled:
    text, names = "", []
    for n, piece in enumerate(MARK.split(marked)):
        if n % 2:
            names.append(Span(len(text), len(text) + len(piece)))
        text += piece
    return Labelled(text, names)


def synthetic(directory: Path) -> list[Labelled]:
    """Presidio's sentences; names are the spans of type PERSON."""
    records: list[dict[str, Any]] = []
    for path in sorted(directory.glob("*.json*")):
        content = path.read_text("utf-8")
        records += map(json.loads, content.splitlines()) if path.suffix == ".jsonl" else json.loads(content)
    return [
        Labelled(
            record["full_text"],
            [Span(s["start_position"], s["end_position"]) for s in record["spans"] if s["entity_type"] == "PERSON"],
        )
        for record in records
    ]


def social(path: Path) -> list[Labelled]:
    """WNUT-17: the texts after those that were trained on, words joined by blanks."""
    blocks = re.split(r"\n\s*\n", path.read_text("utf-8").strip())[TRAINED_ON:]
    return [_joined([tuple(line.split("\t")) for line in block.splitlines() if "\t" in line]) for block in blocks]


def _joined(rows: Sequence[tuple[str, ...]]) -> Labelled:
    text = ""
    names: list[Span] = []
    for word, tag in ((row[0].strip(), row[1].strip()) for row in rows):
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        if tag == "B-person":
            names.append(Span(start, len(text)))
        elif tag == "I-person" and names:
            names[-1] = Span(names[-1].start, len(text))
    return Labelled(text, names)


def overlap(a: Span, b: Span) -> bool:
    """Whether two spans share a character."""
    return a.start < b.end and b.start < a.end


def exact(a: Span, b: Span) -> bool:
    """Whether two spans are the same."""
    return a == b


def count(names: list[Span], spans: list[Span], same: Callable[[Span, Span], bool]) -> Counts:
    """What one text adds to the figures."""
    found = sum(any(same(name, span) for span in spans) for name in names)
    right = sum(any(same(name, span) for name in names) for span in spans)
    return Counts(len(names), found, len(spans), right)


def wilson(hits: int, trials: int) -> str:
    """A share with Wilson's 95 % interval (Wilson 1927)."""
    if not trials:
        return "none"
    z, share = 1.96, hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return f"{share:.3f} ({centre - half:.3f} to {centre + half:.3f})"


def f1(counts: np.ndarray[Any, Any]) -> str:
    """F1 with its bootstrap interval over texts."""
    draws = np.random.default_rng(0).integers(len(counts), size=(1000, len(counts)))
    names, found, spans, right = np.moveaxis(counts[draws].sum(axis=1), -1, 0)
    recall, precision = found / np.maximum(names, 1), right / np.maximum(spans, 1)
    values = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
    n, f, s, r = counts.sum(axis=0)
    point = 2 * (f / n) * (r / s) / (f / n + r / s)
    return f"{point:.3f} ({np.quantile(values, 0.025):.3f} to {np.quantile(values, 0.975):.3f})"


def rows(title: str, texts: Sequence[Labelled], recogniser: NameRecogniser) -> Iterator[str]:
    """Two rows of the table."""
    found = recogniser.find([text for text, _ in texts])
    for same in (overlap, exact):
        counts = np.array([count(names, spans, same) for (_, names), spans in zip(texts, found, strict=True)])
        names, hits, spans, right = (int(total) for total in counts.sum(axis=0))
        cells = [title, len(texts), names, same.__name__, wilson(hits, names), wilson(right, spans), f1(counts)]
        yield "| " + " | ".join(map(str, cells)) + " |"


def without(path: Path, recogniser: NameRecogniser, *, most: int = 1000) -> str:
    """Spans found in texts where names are rare, for each thousand words."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    texts = [text for record in records if (text := _longest(record))][:: max(1, len(records) // most)][:most]
    spans = sum(map(len, recogniser.find(texts)))
    words = sum(len(text.split()) for text in texts)
    return f"| {path.name} | {len(texts)} | {words} | {spans} | {1000 * spans / words:.2f} |"


def _longest(record: dict[str, Any]) -> str:
    values = [" ".join(v) if isinstance(v, list) and all(isinstance(x, str) for x in v) else v for v in record.values()]
    return max((value for value in values if isinstance(value, str)), key=len, default="")


def speed(texts: Sequence[Labelled], recogniser: NameRecogniser) -> float:
    """Sentences of 20 words in each second of processor time, which other work on the machine does not blur."""
    words = " ".join(text for text, _ in texts).split()
    sentences = [" ".join(words[at : at + 20]) for at in range(0, len(words) - 20, 20)] * 4
    recogniser.find(sentences[:100])
    start = time.process_time()
    recogniser.find(sentences)
    return len(sentences) / (time.process_time() - start)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", type=Path)
    parser.add_argument("--social", type=Path)
    parser.add_argument("--without", type=Path, nargs="*", default=[])
    parser.add_argument("--model", help="a token-classification model instead of the bundled recogniser")
    args = parser.parse_args()
    recogniser = from_model(args.model) if args.model else bundled()
    written = prose(PROSE)
    capitals = [Labelled(text.upper(), names) for text, names in written if len(text.upper()) == len(text)]
    lower = [Labelled(text.lower(), names) for text, names in written if len(text.lower()) == len(text)]
    sets = {"prose written for this": written, "the same in capitals": capitals, "the same in lower case": lower}
    if args.synthetic:
        sets["synthetic sentences, names of the world"] = synthetic(args.synthetic)
    if args.social:
        sets["social text (WNUT-17, texts 2,001 on)"] = social(args.social / "wnut17train.conll")
    print("| texts | number | names | match | recall | precision | F1 |\n|---|---|---|---|---|---|---|")
    for title, texts in sets.items():
        print("\n".join(rows(title, texts, recogniser)))
    if args.without:
        print("\n| texts with few names | number | words | spans found | for each 1,000 words |\n|---|---|---|---|---|")
        print("\n".join(without(path, recogniser) for path in args.without))
    rate = speed([text for texts in sets.values() for text in texts], recogniser)
    print(
        f"\nSpeed: {rate:,.0f} sentences of 20 words in each second of one core ({rate / 2000:.1f} times the aim of 2,000)."
    )
    print(f"Machine: {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, one thread.")


if __name__ == "__main__":
    main()
