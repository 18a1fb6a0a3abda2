from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.train import nursery
from tests.train.nursery import Nursery


@pytest.fixture(scope="module")
def forks() -> Iterator[Nursery]:
    with nursery.opened() as found:
        yield found
