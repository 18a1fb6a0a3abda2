from __future__ import annotations

import pytest
import torch

from pakar.train.haste import dropout


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_as_much_is_dropped_as_asked_for_everywhere_alike(share: float) -> None:
    torch.manual_seed(1)
    left, kept = dropout.drop(torch.ones(1000, 999), share)
    assert kept == pytest.approx(1 - share)
    assert float(left.mean()) == pytest.approx(kept, abs=2e-3)
    assert float((left.mean(0) - kept).abs().max()) < 0.1
    assert float((left.mean(1) - kept).abs().max()) < 0.1


def test_what_is_dropped_here_says_nothing_about_its_neighbour() -> None:
    torch.manual_seed(1)
    gone = (dropout.drop(torch.ones(2**20), 0.1)[0] == 0).double()
    both = (gone[:-1] * gone[1:]).mean()
    assert float(both) == pytest.approx(0.01, rel=0.05)


def test_what_is_dropped_follows_from_torchs_state() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout.drop(torch.ones(5, 7), 0.5)[0]

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def test_gradients_stop_where_numbers_were_dropped() -> None:
    x = torch.randn(40, 6).t().requires_grad_()
    left, _ = dropout.drop(x, 0.3)
    left.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad == 0, left == 0)
    assert torch.equal(left[left != 0], x[left != 0])


def test_a_models_own_dropout_keeps_the_mean_and_rests_outside_training() -> None:
    layer = torch.nn.Sequential(torch.nn.Dropout(0.2))
    dropout.hasten(layer)
    torch.manual_seed(0)
    assert float(layer(torch.ones(100_000)).mean()) == pytest.approx(1, abs=0.01)
    assert torch.equal(layer.eval()(torch.ones(9)), torch.ones(9))
