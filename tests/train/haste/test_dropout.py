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


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_a_seed_drops_the_same_places_again(share: float) -> None:
    x = torch.ones(1000, 100)
    one, other = dropout.seed(), dropout.seed()
    left = dropout.dropped(x, one, share)
    assert torch.equal(left, dropout.dropped(x, one, share))
    assert not torch.equal(left, dropout.dropped(x, other, share))
    assert float(left.mean()) == pytest.approx(1 - share, abs=5e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about its own code
def test_compiled_layers_of_one_input_drop_places_of_their_own() -> None:
    def two(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return dropout.drop(x, 0.3)[0], dropout.drop(x, 0.3)[0]

    for way in (two, torch.compile(two, backend="aot_eager_decomp_partition")):
        one, other = way(torch.ones(64, 64, requires_grad=True))
        assert not torch.equal(one, other)


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_how_numbers_lie_in_memory_does_not_decide_which_are_dropped(share: float) -> None:
    x, seed = torch.ones(30, 40), dropout.seed()
    left = dropout.dropped(x.t().contiguous().t(), seed, share)
    assert left.is_contiguous()
    assert torch.equal(left, dropout.dropped(x, seed, share))


def test_of_nothing_nothing_is_dropped() -> None:
    nothing = torch.ones(0, 5)
    assert dropout.drop(nothing, 0.1)[0].shape == dropout.dropped(nothing, dropout.seed(), 0.1).shape == nothing.shape
