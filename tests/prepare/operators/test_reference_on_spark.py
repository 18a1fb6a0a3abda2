from __future__ import annotations

from contextlib import ExitStack

import polars as pl
import pytest
from pyspark.sql import functions

from pakar.prepare.operators.reference_scientific import clean_as_reference
from pakar.recipe import Spark
from pakar.spark import session
from tests.prepare import spark_cluster

pytestmark = spark_cluster.needs_spark


@pytest.mark.slow
def test_reference_cleaning_equals_that_of_spark() -> None:
    texts = [
        "As In @xcite, p = 0.021\nand @xmath12!",
        "Excited É İK K",
        "a\x0bb\tc",
        "@xcxciteite xmath",
        "birads.results",
    ]
    with ExitStack() as stack:
        spark = session.open_session(Spark(master="local[1]"), stack)
        column = functions.lower(functions.col("t"))
        for pattern in ("xcite", "@xcite", "xmath[0-9]+", "\n", r"[^a-zA-Z0-9\s]"):
            column = functions.regexp_replace(column, pattern, "")
        rows = spark.createDataFrame([(text,) for text in texts], ["t"]).select(column.alias("t")).collect()
    assert clean_as_reference(pl.Series(texts)).to_list() == [row["t"] for row in rows]
