from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pakar.prepare.frames import RECORDS
from pakar.prepare.operators.shares import take_share
from pakar.recipe.operators import Shares


def rows(*labels: str | None) -> pl.DataFrame:
    made = [
        {"source": "s", "offset": n + 1, "part": 0, "group": None, "label": label}
        | {"messages": [{"role": "text", "content": f"Text number {n}.", "learn": True}]}
        for n, label in enumerate(labels)
    ]
    return pl.DataFrame(made, schema=RECORDS)


def test_shares_by_label_and_everything_left_out_tells_why() -> None:
    batch = rows(*["books"] * 1000, *["adverts"] * 10, None, "talks")
    kept, rejected = take_share(batch, Shares(of={"books": 0.3, "adverts": 0}), seed=1)
    counted = dict(kept.group_by("label").len().iter_rows())
    assert counted.pop(None) == counted.pop("talks") == 1
    assert counted.keys() == {"books"}
    assert counted["books"] == pytest.approx(300, abs=60)  # four standard deviations
    assert len(kept) + len(rejected) == len(batch)
    assert rejected["detail"].value_counts(sort=True).rows()[1] == (
        "of the rows labelled adverts a share of 0.0 is taken",
        10,
    )
    assert kept.columns == batch.columns


def test_a_label_that_is_not_named_can_be_left_out() -> None:
    kept, rejected = take_share(rows("books", "talks", None), Shares(of={"books": 1}, others=0), seed=1)
    assert kept["label"].to_list() == ["books"]
    assert set(rejected["reason"]) == {"not_taken"}


@given(cut=st.integers(0, 50), seed=st.integers(0, 5))
def test_order_and_batches_decide_nothing_and_a_larger_share_keeps_what_a_smaller_one_kept(cut: int, seed: int) -> None:
    batch = rows(*["books"] * 50)
    small, large = Shares(of={"books": 0.3}), Shares(of={"books": 0.6})
    whole = set(take_share(batch, small, seed).kept["offset"])
    parts = [take_share(part, small, seed).kept for part in (batch[cut:].reverse(), batch[:cut])]
    assert {offset for part in parts for offset in part["offset"]} == whole
    assert whole <= set(take_share(batch, large, seed).kept["offset"])
