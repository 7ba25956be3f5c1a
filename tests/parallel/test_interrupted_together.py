"""At a signal, no rank leaves before the first one has written everything: launchers end all when one has ended."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from processes import run_ranks

from konvoi import experiment
from konvoi.errors import TrainingInterrupted
from konvoi.parallel.ranks import Ranks
from konvoi.recipe import parse_recipe
from konvoi.run import Run
from konvoi.training.history import EpochRecord

RECIPE = """
name: interrupted
source: {kind: digits}
network: {kind: mlp, hidden: [8]}
optim: {kind: sgd, lr: 0.1}
budget: {epochs: 1000, batch: 100}
compute: {precision: float32, device: cpu}
"""
SLOW_DISK = 1.0


class StopAtStep:
    """A display that asks its own process to stop after some steps; only the first rank has one."""

    def __init__(self, step: int) -> None:
        self.left = step

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        pass

    def advance(self, samples: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch_done(self, record: EpochRecord) -> None:
        pass

    def end(self) -> None:
        pass


def state_when_it_leaves(ranks: Ranks, folder: Path) -> str:
    write_state = Run.write_state

    def slowly(run: Run, state: str) -> None:
        time.sleep(SLOW_DISK)
        write_state(run, state)

    Run.write_state = slowly  # type: ignore[method-assign, assignment]
    with pytest.raises(TrainingInterrupted):
        experiment.train(parse_recipe(RECIPE, "test"), run_dir=folder, display=StopAtStep(20))
    return str(json.loads((folder / "run.json").read_text())["state"])


def test_the_run_is_saved_before_any_rank_leaves(tmp_path: Path) -> None:
    assert run_ranks(2, state_when_it_leaves, tmp_path / "run") == ["interrupted", "interrupted"]
