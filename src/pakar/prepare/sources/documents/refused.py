"""Why a document cannot be used."""

from __future__ import annotations


class RefusedError(Exception):
    """A document is not read.

    Args:
        reason: One word for the ledger.
        detail: What exactly is wrong, and what may help.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail
