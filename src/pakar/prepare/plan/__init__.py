"""What would become of the data: a look at the first rows of every source. Starts nothing, writes nothing."""

from __future__ import annotations

from pakar.prepare.plan.content import Plan, as_json
from pakar.prepare.plan.look import look
from pakar.prepare.plan.terminal import show

__all__ = ["Plan", "as_json", "look", "show"]
