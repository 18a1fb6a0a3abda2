from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny real base model."""
    return tiny.save_model(tmp_path_factory.mktemp("tiny-base"))
