"""A job of Spark: some pieces, one to a partition.

Pieces travel in the code of the job, tables do not travel at all: tasks read and write files. Only `range`, `mapInArrow`
and tags are used, which Spark Connect has as well.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from pakar import __version__, files
from pakar.prepare.executor import Piece, Report
from pakar.workers import SINGLE_THREADED

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


class Job:
    """Pieces on their way.

    Args:
        session: Does the job.
        tag: By which it can be cancelled.
        order: What to do, pickled.
        pieces: With what.

    Attributes:
        left: Number → piece, of those whose report is not here yet.
        told: What the workers tell of all pieces, when the job has ended; an exception if Spark gave it up.
    """

    def __init__(self, session: SparkSession, tag: str, order: bytes, pieces: Iterable[Piece]) -> None:
        self.left = {piece.number: piece for piece in pieces}
        self.told: Future[list[str]] = Future()
        work = _work(__version__, SINGLE_THREADED, order, [pickled(piece) for piece in self.left.values()])
        # Not a pool: its threads would be waited for at the end, and a lost cluster does not answer for minutes.
        threading.Thread(target=self._run, args=(session, tag, work, len(self.left)), daemon=True).start()

    def _run(self, session: SparkSession, tag: str, work: Any, count: int) -> None:
        try:
            session.addTag(tag)
            numbers = session.range(0, count, 1, count)
            self.told.set_result([row.told for row in numbers.mapInArrow(work, "told string").collect()])
        except BaseException as error:
            self.told.set_exception(error)

    def news(self) -> Iterator[Report]:
        """Reports whose files have appeared, before Spark says that the job has ended."""
        for number, piece in list(self.left.items()):
            report = files.read_json_if_whole(piece.report)
            if report is not None:
                del self.left[number]
                yield report


def pickled(value: object) -> bytes:
    """`value` as it travels."""
    from pyspark import cloudpickle  # noqa: PLC0415

    return bytes(cloudpickle.dumps(value))  # type: ignore[no-untyped-call]


def _work(
    version: str, environment: dict[str, str], order: bytes, pieces: list[bytes]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What Spark runs. Functions in functions are sent as code, so these work where there is no Pakar, or another one."""

    def told(number: int) -> str:
        import platform  # noqa: PLC0415

        try:
            import pakar  # noqa: PLC0415
        except ImportError:
            found = "no Pakar"
        else:
            found = f"Pakar {pakar.__version__}"
        if found != f"Pakar {version}":
            what = f"the worker {platform.node()} has {found}, this machine Pakar {version}"
            step = f"install it there, in the Python that Spark uses: `pip install 'pakar[spark]=={version}'`."
            return json.dumps({"error": {"kind": "UserError", "what": what, "next_step": step}})
        from pakar.prepare.spark import worker  # noqa: PLC0415

        return worker.carry_out(order, pieces[number])

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow  # noqa: PLC0415

        os.environ.update(environment)  # before Polars is imported
        for batch in batches:
            words = [told(number) for number in batch.column(0).to_pylist()]
            yield pyarrow.RecordBatch.from_pydict({"told": words})

    return work
