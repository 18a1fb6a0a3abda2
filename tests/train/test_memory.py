from __future__ import annotations

import weakref

import pytest
import torch

from pakar.train import memory


def test_what_a_pass_keeps_is_counted_once_and_weights_are_not() -> None:
    weight, x = torch.nn.Parameter(torch.ones(10, 10)), torch.ones(5, 10)
    assert memory.saved_bytes(lambda: (x @ weight).exp() * 2) == x.nbytes + 5 * 10 * 4


def test_looking_at_what_a_pass_keeps_leaves_nothing_of_it_behind() -> None:
    x, made = torch.ones(10, requires_grad=True), []

    def forward() -> torch.Tensor:
        result = x.exp()  # an operation that keeps its own result
        made.append(weakref.ref(result))
        return result

    memory.saved_bytes(forward)
    assert made[0]() is None


@pytest.mark.parametrize(("most", "least", "found"), [(8, 1, 4), (3, 1, 3), (5, 5, None), (9, 3, 4)])
def test_sizes_are_halved_until_one_fits(most: int, least: int, found: int | None) -> None:
    assert memory.halved_until(lambda tokens: tokens <= 4, most, least) == found
