from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests import tiny


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny real base model."""
    return tiny.save_model(tmp_path_factory.mktemp("tiny-base"))


# A busy machine must not fail a test: what is too slow is found by the time limit of every test.
settings.register_profile("pakar", deadline=None)
settings.load_profile("pakar")
