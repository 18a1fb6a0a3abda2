"""Put a trained model into the package as the bundled starter, with its weights in bfloat16, which every loader reads, or if that is too
large in 8 bits, which Pakar's alone does; and tell what the rounding costs.

A maintainer's script, run after `pakar run recipes/starter.yaml`:

    python -m scripts.store_starter runs/starter/train/model --text 'NAME={path: FILE}'

The model card beside the weights is written by hand; a test holds its hash and its figures against the files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.machine import table
from safetensors.torch import load_file, save_file

from benchmarks import starter, starter_bits
from pakar import files
from pakar.models import eight_bits
from pakar.models.intake.layout import WEIGHTS, read_files

OUT = starter.STARTER
MOST_BYTES = 12_000_000


def store(model: Path, out: Path) -> int:
    """Replace what was in `out`, the card aside; returns the bytes of all files."""
    weights = load_file(model / WEIGHTS)
    names = [path for path in read_files(model) if path.suffix != ".safetensors" and path.parent == model]
    copies = {path.name: path.read_bytes() for path in names}
    for path in read_files(out):
        path.unlink()
    for name, content in copies.items():
        (out / name).write_bytes(content)
    _set(out / "tokenizer_config.json", is_local=None, local_files_only=None)  # of the place where it was saved
    if _bytes(out) + 2 * sum(weight.numel() for weight in weights.values()) < MOST_BYTES:
        save_file({name: weight.bfloat16() for name, weight in weights.items()}, out / WEIGHTS, {"format": "pt"})
        (out / WEIGHTS).chmod(0o644)
        _set(out / "config.json", dtype="bfloat16")
    else:
        eight_bits.write(out, weights)
    return _bytes(out)


def _set(path: Path, **values: str | None) -> None:
    """Values of a JSON file; None takes one away."""
    content = files.read_json(path) | values
    files.write_json(path, {name: value for name, value in content.items() if value is not None})


def _bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in read_files(out))


def rounding(model: Path, out: Path, texts: list[str], rows: int) -> str:
    """Bits per byte before and after."""
    systems = [starter.load(directory, 2**31)[1] for directory in (model, out)]
    found = []
    for named in texts:
        read = starter_bits.texts_of(named, rows)
        exact, rounded = (starter_bits.of_model(system, read) for system in systems)
        found.append({"text": read.name, "as trained": f"{exact:.4f}", "as stored": f"{rounded:.4f}"})
    return table(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="directory of a trained model")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--text", action="append", default=[], help="NAME={path: …}; may be repeated")
    parser.add_argument("--rows", type=int, default=150)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.model.resolve() == options.out.resolve():
        sys.exit("the model would overwrite itself; name another --out")
    size = store(options.model, options.out)
    if options.text:
        print(rounding(options.model, options.out, options.text, options.rows))
    for path in sorted(read_files(options.out)):
        print(f"{path.name}: {files.sha256(path)}")
    print(f"{size:,} bytes in all")
    if size > MOST_BYTES:
        sys.exit(f"more than the {MOST_BYTES:,} bytes that the package has room for")


if __name__ == "__main__":
    main()
