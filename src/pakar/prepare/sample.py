"""Sampling: exactly N rows, those with the smallest seeded places, so that neither order nor partitioning decides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pakar.errors import DataError
from pakar.prepare.keys import Keys
from pakar.recipe import Prepare

Numbers = npt.NDArray[np.int64]


def leave_out(
    fate: npt.NDArray[np.uint8], place: Keys, sources: Numbers, labels: Numbers, section: Prepare, *, code: int
) -> None:
    """Give the rows that are not drawn the fate `code`; rows with another fate than 0 are none to draw from.

    Args:
        fate: Of every row; changed in place.
        place: Seeded place of every row.
        sources: Number of the source of every row, where sources are weighted.
        labels: Number of the label of every row, where the sample is stratified.
        section: What is wanted.
        code: The fate of those left out.

    Raises:
        DataError: more rows are wanted than there are.
    """
    weights = {number: source.weight for number, source in enumerate(section.sources) if source.weight is not None}
    if weights:
        alive = np.flatnonzero(fate == 0)
        sizes = {n: int((sources[alive] == n).sum()) for n in weights}
        _check_filled(sizes, section)
        targets = _weighted(sizes, weights)
        for number, target in targets.items():
            rows = alive[sources[alive] == number]
            fate[_after(rows, place, target)] = code
    if section.sample is None:
        return
    alive = np.flatnonzero(fate == 0)
    wanted = section.sample.rows
    if wanted > len(alive):
        raise DataError(f"prepare.sample.rows = {wanted:,}, but only {len(alive):,} rows are left after cleaning",
                        next_step=f"ask for fewer, such as --set prepare.sample.rows={len(alive)}, or leave prepare.sample out.")  # fmt: skip
    names, stratum = np.unique(labels[alive], return_inverse=True)
    for number, target in enumerate(_proportional(np.bincount(stratum, minlength=len(names)), wanted)):
        fate[_after(alive[stratum == number], place, target)] = code


def _after(rows: Numbers, place: Keys, target: int) -> Numbers:
    """The rows beyond the `target` with the smallest places."""
    return rows[np.argsort(place[rows], kind="stable")[target:]]


def _check_filled(sizes: Mapping[int, int], section: Prepare) -> None:
    for number, size in sizes.items():
        if not size:
            source = section.sources[number]
            raise DataError(f"no row of {source.path} is left after cleaning, so the shares that the weights of the sources ask for cannot be had",
                            next_step=f"look at its rows in prepare/rejected, or leave out prepare.sources.{number}.weight.")  # fmt: skip


def _weighted(sizes: dict[int, int], weights: dict[int, float]) -> dict[int, int]:
    """As many rows of each source as can be had in the proportions of the weights."""
    scale = min(sizes[n] / weights[n] for n in weights)
    return {n: min(sizes[n], round(scale * weights[n])) for n in weights}


def _proportional(sizes: Numbers, wanted: int) -> list[int]:
    """Shares of `wanted` in proportion to `sizes`, by the method of largest remainders."""
    exact = sizes * wanted / sizes.sum()
    shares = np.floor(exact).astype(np.int64)
    missing = wanted - int(shares.sum())
    order = np.lexsort((np.arange(len(sizes)), -(exact - shares)))
    shares[order[:missing]] += 1
    return [int(share) for share in shares]
