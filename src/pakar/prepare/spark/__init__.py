"""Preparation on Apache Spark: it hands pieces out and watches over them.

What is done with a piece is the very same code as on one machine, so the outcome is the same by construction.

    mapper ─ the executor: jobs out, reports in
      ├ pakar.spark         starting and ending Spark; Java and master are looked at first
      └ job ─── worker      what is sent, and what happens where it arrives

The only door of PySpark in preparation, imported when a recipe asks for Spark.
"""

from pakar.prepare.spark.mapper import SparkExecutor

__all__ = ["SparkExecutor"]
