"""What a model's config.json says, as transformers understands it, without the names of code in it."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoConfig, PreTrainedConfig

from pakar import files
from pakar.models import faults, intake

NO_CODE = {"local_files_only": True, "trust_remote_code": False}
"""Given to every loader: nothing is fetched, and no code that comes with a model is run."""


def read(directory: Path) -> PreTrainedConfig:
    """The configuration in a directory that `intake` has looked at. Names of code in it: no library gets to see them.

    Loaders take it in place of the file: given a configuration, they do not read one.

    Raises:
        RecipeError: transformers does not understand it.
    """
    with faults.told(directory, "config.json"):
        written = files.read_json(directory / "config.json")
        with TemporaryDirectory() as place:
            kept = {key: value for key, value in written.items() if key != intake.NAMES_OF_CODE}
            (Path(place) / "config.json").write_text(json.dumps(kept), encoding="utf-8")
            config = AutoConfig.from_pretrained(place, **NO_CODE)
    assert isinstance(config, PreTrainedConfig)  # noqa: S101 - narrows a type for the checker
    config.name_or_path = str(directory)
    return config


def context_limit(config: PreTrainedConfig) -> int:
    """Most tokens that the architecture can attend to, prompt and answer together."""
    found = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "seq_length"))
    return next((int(limit) for limit in found if limit), 2**31)
