"""Small trainings on one rank or several, and all that a test wants to know of them."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from konvoi.experiment import make_batches, make_loss, make_validation, prepare
from konvoi.parallel.ranks import ALONE, Ranks
from konvoi.recipe import parse_recipe
from konvoi.training.history import EpochRecord
from konvoi.training.loop import Training
from konvoi.training.precision import Precision

RECIPE = """
name: small
source: {kind: digits}
input: {normalise: unit}
network:
  kind: cnn
  blocks:
    - {maps: 8, pool: max}
    - {maps: 16, pool: max}
  hidden: [32]
optim: {kind: sgd, lr: 0.1, momentum: 0.9}
schedule: {kind: cosine, warmup_steps: 3}
budget: {epochs: 2, batch: 100, keep: last, checkpoint_seconds: 1000000}
compute: {precision: float32}
"""
NORMED = (
    "network={kind: cnn, blocks: [{maps: 8, norm: batch, activation: tanh, pool: average}, "
    "{maps: 16, norm: batch, activation: tanh, pool: average}]}"
)
"""Smooth throughout: with kinks, batch normalisation makes a difference in the seventh digit one in the second."""


@dataclass
class Watch:
    """A display that counts steps, and asks this process to stop after some of them."""

    stop_after: int | None = None
    steps: int = 0
    records: list[EpochRecord] = field(default_factory=list)

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        pass

    def advance(self, samples: int) -> None:
        self.steps += 1
        if self.steps == self.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    def epoch_done(self, record: EpochRecord) -> None:
        self.records.append(record)

    def end(self) -> None:
        pass


@dataclass
class Job:
    """A training that is to be run.

    Attributes:
        overrides: of the recipe.
        folder: of its checkpoints.
        stop_after: steps after which the last rank is asked to stop.
        resume: whether to go on from the folder's checkpoint.
        disturb: whether each rank first spoils its own initial weights.
    """

    overrides: Sequence[str]
    folder: Path
    stop_after: int | None = None
    resume: bool = False
    disturb: bool = False


@dataclass
class Outcome:
    """What one rank knows at the end of a training.

    Attributes:
        weights: the network's state.
        first: its state before the first step.
        seen: the samples of each step in order, as positions in the data set.
        rates: learning rate of each step.
        records: history.
        logits: of the validation split.
        streams: state of the random numbers, as a hash, at each forward pass of the training.
    """

    weights: dict[str, Tensor]
    first: dict[str, Tensor]
    seen: list[list[int]]
    rates: list[float]
    records: list[EpochRecord]
    logits: NDArray[np.float32]
    streams: list[str]


def run_job(job: Job, ranks: Ranks = ALONE) -> Outcome:
    """Run a training on this rank, together with the others."""
    from konvoi.errors import TrainingInterrupted
    from konvoi.evaluation.inference import predict_logits

    recipe = parse_recipe(RECIPE, "small", job.overrides)
    material = prepare(recipe, None)
    if job.disturb:
        for parameter in material.network.parameters():
            parameter.data += ranks.rank
    job.folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(job.stop_after if ranks.rank == ranks.size - 1 else None)
    training = Training(
        recipe,
        material.network,
        make_batches(recipe, material, ranks=ranks),
        make_loss(recipe, material),
        make_validation(recipe, material, ranks),
        Precision("float32", "for tests"),
        job.folder,
        watch,
        lambda history: None,
        ranks=ranks,
    )
    if job.resume:
        training.restore()
    first = {name: value.clone() for name, value in training.network.state_dict().items()}
    streams: list[str] = []
    watching = training.network.register_forward_pre_hook(
        lambda *_: (
            streams.append(hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest())
            if training.network.training
            else None
        )
    )
    seen, rates = _watch_steps(training, {image.tobytes(): n for n, image in enumerate(_inputs(material))})
    try:
        training.run()
    except TrainingInterrupted:
        assert job.stop_after is not None
    watching.remove()
    logits = predict_logits(
        training.network, material.dataset.images, material.bands, material.split.validation, ranks=ranks
    )
    state = {name: value.clone() for name, value in training.network.state_dict().items()}
    return Outcome(state, first, seen, rates, list(training.progress.history), logits, streams)


def _inputs(material: Any) -> NDArray[np.float32]:
    gain, offset = (np.array(values, np.float32) for values in material.bands.gain_and_offset)
    return (torch.from_numpy(material.dataset.images).float() * float(gain[0]) + float(offset[0])).numpy()


def _watch_steps(training: Training, position: dict[bytes, int]) -> tuple[list[list[int]], list[float]]:
    """Note which samples the training takes, by their pixels, and with which learning rate."""
    seen: list[list[int]] = []
    rates: list[float] = []
    epoch = training.batches.epoch

    def watched(number: int, first_step: int = 0) -> Any:
        for micro_batches in epoch(number, first_step):
            seen.append([position[image.tobytes()] for batch in micro_batches for image in batch.images.numpy()])
            yield micro_batches
            rates.append(training.optimiser.param_groups[0]["lr"])

    training.batches.epoch = watched  # type: ignore[method-assign]
    return seen, rates
