"""Hand a tuned model on: as an adapter, merged, or as GGUF; with proof that it is the one that was trained.

What is written loads without Pakar. `export` in writing.py is the whole of it, top to bottom.
"""

from __future__ import annotations

from pakar.export.hub import push
from pakar.export.request import FORMATS, STORAGES, Format, Request
from pakar.export.writing import Exported, export

__all__ = ["FORMATS", "STORAGES", "Exported", "Format", "Request", "export", "push"]
