"""Collects a checkpoint from all processes and has one of them write it; leaves after it when somebody asked for the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pakar import progress
from pakar.train import checkpoint, optimizer_state, random_state, room
from pakar.train.checkpoint import Position, Snapshot
from pakar.train.interrupt import InterruptedTrainingError, Stop
from pakar.train.launch import sharding
from pakar.train.training import Training


@dataclass
class Saver:
    """Saves a training.

    Attributes:
        directory: Where checkpoints are.
        position: What they belong to.
        stop: Whether to leave after the next one.
    """

    directory: Path
    position: Position
    stop: Stop
    _saved: int | None = field(default=None, init=False)
    _warned: bool = field(default=False, init=False)

    def save(self, training: Training) -> None:
        """Save where the training stands, in every process at the same step; a step that is saved already is not saved again.

        Raises:
            ResourceError: the disk is full; the checkpoints before this one stay.
            InterruptedTrainingError: somebody asked for the end, and the step is saved.
        """
        if self._saved != training.state.step:
            snapshot = self._collect(training)
            if training.team.leads:
                self._write(snapshot)
            training.team.wait()
            self._saved = training.state.step
        signal = int(training.team.most(self.stop.signal))
        if signal:
            raise InterruptedTrainingError(
                signal,
                f"interrupted; the same command goes on where this one stopped: step {training.state.step} of "
                f"{self.position.total_steps} is saved",
            )

    def _collect(self, training: Training) -> Snapshot:
        sharding.reshard(training.objective)
        return Snapshot(
            weights=checkpoint.weights_of(training.accelerator.unwrap_model(training.model)),
            optimizer=optimizer_state.capture(training.optimizer),
            scaler=training.scaler_state(),
            random=training.team.gather(random_state.capture()),
            state=training.state,
            position=self.position,
        )

    def _write(self, snapshot: Snapshot) -> None:
        needed = snapshot.num_bytes
        with room.saving(self.directory, needed):
            checkpoint.save(self.directory, snapshot)
        free = room.free_bytes(self.directory)
        if free < needed and not self._warned:
            self._warned = True
            progress.warn(
                f"the next checkpoint will not fit: it takes {room.told(needed)}, and {room.told(free)} are free"
            )
