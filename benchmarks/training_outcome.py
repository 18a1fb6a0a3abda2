"""The same data, seed and hyperparameters with Pakar and with TRL: does the same model come out?

    python -m benchmarks.training_outcome --trl-python /path/to/venv/bin/python

The bundled starter learns the bundled example with LoRA, three seeds each. Both adapters are measured by the same code:
mean negative log-likelihood, in nats per token of the answers, of pairs that were kept back. TRL runs without packing and in
float32; Pakar as it would by itself. Neither warms up: the first step of a warm-up has rate zero in transformers, so that TRL would
learn from one step of 24 less.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import training_inputs as inputs
from benchmarks.machine import describe, publish, table
from benchmarks.training import pakar, recipe_for, trl
from pakar.conversation import Message
from pakar.models.prompt import renderer

KEPT_BACK = 24
EPOCHS, BATCH, RATE = 4, 16, 0.002


def validation_loss(adapter: Path, held: list[inputs.Pair]) -> float:
    """Nats per answer token, one pair at a time, in float32."""
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(inputs.STARTER, dtype=torch.float32), str(adapter)
    )
    model.eval()
    prompts = renderer(AutoTokenizer.from_pretrained(inputs.STARTER))
    total, count = 0.0, 0
    for question, answer in held:
        ids, mask = prompts.example((Message("user", question), Message("assistant", answer)))
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
        learnt = torch.tensor(mask[1:], dtype=torch.bool)
        total, count = total + float(losses[learnt].sum()), count + int(learnt.sum())
    return total / count


def main() -> None:
    """Train, measure, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-python", required=True)
    python = parser.parse_args().trl_python
    rows = inputs.bundled_pairs()
    held, learnt = rows[:KEPT_BACK], rows[KEPT_BACK:]
    found: dict[str, list[float]] = {"Pakar": [], f"TRL {_version(python)}": []}
    ours, theirs = found.values()
    for seed in (1, 2, 3):
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            recipe = recipe_for(inputs.STARTER, inputs.write_csv(place / "pairs.csv", learnt), learning_rate=RATE, epochs=EPOCHS,
                                schedule={"kind": "cosine", "warmup": 0.0}, optimizer={"kind": "adamw", "weight_decay": 0.0})  # fmt: skip
            ours.append(validation_loss(pakar(place, "ours", {**recipe, "seed": seed}) / "train" / "model", held))
            settings = {
                "num_train_epochs": EPOCHS, "per_device_train_batch_size": BATCH, "learning_rate": RATE, "bf16": False, "warmup_steps": 0,
                "lr_scheduler_type": "cosine", "gradient_checkpointing": False, "weight_decay": 0.0,
            }  # fmt: skip
            conversations = inputs.write_conversations(place / "pairs.jsonl", learnt)
            saved = place / "theirs"
            trl(python, place, {"model": str(inputs.STARTER), "data": str(conversations), "lora": 16, "seed": seed,
                                "save": str(saved), "settings": settings})  # fmt: skip
            theirs.append(validation_loss(saved, held))
    lines = [
        {"training": name, **{f"seed {seed}": f"{loss:.4f}" for seed, loss in enumerate(losses, 1)},
         "mean": f"{statistics.mean(losses):.4f}", "spread (standard deviation)": f"{statistics.stdev(losses):.4f}"}
        for name, losses in found.items()
    ]  # fmt: skip
    difference = statistics.mean(ours) - statistics.mean(theirs)
    publish("training_outcome", "# The same outcome as TRL", str(__doc__).split("\n\n", 2)[2].strip(), table(lines),
            f"Difference of the means: {difference:+.4f} nats per token, ratio {statistics.mean(ours) / statistics.mean(theirs):.4f}; its standard error is {_error(ours, theirs):.4f}.",
            f"Machine: {describe(['torch', 'transformers', 'peft'])}")  # fmt: skip


def _error(ours: list[float], theirs: list[float]) -> float:
    """Of the difference of two means."""
    return math.sqrt(sum(statistics.variance(losses) / len(losses) for losses in (ours, theirs)))


def _version(python: str) -> str:
    import subprocess  # noqa: PLC0415

    return subprocess.run(
        [python, "-c", "import trl; print(trl.__version__)"], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
