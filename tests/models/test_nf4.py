from __future__ import annotations

from statistics import NormalDist

import pytest
from bitsandbytes import functional

from pakar.models import nf4


def test_the_levels_are_those_that_bitsandbytes_computes_with() -> None:
    table: list[float] = functional.get_4bit_type("nf4", device="cpu").tolist()  # type: ignore[no-untyped-call]
    assert nf4.levels() == pytest.approx(table, abs=2e-7)  # its table has single precision


def test_there_is_an_exact_zero_and_one_level_more_above_it_than_below() -> None:
    levels = nf4.levels()
    assert len(levels) == 16
    assert (levels[0], levels[7], levels[-1]) == (-1.0, 0.0, 1.0)
    assert levels == tuple(sorted(levels))


def test_the_outermost_probability_is_the_mean_of_those_of_15_and_16_halves() -> None:
    assert pytest.approx((1 - 1 / 32 + 1 - 1 / 30) / 2, abs=1e-7) == nf4.OUTERMOST


def test_equation_4_gives_the_means_of_neighbouring_quantiles_and_leaves_one_code_unused() -> None:
    quantile, means = NormalDist().inv_cdf, nf4.equation_4()
    assert len(means) == 15
    assert means[0] == pytest.approx((quantile(1 / 17) + quantile(2 / 17)) / 2)
    assert means[7] == pytest.approx(0, abs=1e-15)
    assert means == pytest.approx([-mean for mean in reversed(means)])


def test_equation_4_scaled_to_one_is_not_the_table_in_use() -> None:
    means = nf4.equation_4()
    scaled = [mean / means[-1] for mean in means]
    assert max(abs(ours - theirs) for ours, theirs in zip(nf4.levels()[:8], scaled[:8], strict=True)) > 0.05


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_equation_4_holds_for_other_numbers_of_bits(bits: int) -> None:
    assert len(nf4.equation_4(bits)) == 2**bits - 1
