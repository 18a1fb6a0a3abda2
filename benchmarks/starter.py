"""The figures of the bundled model's card, or of any model directory: bits per byte, speed, answers, personal data.

python -m benchmarks.starter --text 'NAME={path: FILE}' --text … --train '{path: FILE}' --transcript FILE

Sources are written as in a recipe. Without `--train` there is no 5-gram column: it must be counted over the texts that the
model was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks import starter_bits, starter_talk
from benchmarks.machine import ROOT, describe, publish, table
from pakar import files
from pakar.evaluate.systems import System
from pakar.models.base import BaseModel
from pakar.models.prompt import renderer

STARTER = ROOT / "src" / "pakar" / "starter"


def load(directory: Path, context_tokens: int) -> tuple[BaseModel, System]:
    """A model directory as it is."""
    base = BaseModel(directory.name, directory)
    prompts = renderer(base.tokenizer())
    return base, System("base", base.load(), prompts, min(context_tokens, base.context_limit()))


def bits_table(system: System, options: argparse.Namespace) -> str:
    """A row for each text."""
    counted = (
        starter_bits.count_five_grams(options.train, system.renderer, options.train_characters)
        if options.train
        else None
    )
    rows = []
    for named in options.text:
        texts = starter_bits.texts_of(named, options.rows)
        row: dict[str, object] = {"text": texts.name, "texts": len(texts.texts), "bytes": texts.bytes}
        row["model"] = f"{starter_bits.of_model(system, texts):.3f}"
        if counted is not None:
            row["5-gram"] = f"{starter_bits.of_five_gram(counted, system.renderer, texts):.3f}"
        row["xz -9e"] = f"{starter_bits.of_xz(texts):.3f}"
        rows.append(row)
    return table(rows)


def facts_table(base: BaseModel, system: System, options: argparse.Namespace) -> str:
    """Size, speed, endings, personal data."""
    asked = starter_talk.ask(system)
    if options.transcript:
        files.write_text(options.transcript, starter_talk.transcript(asked))
    speed = starter_talk.speed(base, system)
    found = starter_talk.scan(system, options.scan)
    for line in found.examples:
        print("found in sampled text:", line)
    size = sum(path.stat().st_size for path in base.directory.iterdir() if path.is_file())
    ended = sum(answer.stop_reason == "end" for _, answer in asked)
    return table(
        [
            {"figure": "bytes on disk", "value": f"{size:,}"},
            {"figure": "seconds to load", "value": f"{speed.load_seconds:.2f}"},
            {"figure": f"tokens written per second, {torch.get_num_threads()} threads", "value": f"{speed.tokens_per_second:.0f}"},
            {"figure": "answers that end by themselves", "value": f"{ended} of {len(asked)}"},
            *(
                {"figure": f"{kind} in {found.tokens:,} sampled tokens", "value": str(found.counts[kind])}
                for kind in ("email", "phone", "person name")
            ),
        ]
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=STARTER)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--text", action="append", default=[], help="NAME={path: …}; may be repeated")
    parser.add_argument("--rows", type=int, default=150, help="texts of each; 0: all")
    parser.add_argument("--train", default="", help="source that the 5-gram model is counted over")
    parser.add_argument("--train-characters", type=int, default=30_000_000)
    parser.add_argument("--transcript", type=Path)
    parser.add_argument("--scan", type=int, default=10_000, help="tokens sampled for the look at personal data")
    parser.add_argument("--name", default="starter", help="of the table in benchmarks/results")
    options = parser.parse_args()
    base, system = load(options.model.resolve(), options.context)
    parts = [f"# {options.name}: bits per byte and speed", describe(("torch", "transformers")) + "."]
    if options.text:
        parts.append(bits_table(system, options))
    publish(options.name, *parts, facts_table(base, system, options))


if __name__ == "__main__":
    main()
