"""The training loop. One loop for every task: what differs is in the recipe.

`Training` is the state around the steps that a checkpoint holds; what one step does is in `step`. Splits, folders,
evaluation and reports are not known here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from konvoi.data.batches import Batch, Batches
from konvoi.errors import RecipeError, TrainingDiverged, TrainingInterrupted
from konvoi.evaluation.validation import ValidationScores
from konvoi.files import remove_leftovers
from konvoi.memory import keep_freed_memory
from konvoi.models.layers import lay_out
from konvoi.models.synchronised_norm import synchronise_batch_norm
from konvoi.parallel.ranks import ALONE, Ranks
from konvoi.randomness import purpose_of_step, seed_torch
from konvoi.recipe import Recipe, recipe_fingerprint
from konvoi.training.average import AveragedNetwork
from konvoi.training.checkpoint import (
    Progress,
    load_own_checkpoint,
    load_weights,
    optimiser_tensors,
    restore_optimiser,
    save_best,
    save_checkpoint,
    with_prefix,
)
from konvoi.training.data_parallel import DataParallel
from konvoi.training.display import Display
from konvoi.training.history import EpochRecord
from konvoi.training.interruption import SignalWatch
from konvoi.training.losses import Loss
from konvoi.training.optimiser import build_optimiser, set_learning_rate
from konvoi.training.precision import Precision
from konvoi.training.schedule import learning_rate, peak_learning_rate
from konvoi.training.step import set_training_mode, train_step

Validate = Callable[[nn.Module], ValidationScores]
"""From a network to its scores on the validation split."""

_STEPS_PER_CHECK = 20
"""Losses stay on the device this long; reading each at once would make a GPU wait for the processor."""


class Training:
    """A training in progress: network, optimiser, average, and how far it has come."""

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        batches: Batches,
        loss: Loss,
        validate: Validate,
        precision: Precision,
        checkpoints: Path,
        display: Display,
        publish: Callable[[tuple[EpochRecord, ...]], None],
        contract: str = "",
        ranks: Ranks = ALONE,
    ) -> None:
        """Set up a training at its start.

        Args:
            recipe: optimiser, schedule, budget, loss and seed are taken from it.
            network: is trained in place; on the batches' device.
            batches: of the training split.
            loss: from logits and labels.
            validate: scores a network on the validation split.
            precision: the arithmetic of the forward pass.
            checkpoints: an existing folder.
            display: is told of every step.
            publish: is given the history whenever a checkpoint was written.
            contract: goes into every checkpoint, for whoever has the file and not the run.
            ranks: those that train it together; the first one's weights are given to all.

        Raises:
            RecipeError: CUDA graphs for several ranks.
        """
        if recipe.compute.cuda_graphs and ranks.several:
            raise RecipeError("compute.cuda_graphs is for one rank. With several, use compute.compile alone.")
        self.recipe = recipe
        self.network = lay_out(network, batches.device, recipe.compute.channels_last)
        if ranks.several and recipe.parallel.batch_norm == "synchronised":
            self.network = synchronise_batch_norm(self.network, batches.device)
        self.parallel = DataParallel(self.network, recipe.parallel, ranks, batches.device)
        self.batches = batches
        self.optimiser = build_optimiser(recipe.optimiser, self.network)
        self.average = AveragedNetwork(self.network, recipe.budget.ema) if recipe.budget.ema else None
        self.scaler = torch.amp.GradScaler(batches.device.type, enabled=precision.needs_scaler)
        self.precision = precision
        self.progress = Progress(recipe=recipe_fingerprint(recipe))
        self._graphs = recipe.compute.cuda_graphs
        self._forward = self._compiled() if recipe.compute.compile else self.parallel.module
        self._ranks = ranks
        self._peak = peak_learning_rate(recipe)
        self._loss = loss
        self._validate = validate
        self._checkpoints = checkpoints
        self._display = display
        self._publish = publish
        self._contract = contract
        self._unchecked: list[tuple[Tensor, Tensor, int]] = []
        self._best_weights: dict[str, Tensor] | None = None
        self._saved_at = time.monotonic()
        self._next_agreement = 0

    def _compiled(self) -> Callable[[Tensor], Tensor]:
        """The network by torch.compile: once for each of the two batch sizes of an epoch, which differ by one."""
        mode = "reduce-overhead" if self._graphs else None
        compiled: Callable[[Tensor], Tensor] = torch.compile(self.parallel.module, dynamic=False, mode=mode)
        return compiled

    @property
    def evaluated_network(self) -> nn.Module:
        """The network whose scores count: the average where there is one."""
        return self.average.network if self.average else self.network

    @property
    def step(self) -> int:
        """Finished optimiser steps."""
        return self.batches.steps.before(self.progress.epoch) + self.progress.step_in_epoch

    def run(self) -> Progress:
        """Train from where the progress stands to the end of the budget.

        Raises:
            TrainingDiverged: a loss or a weight is no finite number.
            TrainingInterrupted: SIGINT or SIGTERM came; the state is saved.
            RunError: a checkpoint cannot be written.
        """
        keep_freed_memory()
        self.precision.make_exact()
        self.save()
        epoch, steps = self.progress.epoch, self.batches.steps
        done = epoch * steps.samples + steps.bounds(epoch, self.progress.step_in_epoch)[0]
        self._display.begin(self.recipe.budget.epochs, self.batches.samples, done)
        try:
            with SignalWatch() as signals:
                while not self.progress.finished:
                    self._train_epoch(signals)
                    self._finish_epoch()
                    self._next_agreement = self.step
                    self._agree(signals)
            self.save()
        finally:
            self._display.end()
        return self.progress

    def _train_epoch(self, signals: SignalWatch) -> None:
        seconds = dict(self.progress.seconds) or {
            "data": 0.0,
            "step": 0.0,
            "validation": 0.0,
            "checkpoint": 0.0,
        }
        self._note(seconds=seconds)
        set_training_mode(self.network)
        epoch = self.progress.epoch
        steps = self.batches.epoch(epoch, self.progress.step_in_epoch)
        for micro_batches in _timed(steps, seconds):
            started = time.perf_counter()
            size = self._size_of_step()
            loss, correct = self.take_step(micro_batches)
            self._unchecked.append((loss, correct, size))
            if len(self._unchecked) == _STEPS_PER_CHECK:
                self._check_losses()
            self._display.advance(size)
            seconds["step"] += time.perf_counter() - started
            self._agree(signals)
        started = time.perf_counter()
        self.parallel.gather(self.optimiser)
        self._check_losses()
        seconds["step"] += time.perf_counter() - started

    def take_step(self, micro_batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """The step at which the progress stands, with the batches that belong to it; what `train_step` returns."""
        step = self.step
        set_learning_rate(self.optimiser, self._learning_rate())
        seed_torch(self.recipe.seed, *purpose_of_step(step, self._ranks.rank))
        if self._graphs:
            # What a step's graphs have returned may be written over from here on.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        outcome = train_step(
            self._forward,
            micro_batches,
            self._loss,
            self.optimiser,
            self.precision,
            self.scaler,
            self.recipe.optimiser.clip_norm,
            self._ranks.size,
            partial(self.parallel.exchange, step),
        )
        self.parallel.finish_step(step, self.optimiser)
        self._note(step_in_epoch=self.progress.step_in_epoch + 1)
        if self.average:
            self.average.update(self.network, self.step)
        return outcome

    def _agree(self, signals: SignalWatch) -> None:
        """Save or stop, where that is due; several ranks decide it together, about once a second."""
        stop = float(signals.received or 0)
        due = float(time.monotonic() - self._saved_at >= self.recipe.budget.checkpoint_seconds)
        if self._ranks.several:
            if self.step < self._next_agreement or not self.parallel.is_together(self.step):
                return
            steps = max(1, self.progress.step_in_epoch)
            pace = self.progress.seconds.get("step", 0.0) / steps
            # Of the clocks, the first rank's counts.
            stop, due, pace = self._ranks.largest([stop, due if self._ranks.is_first else 0.0, pace])
            self._next_agreement = self.step + max(1, min(_STEPS_PER_CHECK, int(1 / max(pace, 1e-6))))
        if stop and not self.progress.finished:
            self.save()
            raise TrainingInterrupted(
                f"Stopped in epoch {self.progress.epoch + 1} of {self.recipe.budget.epochs} after step "
                f"{self.progress.step_in_epoch} of {self.batches.steps.in_epoch(self.progress.epoch)}; everything is "
                "saved.",
                int(stop),
            )
        if due:
            self.save()

    def _size_of_step(self) -> int:
        start, end = self.batches.steps.bounds(self.progress.epoch, self.progress.step_in_epoch)
        return end - start

    def _finish_epoch(self) -> None:
        progress, budget = self.progress, self.recipe.budget
        lr = self._learning_rate(self.step - 1)
        started = time.perf_counter()
        self._check_weights()
        validation = self._validate(self.evaluated_network)
        if not math.isfinite(validation.loss):
            self._diverge(f"the validation loss became {validation.loss}", self.step - 1)
        progress.seconds["validation"] += time.perf_counter() - started
        best = progress.history[progress.best_epoch - 1] if progress.best_epoch else None
        is_best = best is None or _better(validation, best)
        samples_per_second = progress.samples / (progress.seconds["data"] + progress.seconds["step"])
        over_ranks = self._spread_over_ranks(progress.seconds)
        record = EpochRecord(
            epoch=progress.epoch + 1,
            steps=self.step,
            lr=lr,
            train_loss=progress.loss_sum / progress.samples,
            train_accuracy=progress.correct / progress.samples,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            validation_map=validation.mean_average_precision,
            seconds=progress.seconds,
            over_ranks=over_ranks,
            samples_per_second=samples_per_second,
            best=is_best,
        )
        best_epoch = record.epoch if is_best or progress.best_epoch is None else progress.best_epoch
        patience = budget.early_stopping
        out_of_patience = patience is not None and record.epoch - best_epoch >= patience
        self.progress = Progress(
            epoch=record.epoch,
            history=(*progress.history, record),
            best_epoch=best_epoch,
            best_file=progress.best_file,
            recipe=progress.recipe,
            finished=record.epoch == budget.epochs or out_of_patience,
        )
        if is_best and budget.keep == "best" and self._ranks.is_first:
            self._best_weights = {key: value.clone() for key, value in self.evaluated_network.state_dict().items()}
        self._display.epoch_done(record)

    def _spread_over_ranks(self, seconds: dict[str, float]) -> dict[str, tuple[float, float]]:
        """Take the time of communication out of the steps', and ask all ranks for theirs; nothing for one alone."""
        if not self._ranks.several:
            return {}
        seconds["communication"] = self.parallel.communication_share() * seconds["step"]
        seconds["step"] -= seconds["communication"]
        parts = ("data", "step", "communication")
        highest = self._ranks.largest([seconds[part] for part in parts])
        lowest = self._ranks.largest([-seconds[part] for part in parts])
        return {part: (-low, high) for part, low, high in zip(parts, lowest, highest, strict=True)}

    def save(self) -> None:
        """Write a checkpoint of this moment, and the history with it; all ranks come here, and the first one writes."""
        started = time.perf_counter()
        self._check_losses()
        self._check_weights()
        self._saved_at = time.monotonic()
        if not self._ranks.is_first:
            return
        if self._best_weights is not None and self.progress.best_epoch is not None:
            name = save_best(self._checkpoints, self._best_weights, self.progress.best_epoch, self._contract)
            self._note(best_file=name)
            self._best_weights = None
        if self.scaler.is_enabled():
            self._note(scaler=self.scaler.state_dict())
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        if self.average:
            tensors |= {f"average/{name}": value for name, value in self.average.network.state_dict().items()}
        save_checkpoint(self._checkpoints, tensors | optimiser_tensors(self.optimiser), self.progress, self._contract)
        self._publish(self.progress.history)
        self._saved_at = time.monotonic()
        if "checkpoint" in self.progress.seconds:
            self.progress.seconds["checkpoint"] += time.perf_counter() - started

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: there is none, it is damaged, or it belongs to another recipe.
        """
        tensors, progress = load_own_checkpoint(self._checkpoints, self.progress.recipe)
        load_weights(self.network, with_prefix(tensors, "network/"), self._checkpoints)
        if self.average:
            load_weights(self.average.network, with_prefix(tensors, "average/"), self._checkpoints)
        restore_optimiser(self.optimiser, tensors)
        if self.scaler.is_enabled() and progress.scaler:
            self.scaler.load_state_dict(progress.scaler)
        self.progress = progress
        # Not by a later rank: the first one may be writing already.
        if self._ranks.is_first:
            remove_leftovers(self._checkpoints)

    def _learning_rate(self, step: int | None = None) -> float:
        steps = self.batches.steps
        epoch, within = steps.locate(self.step if step is None else step)
        # In steps of the first epoch: where a larger batch makes an epoch's steps fewer, each goes further.
        first = steps.in_epoch(0)
        travelled = epoch * first + within * first / steps.in_epoch(epoch)
        return learning_rate(self.recipe.schedule, self._peak, travelled, first, self.recipe.budget.epochs)

    def _note(self, **changes: object) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def _check_losses(self) -> None:
        """Read the losses that are still on the device, add them up, and stop at the first that is not finite."""
        first_step = self.step - len(self._unchecked)
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        own = torch.stack([torch.stack([loss for loss, _, _ in unchecked]), torch.stack([c for _, c, _ in unchecked])])
        losses, correct = np.reshape(self._ranks.sums(own.flatten().tolist()), (2, -1)).tolist()
        for position, loss in enumerate(losses):
            if not math.isfinite(loss):
                self._diverge(f"the loss became {loss}", first_step + position)
        progress = self.progress
        loss_sum, correct_sum, samples = progress.loss_sum, progress.correct, progress.samples
        # One after the other, so that the sum does not depend on how many were waiting.
        for loss, count, (_, _, size) in zip(losses, correct, unchecked, strict=True):
            loss_sum, correct_sum, samples = loss_sum + loss * size, correct_sum + count, samples + size
        self._note(loss_sum=loss_sum, correct=correct_sum, samples=samples)

    def _check_weights(self) -> None:
        for network in {self.network, self.evaluated_network}:
            for name, value in network.state_dict().items():
                if not torch.isfinite(value).all():
                    self._diverge(f"{name} holds values that are no finite numbers", self.step - 1)

    def _diverge(self, what: str, step: int) -> None:
        epoch, within = self.batches.steps.locate(step)
        raise TrainingDiverged(
            f"Training diverged: {what} at step {step + 1} (epoch {epoch + 1}, step {within + 1} of "
            f"{self.batches.steps.in_epoch(epoch)}) with learning rate {self._learning_rate(step):g}. The last good "
            f"checkpoint is kept in {self._checkpoints}. Train anew with a lower optim.lr, a slower start "
            "(warmup_epochs, or rise of one-cycle, in the schedule), or optim.clip_norm."
        )


def _better(scores: ValidationScores, best: EpochRecord) -> bool:
    """By the score that counts, and by the loss where it is equal."""
    if scores.mean_average_precision is None:
        return (scores.accuracy, -scores.loss) > (best.validation_accuracy, -best.validation_loss)
    return (scores.mean_average_precision, -scores.loss) > (best.validation_map or 0.0, -best.validation_loss)


def _timed(steps: Iterable[tuple[Batch, ...]], seconds: dict[str, float]) -> Iterator[tuple[Batch, ...]]:
    """The same steps, with the time spent waiting for them added to `seconds["data"]`."""
    iterator = iter(steps)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        seconds["data"] += time.perf_counter() - started
        if batch is None:
            return
        yield batch
