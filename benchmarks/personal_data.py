"""Recall and precision of `personal-data` by type, false finds in ordinary texts, and rows per second on one core.

    python -m benchmarks.personal_data --labelled spans.jsonl --texts medquad=answers.csv.gz:output

`--labelled` takes JSON Lines with `full_text` and `spans` (`entity_type`, `start_position`, `end_position`), as presidio-research writes them;
`--texts` takes CSV or JSON Lines files and the column to read. Without them only the generated part runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # figures are per core

import polars as pl

from benchmarks import machine
from benchmarks.personal_numbers import KINDS, cases
from pakar.evaluate.intervals import wilson
from pakar.prepare.frames import RECORDS
from pakar.prepare.operators.personal_data import hide_personal_data
from pakar.prepare.personal.detectors import detectors
from pakar.prepare.personal.found import Detector, Found, find_all
from pakar.recipe.operators import PersonalData

TYPES = (*PersonalData().types, "link")
LABELS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit-card",
    "IBAN_CODE": "iban",
    "US_SSN": "national-id",
    "IP_ADDRESS": "ip-address",
    "DOMAIN_NAME": "link",
}
Row = dict[str, object]


def share(hits: int, count: int) -> str:
    """A share with its 95 % Wilson interval."""
    if not count:
        return "–"
    low, high = wilson(hits / count, count, 0.95)
    return f"{hits / count:.3f} [{low:.3f}, {high:.3f}]"


def generated(count: int) -> Iterator[Row]:
    """Recall on right numbers, and the share of wrong ones that is taken for right."""
    found_by = detectors(PersonalData().types, (*PersonalData().regions, "PL"))
    for kind in KINDS:
        type_name = kind.split()[0]
        right = [(case, find_all(case.text, found_by)) for case in cases(kind, count, right=True)]
        whole = [{one.type for one in found if case.text[one.start : one.end] == case.value} for case, found in right]
        spoilt = [find_all(case.text, found_by) for case in cases(kind, count, right=False)]
        wrong = sum(any(one.type == type_name for one in found) for found in spoilt)
        yield {
            "type": kind,
            "numbers": count,
            "found": share(sum(type_name in types for types in whole), count),
            "hidden under any type": share(sum(map(bool, whole)), count),
            "wrong checksum, found all the same": "no checksum" if "NIK" in kind else share(wrong, count),
        }


def labelled(path: Path) -> Iterator[Row]:
    """Recall and precision by type. A find counts when it shares a character with a label of its type."""
    found_by = detectors(TYPES, PersonalData().regions)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    found = [find_all(record["full_text"], found_by) for record in records]
    spans = [
        [(LABELS.get(s["entity_type"]), s["start_position"], s["end_position"]) for s in r["spans"]] for r in records
    ]
    for label, type_name in LABELS.items():
        gold = [
            (row, span) for row, labels in zip(found, spans, strict=True) for span in labels if span[0] == type_name
        ]
        ours = [(one, labels) for row, labels in zip(found, spans, strict=True) for one in row if one.type == type_name]
        hits = sum(any(one.type == type_name and touches(one, span) for one in row) for row, span in gold)
        hidden = sum(any(touches(one, span) for one in row) for row, span in gold)
        right = sum(any(span[0] == type_name and touches(one, span) for span in labels) for one, labels in ours)
        yield {
            "type": f"{type_name} ({label})",
            "labelled": len(gold),
            "recall": share(hits, len(gold)),
            "hidden under any type": share(hidden, len(gold)),
            "finds": len(ours),
            "precision": share(right, len(ours)),
        }


def touches(one: Found, span: tuple[str | None, int, int]) -> bool:
    """Whether a find and a label share a character."""
    return one.start < span[2] and span[1] < one.end


def ordinary(named: Iterable[str], *, show: bool) -> Iterator[Row]:
    """Finds of the default types in texts, per 10,000 words; for a person to judge with `--show`."""
    found_by = detectors(PersonalData().types, PersonalData().regions)
    for name, texts in map(read, named):
        words = sum(len(text.split()) for text in texts)
        started = time.process_time()
        hide_personal_data(batch_of(texts), found_by, "replace")
        seconds = time.process_time() - started
        finds = [(one.type, text[one.start : one.end]) for text in texts for one in find_all(text, found_by)]
        counts = Counter(kind for kind, _ in finds)
        yield {
            "texts": name,
            "rows": len(texts),
            "words": words,
            "rows/s on one core": f"{len(texts) / seconds:,.0f}",
            "finds per 10,000 words": f"{len(finds) / words * 1e4:.3f}",
        } | {kind: counts[kind] for kind in PersonalData().types}
        if show:
            print("\n".join(f"{name}\t{kind}\t{value}" for kind, value in finds))


def read(named: str) -> tuple[str, list[str]]:
    """`name=path:column` as the name and the texts; without a column, the first one of a file without heads."""
    name, _, place = named.partition("=")
    path, _, column = place.rpartition(":")
    lines = ".json" in path
    table = pl.read_ndjson(path) if lines else pl.read_csv(path, infer_schema=False, has_header=bool(column))
    return name, table[column or table.columns[0]].drop_nulls().to_list()


def batch_of(texts: Sequence[str]) -> pl.DataFrame:
    """A row per text."""
    record = {"source": "s", "part": 0, "group": None, "label": None}
    rows = [record | {"offset": n, "messages": [{"role": "text", "content": text}]} for n, text in enumerate(texts)]
    return pl.DataFrame(rows, schema=RECORDS)


def speed(rows: int, found_by: Sequence[Detector]) -> Iterator[Row]:
    """Rows of 100 words in one message each, 2 % of which hold something."""
    for title, words in (
        ("prose", PROSE),
        ("scientific, every tenth word a number", PROSE * 8 + NUMBERS),
        ("nearly every second word a number", PROSE + NUMBERS),
    ):
        numbers = random.Random(0)
        texts = [" ".join(numbers.choices(words, k=100)) for _ in range(rows)]
        for n in range(0, rows, 50):
            texts[n] += " " + numbers.choice(HOLDING)
        batch = batch_of(texts)
        started = time.process_time()
        kept = hide_personal_data(batch, found_by, "replace").kept
        seconds = time.process_time() - started
        touched = kept["touched"].sum()
        yield {
            "texts": title,
            "rows": rows,
            "rows changed": touched,
            "rows/s on one core": f"{rows / seconds:,.0f}",
            "target 10,000": f"{rows / seconds / 1e4:.1f}×",
        }


PROSE = ["the", "a", "of", "and", "to", "in", "is", "was", "for", "with", "sleep", "mind", "doctor", "patients", "therapy", "study", "anxiety", "results", "method", "treatment", "because", "however", "people", "often", "breathe", "slowly", "feeling", "children", "parents", "clinical", "evidence", "reported", "significant", "between", "groups", "after", "before", "weeks", "disorder", "symptoms", "school"]  # fmt: skip
NUMBERS = ["0.021", "p", "<", "0.05", "10", "-", "15", "@xmath12", "@xmath0", "1998", "2003", "95", "%", "(n", "=", "120)", "3.14159", "1,234,567", "12.5", "mg/kg", "[12,13]", "10:30", "2019-2020", "1e-5", "400", "nm", "z=1.96", "@xcite", "et", "al.", "33", "45", "67.2", "±", "3.4", "10.1038/nature12373", "155-day", "~7.5", "°C"]  # fmt: skip
HOLDING = [
    "write to anna.smith@example.org",
    "call me at +44 20 7946 0958",
    "my phone number is (212) 555-2368",
    "card 4111 1111 1111 1111",
    "IBAN GB82 WEST 1234 5698 7654 32",
    "SSN 219-09-9998",
    "from 203.0.113.77",
]


def main() -> None:
    """Print the tables, and write them to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("--texts", nargs="*", default=[])
    parser.add_argument("--show", action="store_true", help="print every find in the texts")
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    found_by = detectors(PersonalData().types, PersonalData().regions)
    parts = ["## Generated numbers", machine.table(list(generated(options.count)))]
    if options.labelled:
        parts += ["## Labelled sentences (not used for building)", machine.table(list(labelled(options.labelled)))]
    if options.texts:
        parts += ["## Ordinary texts", machine.table(list(ordinary(options.texts, show=options.show)))]
    parts += ["## Speed", machine.table(list(speed(20_000, found_by)))]
    machine.publish(
        "personal_data",
        "# Personal data by pattern and checksum",
        machine.describe(["presidio-analyzer", "phonenumbers", "polars"]),
        *parts,
    )


if __name__ == "__main__":
    main()
