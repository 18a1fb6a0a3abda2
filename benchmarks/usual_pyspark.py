"""The usual PySpark preparation of scientific instruction rows, as its users write it: SQL functions and `pyspark.ml`'s Tokenizer.

    python -m benchmarks.usual_pyspark ROWS_DIR OUT_DIR

Counts whitespace words of both columns, cleans them, counts again, writes the cleaned rows as Parquet and prints one line of
JSON: the statistics before and after. It is the baseline that Pakar is compared with; nothing of Pakar runs here. Nothing is
cached; `--cache` keeps the cleaned rows in memory between the second count and the writing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pyspark.ml.feature import Tokenizer
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812  (the name that every PySpark user gives it)

COLUMNS = ("input", "output")


def clean(column: str) -> Column:
    """Lower case; marks, newlines and everything that is neither a letter, a digit nor a space are deleted."""
    text = F.lower(F.col(column))
    text = F.regexp_replace(text, "xcite", "")
    text = F.regexp_replace(text, "@xcite", "")
    text = F.regexp_replace(text, "xmath[0-9]+", "")
    text = F.regexp_replace(text, "\\n", "")
    return F.regexp_replace(text, "[^a-zA-Z0-9\\s]", "")


def tokenize(rows: DataFrame) -> DataFrame:
    """Add the words of both columns."""
    for column in COLUMNS:
        rows = Tokenizer(inputCol=column, outputCol=f"{column}_tokens").transform(rows)
    return rows


def statistics(rows: DataFrame) -> dict[str, dict[str, float]]:
    """Number of rows, mean, standard deviation, least, most and total number of words of both columns."""
    # Tokenizer splits at every single space, so two spaces in a row leave an empty word between them
    counted = tokenize(rows).select(*(F.size(F.array_remove(f"{name}_tokens", "")).alias(name) for name in COLUMNS))
    measures = {"count": F.count, "mean": F.mean, "std": F.stddev, "min": F.min, "max": F.max, "total": F.sum}
    row = counted.agg(*(of(name).alias(f"{name} {word}") for name in COLUMNS for word, of in measures.items())).first()
    assert row is not None
    return {name: {word: float(row[f"{name} {word}"]) for word in measures} for name in COLUMNS}


def main() -> None:
    """Read, count, clean, count, write."""
    parser = argparse.ArgumentParser(description="The usual PySpark preparation.")
    parser.add_argument("rows_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--driver-memory", default="4g")
    parser.add_argument(
        "--cache", action="store_true", help="keep the cleaned rows in memory between the two passes over them"
    )
    given = parser.parse_args()
    builder = SparkSession.builder.master(given.master).config("spark.driver.memory", given.driver_memory)
    spark = builder.config("spark.ui.showConsoleProgress", "false").appName("scientific rows").getOrCreate()

    rows = spark.read.parquet(str(given.rows_dir))
    before = statistics(rows)
    cleaned = rows.select("id", *(clean(name).alias(name) for name in COLUMNS))
    if given.cache:
        cleaned = cleaned.cache()
    after = statistics(cleaned)
    cleaned.write.mode("overwrite").parquet(str(given.out_dir))
    print(json.dumps({"before": before, "after": after}))
    spark.stop()


if __name__ == "__main__":
    main()
