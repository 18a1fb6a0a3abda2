from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pakar import files, recipe
from pakar.train import checkpoint
from pakar.train.adapter import make_trainable, trainable_weights
from pakar.train.checkpoint import TrainState
from pakar.train.loop import optimizer_for
from tests import tiny


def made(seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = make_trainable(tiny.model(seed), recipe.Lora(rank=2))
    return model, optimizer_for(model, recipe.Train())


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    ids = torch.randint(6, 320, (2, 9))
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_restored_training_goes_on_exactly(tmp_path: Path) -> None:
    model, optimizer = made()
    learn(model, optimizer)
    checkpoint.save(tmp_path, model, optimizer, {}, TrainState(step=1, best_step=1, best_loss=2.0))
    learn(model, optimizer)
    expected = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    other, other_optimizer = made(seed=3)
    torch.manual_seed(99)
    state, _ = checkpoint.restore(tmp_path / "step-00000001", other, other_optimizer)
    base = {name: weight for name, weight in model.state_dict().items() if "lora_" not in name}
    other.load_state_dict(base, strict=False)
    learn(other, other_optimizer)
    assert state == TrainState(step=1, best_step=1, best_loss=2.0)
    assert all(torch.equal(weight, expected[name]) for name, weight in trainable_weights(other).items())


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "uncommit"])
@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.OPTIMIZER, checkpoint.STATE])
def test_a_damaged_checkpoint_is_never_loaded(tmp_path: Path, harm: str, name: str) -> None:
    model, optimizer = made()
    learn(model, optimizer)
    for step in (1, 2):
        checkpoint.save(tmp_path, model, optimizer, {}, TrainState(step=step, best_step=1))
    broken = tmp_path / "step-00000002" / name
    content = bytearray(broken.read_bytes())
    if harm == "truncate":
        broken.write_bytes(content[:-1])
    elif harm == "flip":
        content[len(content) // 2] ^= 1
        broken.write_bytes(content)
    elif harm == "remove":
        broken.unlink()
    else:
        (tmp_path / "step-00000002" / checkpoint.COMMIT).unlink()
    assert checkpoint.latest(tmp_path) == tmp_path / "step-00000001"


def test_only_the_newest_two_and_their_best_are_kept(tmp_path: Path) -> None:
    model, optimizer = made()
    learn(model, optimizer)
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        checkpoint.save(tmp_path, model, optimizer, {}, TrainState(step=step, best_step=best))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000004", "step-00000005"]


def test_nothing_in_a_checkpoint_can_run_code(tmp_path: Path) -> None:
    model, optimizer = made()
    learn(model, optimizer)
    checkpoint.save(tmp_path, model, optimizer, {}, TrainState(step=1, best_step=1))
    suffixes = {path.suffix for path in (tmp_path / "step-00000001").iterdir()}
    assert suffixes == {".safetensors", ".json"}
    assert files.read_json(tmp_path / "step-00000001" / checkpoint.STATE)["random"]["torch"]
