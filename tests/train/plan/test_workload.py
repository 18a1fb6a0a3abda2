from __future__ import annotations

import numpy as np
import pytest

from pakar.train.plan.workload import Shape, Workload


def work(lengths: list[int], batch_size: int) -> Workload:
    return Workload(
        rows=len(lengths),
        validation_rows=0,
        lengths=np.array(lengths),
        learnt=1.0,
        epochs=1,
        batch_size=batch_size,
        measured=True,
    )


@pytest.mark.parametrize(
    ("most_tokens", "shapes", "passes"),
    [
        (2000, (Shape(16, 104, later=False),), 1),
        (1000, (Shape(9, 104, later=False), Shape(7, 104, later=True)), 2),
        (832, (Shape(8, 104, later=True),), 2),
    ],
)
def test_gradients_of_earlier_passes_are_there_only_where_a_pass_follows_another(
    most_tokens: int, shapes: tuple[Shape, ...], passes: int
) -> None:
    found = work([100] * 32, 16).largest(most_tokens, packed=False)
    assert sorted(found.shapes, key=lambda shape: shape.later) == list(shapes)
    assert found.passes == passes


def test_a_wide_pass_of_fewer_tokens_is_looked_at_too() -> None:
    """Attention may make it the larger one."""
    found = work([50] * 32 + [400, 400], 17).largest(1000, packed=False)
    assert {(shape.rows, shape.width) for shape in found.shapes} >= {(2, 400), (17, 56)}


def test_of_very_wide_rows_and_short_ones_both_are_looked_at() -> None:
    """Attention over wide rows may keep nothing, and then the pass of short rows is the larger one."""
    found = work([4096] * 8 + [512] * 64, 8).largest(4096, packed=False)
    assert {(shape.rows, shape.width) for shape in found.shapes} == {(1, 4096), (8, 512)}
