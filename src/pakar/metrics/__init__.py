"""Every metric, one file per family. To add one: a function and a line in a family's file, or a family in `ALL`."""

from pakar.metrics import length, likelihood, overlap
from pakar.metrics.metric import AnswerColumn, Metric

ALL: tuple[Metric, ...] = (*likelihood.METRICS, *overlap.METRICS, *length.METRICS)
"""In the order of the report."""

ANSWER_COLUMNS: dict[str, AnswerColumn] = {**overlap.COLUMNS, **length.COLUMNS}
"""What is computed for each generated answer."""
