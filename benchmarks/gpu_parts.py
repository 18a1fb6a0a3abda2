"""The measurements of `gpu_training`, each run as a process of its own: prints rows of its table as one line of JSON.

    python -m benchmarks.gpu_parts PART --shape llama-3-8b --device cuda

All of them run Pakar's own loop: `start` and `steps` on token shards, as the command line does.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils import benchmark

from benchmarks import gpu_models as models
from pakar import recipe
from pakar.models import quantise
from pakar.shards import TokenShards
from pakar.train import loop, memory, origin, proof
from pakar.train import resume as continued
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.checkpoint import Position
from pakar.train.interrupt import Stop
from pakar.train.loop import StepRecord
from pakar.train.precision import compute_dtype
from pakar.train.saver import Saver
from pakar.train.training import Training, start

RANK = 16
STOP = 4
"""Step at which a training is stopped to be gone on with."""
MADE_FROM = {"tokens": "random"}
WARM_UP = 3
GIB = 2**30
T4_BYTES = 14.5 * GIB
"""Of a T4's 15 GiB, what is left beside the driver's own half."""
Row = dict[str, object]


class Place(NamedTuple):
    """Where and how large: the model's shape, the device, tokens of a row, and how many steps are timed."""

    shape: str
    device: torch.device
    row: int
    steps: int

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


class Trained(NamedTuple):
    """A training that is over, and what its steps said."""

    training: Training
    records: list[StepRecord]

    def speed(self) -> float:
        """Tokens a second of the steps after the warm-up."""
        counted = self.records[WARM_UP:]
        seconds = sum(record["seconds"] for record in counted)
        return sum(record["tokens_per_second"] * record["seconds"] for record in counted) / seconds

    def row(self, name: str) -> Row:
        settled = self.training.settled
        return {
            "training": name,
            "peak GiB": round(memory.peak_bytes(self.training.accelerator.device) / GIB, 2),
            "tokens/s": round(self.speed()),
            "tokens in a pass": settled.micro_batch_tokens,
            "examples": "share rows" if settled.packed else "apart",
            "activations": "computed again" if settled.gradient_checkpointing else "kept",
            "first step s": round(self.records[0]["seconds"], 1),
            "loss, first to last": f"{self.records[0]['loss']:.2f} to {self.records[-1]['loss']:.2f}",
        }


def trained(place: Place, method: str, *, rows: int = 2, length: int | None = None, compute: dict[str, Any] | None = None, save: Callable[[Training], None] = lambda _: None) -> Trained:  # fmt: skip
    """Train on rows of `place.row` random tokens, `rows` a step, filled with examples of `length` tokens (None: one each)."""
    length = length or place.row
    per_step = rows * place.row // length
    section = section_of(method, per_step, {"micro_batch_tokens": rows * place.row, **(compute or {})})
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = models.SHAPES[place.shape]["vocab_size"]
        texts = models.tokens(vocabulary, per_step * (WARM_UP + place.steps), length)
        training = started(place, section, models.write_shards(Path(folder) / "train", texts))
        return Trained(training, list(loop.steps(training, save)))


def section_of(method: str, batch_size: int, compute: dict[str, Any]) -> recipe.Train:
    """What a recipe would say."""
    told = {"epochs": 1, "batch_size": batch_size, "schedule": "constant", "checkpoint_every": 4, "compute": compute}
    return recipe.Train.model_validate({**told, "method": {"kind": method, "rank": RANK, "alpha": 2 * RANK}})


def started(place: Place, section: recipe.Train, train: TokenShards) -> Training:
    """The loop's own start, on a random model made on the device as the method keeps it."""
    dtype = compute_dtype(section)
    layer = None
    if section.method.kind == "qlora":
        quantise.library()
        from pakar.models.frozen import FrozenLinear  # noqa: PLC0415 - after `library`

        layer = models.in_4_bits(FrozenLinear, dtype)
    model: Any = models.build(place.shape, place.device, dtype, layer)
    model.is_loaded_in_4bit = layer is not None  # what PEFT chooses its kind of layer by
    torch.manual_seed(0)
    trainable = make_trainable(model, section.method)
    if place.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as empty:
        return start(trainable, section, train, TokenShards(Path(empty)), seed=0)


def qlora(place: Place) -> Iterator[Row]:
    """QLoRA: memory with activations computed again, as in the anchor, and speed as the loop settles it."""
    for name, length, again in (
        ("rows of one example", None, True),
        ("rows of four examples", place.row // 4, True),
        ("rows of one example, as settled", None, "auto"),
    ):
        yield trained(place, "qlora", length=length, compute={"gradient_checkpointing": again, "compile": False}).row(
            f"Pakar QLoRA, {name}"
        )
        clear(place)


def lora(place: Place) -> Iterator[Row]:
    """LoRA on weights in bfloat16: how much of the device's rate arrives."""
    done = trained(place, "lora", compute={"precision": "bfloat16", "compile": False})
    rate = done.speed() * models.operations_per_token(place.shape, RANK, place.row)
    yield done.row("Pakar LoRA bf16") | {"model TFLOP/s": round(rate / 1e12, 3), "matrix TFLOP/s": round(matrix_rate(place) / 1e12, 3)}  # fmt: skip


def t4(place: Place) -> Iterator[Row]:
    """A T4's memory: float16 only, one row in a pass, and not a byte more than the card has."""
    if place.on_gpu:
        torch.cuda.set_per_process_memory_fraction(T4_BYTES / torch.cuda.get_device_properties(0).total_memory)
    precision = "float16" if place.on_gpu else "auto"  # float16 training needs a GPU
    for row in (place.row // 2, place.row):
        smaller = place._replace(row=row)
        compute = {"precision": precision, "compile": False}
        told = trained(smaller, "qlora", rows=1, compute=compute).row(f"T4's memory, {precision}, context {row:,}")
        yield told | {"reserved GiB": reserved_gib(place)}
        clear(place)


def compiled(place: Place) -> Iterator[Row]:
    """The same training with and without torch.compile; the graphs tell whether it was used."""
    from torch._dynamo.utils import counters  # noqa: PLC0415 - slow to import

    for wanted in (False, True):
        before = counters["stats"]["unique_graphs"]
        told = trained(place, "lora", compute={"compile": wanted}).row(f"compile {'on' if wanted else 'off'}")
        yield told | {"graphs compiled": counters["stats"]["unique_graphs"] - before}
        clear(place)


def packing(place: Place) -> Iterator[Row]:
    """Packed examples have the hidden states that they have alone but for rounding, whoever their neighbours are."""
    for precision in ("float32", "bfloat16", "float16"):
        if precision == "float16" and not place.on_gpu:
            yield {"check": "packed = apart, float16", "result": "not on a CPU"}
            continue
        done = trained(place._replace(steps=1), "lora", compute={"precision": precision, "compile": False})
        vocabulary = models.SHAPES[place.shape]["vocab_size"]
        with torch.autocast(place.device.type, getattr(torch, precision), enabled=precision != "float32"):
            done.training.model.eval()
            drift = proof.drift(done.training.objective, vocabulary, place.row, place.device)
        holds = drift.harmless and done.training.settled.packed
        figures = (
            f"drift {drift.apart:.1e}, by the neighbours {drift.others:.1e}, a step of the format {drift.step:.1e}"
        )
        yield check(f"packed = apart, {precision}", holds, figures)


def resume(place: Place) -> Iterator[Row]:
    """Stopped after four steps and gone on in a new training: the same losses and weights, bit by bit."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    for method in ("lora", "qlora"):
        with tempfile.TemporaryDirectory() as folder:
            whole = trained(place._replace(steps=5), method, length=place.row // 4, save=_keep(Path(folder)))
            again = _gone_on(place, method, Path(folder), whole.training.total_steps)
        losses = [record["loss"] for record in whole.records], [record["loss"] for record in again.records]
        own, other = (trainable_weights(one.training.model) for one in (whole, again))
        equal = losses[0][STOP:] == losses[1] and all(torch.equal(own[name], other[name]) for name in own)
        yield check(f"exact resume, {method}", equal, f"last losses {losses[0][-1]:.6f} and {losses[1][-1]:.6f}")


def _keep(folder: Path) -> Callable[[Training], None]:
    """Saves the checkpoint of step 4 alone."""

    def save(training: Training) -> None:
        if training.state.step == STOP:
            position = Position(MADE_FROM, origin.order_fingerprint(training.plan), training.total_steps)
            Saver(folder, position, Stop()).save(training)

    return save


def _gone_on(place: Place, method: str, folder: Path, steps: int) -> Trained:
    per_step = 2 * place.row // (place.row // 4)
    section = section_of(method, per_step, {"micro_batch_tokens": 2 * place.row})
    texts = models.tokens(models.SHAPES[place.shape]["vocab_size"], per_step * steps, place.row // 4)
    with tempfile.TemporaryDirectory() as shards:
        training = started(place, section, models.write_shards(Path(shards) / "train", texts))
        found = continued.find(folder, MADE_FROM)
        assert found is not None
        continued.restore(found, training)
        return Trained(training, list(loop.steps(training, lambda _: None)))


def scaler(place: Place) -> Iterator[Row]:
    """A loss scale that is far too large: the step is left out, the weights stay, and the scale falls."""
    if not place.on_gpu:
        yield {"check": "float16 leaves an overflowing step out", "result": "not on a CPU"}
        return
    section = section_of("lora", 2, {"precision": "float16", "compile": False})
    with tempfile.TemporaryDirectory() as folder:
        texts = models.tokens(models.SHAPES[place.shape]["vocab_size"], 8, place.row)
        training = started(place, section, models.write_shards(Path(folder) / "train", texts))
        scale = training.accelerator.scaler
        assert scale is not None
        scale.load_state_dict(scale.state_dict() | {"scale": 2.0**60})
        before = {name: weight.clone() for name, weight in trainable_weights(training.model).items()}
        record = next(loop.steps(training, lambda _: None))
        same = all(torch.equal(before[name], weight) for name, weight in trainable_weights(training.model).items())
        left_out = record["gradient_norm"] is None and same and scale.get_scale() < 2.0**60
    yield check("float16 leaves an overflowing step out", left_out, f"scale now 2^{torch.tensor(scale.get_scale()).log2():.0f}")  # fmt: skip


def batch_size(place: Place) -> Iterator[Row]:
    """`auto` finds the largest pass that fits by trying the largest first."""
    most = 64 * place.row
    if place.on_gpu:
        torch.cuda.set_per_process_memory_fraction(2 * GIB / torch.cuda.get_device_properties(0).total_memory)
    auto = {"micro_batch_tokens": "auto", "gradient_checkpointing": False, "compile": False}
    done = trained(place._replace(steps=1), "lora", rows=64, compute=auto)
    found = done.training.settled.micro_batch_tokens
    halved = found < most if place.on_gpu else found > 0
    yield check("auto batch size, 2 GiB", halved, f"{found:,} tokens in a pass, of {most:,} in a step")


PARTS: dict[str, Callable[[Place], Iterator[Row]]] = {
    "qlora": qlora, "lora": lora, "t4": t4, "compile": compiled, "packing": packing, "resume": resume, "scaler": scaler,
    "batch-size": batch_size,
}  # fmt: skip


def check(name: str, holds: bool, figures: str) -> Row:
    return {"check": name, "result": f"{'holds' if holds else 'FAILS'}: {figures}"}


def reserved_gib(place: Place) -> float:
    return round(torch.cuda.max_memory_reserved() / GIB, 2) if place.on_gpu else 0.0


def matrix_rate(place: Place) -> float:
    """FLOP/s of a large product of random bfloat16 matrices; the median of twenty."""
    size = 8192 if place.on_gpu else 256
    a, b = (torch.randn(size, size, device=place.device, dtype=torch.bfloat16) for _ in range(2))
    timer = benchmark.Timer("a @ b", globals={"a": a, "b": b})  # waits for the device by itself
    timer.timeit(3)
    return float(2 * size**3 / timer.timeit(20).median)


def clear(place: Place) -> None:
    """Give memory back before the next training of a part."""
    gc.collect()
    if place.on_gpu:
        torch.cuda.empty_cache()


def main() -> None:
    """Run one part and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--shape", choices=models.SHAPES, default="llama-3-8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--row", type=int, default=2048, help="tokens of a row")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed")
    told = parser.parse_args()
    place = Place(told.shape, torch.device(told.device), told.row, told.steps)
    for row in PARTS[told.part](place):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
