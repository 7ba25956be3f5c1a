"""Some steps of a recipe's real training, first as they are and then under PyTorch's profiler."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from konvoi.data.batches import Batch
from konvoi.experiment import make_batches, make_loss, make_validation, prepare
from konvoi.experiment.start import contract_of, start_from_pretrained
from konvoi.memory import keep_freed_memory
from konvoi.parallel.meeting import join
from konvoi.parallel.ranks import Ranks
from konvoi.recipe import Recipe
from konvoi.timeline.slices import DATA_MARK, LOSS_MARK, STEP_MARK, WAIT_MARK
from konvoi.training.display import Silence
from konvoi.training.loop import Training
from konvoi.training.losses import Loss
from konvoi.training.precision import choose_device, choose_precision
from konvoi.training.step import set_training_mode

_ERROR_STREAM = 2
_BANNERS = (b"USDT:", b"STAGE:")

_WARM_UP = 3
"""Steps that are not recorded: in the first ones libraries choose algorithms and memory is asked for."""


@dataclass(frozen=True)
class Recording:
    """What one rank saw of the steps.

    Attributes:
        trace: in Chrome's format, as the profiler wrote it but for the host's name.
        seconds: of a step without the profiler, the mean.
        device: `cpu` or `cuda`.
        precision: of the forward pass.
        best_precision: that `auto` would choose here.
        threads: of the processor.
        batch: samples of the largest step on this rank.
        ranks: how many there were.
    """

    trace: dict[str, Any]
    seconds: float
    device: str
    precision: str
    best_precision: str
    threads: int
    batch: int
    ranks: int


def record_steps(recipe: Recipe, steps: int, data_dir: Path | None = None) -> Recording | None:
    """Train a recipe for a few steps on real batches of its training split, and record the last of them.

    Nothing is saved, and of the splits only the training split is read. Where a launcher started several ranks, all of
    them come here, and the first one records.

    Args:
        recipe: the experiment.
        steps: to record; as many are timed without the profiler before.
        data_dir: where the source's files are.

    Returns:
        The first rank's recording; None on the others.

    Raises:
        KonvoiError: as a training would.
    """
    ranks = join()
    training = _training(recipe, ranks, data_dir)
    device = training.batches.device
    keep_freed_memory()
    training.precision.make_exact()
    set_training_mode(training.network)
    batches = _batches_without_end(training)
    for _ in range(_WARM_UP):
        training.take_step(next(batches))
    _wait_for(device)
    started = time.perf_counter()
    samples = max([_step(training, batches) for _ in range(steps)])
    _wait_for(device)
    seconds = (time.perf_counter() - started) / steps
    if not ranks.is_first:
        for _ in range(steps):
            _step(training, batches)
        ranks.wait_for_all()
        return None
    trace = _profiled(lambda: _step(training, batches), steps, device)
    ranks.wait_for_all()
    return Recording(
        trace=trace,
        seconds=seconds,
        device=device.type,
        precision=training.precision.name,
        best_precision=choose_precision("auto", device).name,
        threads=torch.get_num_threads(),
        batch=samples,
        ranks=ranks.size,
    )


def _training(recipe: Recipe, ranks: Ranks, data_dir: Path | None) -> Training:
    contract = None
    if recipe.pretrained is not None and recipe.input.normalise == "weights":
        contract = contract_of(recipe.pretrained)
    material = prepare(recipe, data_dir, contract)
    if recipe.pretrained is not None:
        start_from_pretrained(material.network, recipe.pretrained, material.bands)
    device = choose_device(recipe.compute.device, ranks.local_rank)
    return Training(
        recipe,
        material.network,
        make_batches(recipe, material, device, ranks),
        _marked(LOSS_MARK, make_loss(recipe, material, device)),
        make_validation(recipe, material, ranks),
        choose_precision(recipe.compute.precision, device),
        Path(),
        Silence(),
        lambda history: None,
        ranks=ranks,
    )


def _marked(name: str, loss: Loss) -> Loss:
    """The same function, and a span in the trace: it ends the forward pass and precedes the backward pass."""

    def call(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with record_function(name):
            return loss(logits, labels)

    return call


def _batches_without_end(training: Training) -> Iterator[tuple[Batch, ...]]:
    """The first epoch's batches, over and over: data with few steps an epoch are enough."""
    beginning = training.progress
    while True:
        training.progress = beginning
        yield from training.batches.epoch(0)


def _step(training: Training, batches: Iterator[tuple[Batch, ...]]) -> int:
    with record_function(DATA_MARK):
        micro_batches = next(batches)
    with record_function(STEP_MARK):
        training.take_step(micro_batches)
    return sum(len(batch.labels) for batch in micro_batches)


def _profiled(step: Callable[[], object], steps: int, device: torch.device) -> dict[str, Any]:
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    profiler = profile(activities=activities, acc_events=True)
    with _without_banners():
        profiler.start()
    for _ in range(steps):
        step()
    with record_function(WAIT_MARK):
        _wait_for(device)
    with _without_banners():
        profiler.stop()
    with tempfile.TemporaryDirectory(prefix="konvoi-") as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    # A trace is shown to others, and the name of a host is nobody's business.
    for key in ("host_name", "traceName"):
        content.pop(key, None)
    return content


@contextmanager
def _without_banners() -> Iterator[None]:
    """Keep the lines from the error stream that say that the profiler begins and ends, and no others.

    They are written by its engine in C++, which has no switch for them that works once Python runs.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        before = os.dup(_ERROR_STREAM)
        os.dup2(caught.fileno(), _ERROR_STREAM)
        try:
            yield
        finally:
            os.dup2(before, _ERROR_STREAM)
            os.close(before)
            caught.seek(0)
            for line in caught:
                if not line.startswith(_BANNERS):
                    os.write(_ERROR_STREAM, line)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
