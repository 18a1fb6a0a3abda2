"""What a training would take, before it starts: weights, memory by component, time, disk, and whether it fits. Read `look.py` first."""

from __future__ import annotations

from pakar.train.plan.content import TrainingPlan, as_json
from pakar.train.plan.devices import Device, named
from pakar.train.plan.gate import check
from pakar.train.plan.look import look
from pakar.train.plan.terminal import show
from pakar.train.plan.workload import Lengths

__all__ = ["Device", "Lengths", "TrainingPlan", "as_json", "check", "look", "named", "show"]
