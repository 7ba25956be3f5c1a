"""The training loop. One loop for every task: what differs is in the recipe.

`train_step` is what one explains on a board; `Training` is the state around it that a checkpoint holds. Splits,
folders, evaluation and reports are not known here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from konvoi.data.batches import Batch, Batches
from konvoi.errors import RunError, TrainingDiverged, TrainingInterrupted
from konvoi.evaluation.validation import ValidationScores
from konvoi.files import remove_leftovers
from konvoi.memory import keep_freed_memory
from konvoi.randomness import seed_torch
from konvoi.recipe import Recipe, recipe_fingerprint
from konvoi.training.average import AveragedNetwork
from konvoi.training.checkpoint import (
    Progress,
    load_checkpoint,
    load_weights,
    optimiser_tensors,
    restore_optimiser,
    save_best,
    save_checkpoint,
    with_prefix,
)
from konvoi.training.display import Display
from konvoi.training.history import EpochRecord
from konvoi.training.interruption import SignalWatch
from konvoi.training.losses import Loss
from konvoi.training.optimiser import build_optimiser, set_learning_rate
from konvoi.training.precision import Precision
from konvoi.training.schedule import learning_rate

Validate = Callable[[nn.Module], ValidationScores]
"""From a network to its scores on the validation split."""

_STEPS_PER_CHECK = 20
"""Losses stay on the device this long; reading each at once would make a GPU wait for the processor."""


def train_step(
    network: Callable[[Tensor], Tensor],
    batch: Batch,
    loss_of: Loss,
    optimiser: torch.optim.Optimizer,
    precision: Precision,
    scaler: torch.amp.GradScaler,
    clip_norm: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Forward, loss, backward, step.

    Returns:
        The mean loss of the batch and its number of correct predictions, both on the device; where a sample has
        several labels, each right decision over one of K labels counts 1/K.
    """
    with precision.autocast(batch.images.device):
        logits = network(batch.images)
    loss = loss_of(logits.float(), batch.labels)
    optimiser.zero_grad()
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    if clip_norm is not None:
        scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimiser)
    scaler.update()
    return loss.detach(), count_correct(logits.detach(), batch.labels)


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Correct predictions: the largest logit is the label's; or, of K labels, the sign says whether each is there."""
    if labels.dim() == 1:
        return (logits.argmax(dim=1) == labels).sum()
    return ((logits > 0) == (labels > 0)).float().mean(dim=1).sum()


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
        """
        self.recipe = recipe
        memory_format = torch.channels_last if recipe.compute.channels_last else torch.contiguous_format
        self.network = network.to(device=batches.device, memory_format=memory_format)  # type: ignore[call-overload]
        self.batches = batches
        self.optimiser = build_optimiser(recipe.optim, self.network)
        self.average = AveragedNetwork(self.network, recipe.budget.ema) if recipe.budget.ema else None
        self.scaler = torch.amp.GradScaler(batches.device.type, enabled=precision.needs_scaler)
        self.precision = precision
        self.progress = Progress(recipe=recipe_fingerprint(recipe))
        self._forward = torch.compile(self.network) if recipe.compute.compile else self.network
        self._loss = loss
        self._validate = validate
        self._checkpoints = checkpoints
        self._display = display
        self._publish = publish
        self._contract = contract
        self._unchecked: list[tuple[Tensor, Tensor, int]] = []
        self._best_weights: dict[str, Tensor] | None = None
        self._saved_at = time.monotonic()

    @property
    def evaluated_network(self) -> nn.Module:
        """The network whose scores count: the average where there is one."""
        return self.average.network if self.average else self.network

    @property
    def step(self) -> int:
        """Finished optimiser steps."""
        return self.progress.epoch * self.batches.steps_per_epoch + self.progress.step_in_epoch

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
        done = self.progress.epoch * self.batches.samples + self.batches.bounds(self.progress.step_in_epoch)[0]
        self._display.begin(self.recipe.budget.epochs, self.batches.samples, done)
        try:
            with SignalWatch() as signals:
                while not self.progress.finished:
                    self._train_epoch(signals)
                    self._finish_epoch()
                    self._stop_if_asked(signals)
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
        _set_training_mode(self.network)
        for batch in _timed(self.batches.epoch(self.progress.epoch, self.progress.step_in_epoch), seconds):
            started = time.perf_counter()
            set_learning_rate(self.optimiser, self._learning_rate())
            seed_torch(self.recipe.seed, "step", self.step)
            loss, correct = train_step(
                self._forward,
                batch,
                self._loss,
                self.optimiser,
                self.precision,
                self.scaler,
                self.recipe.optim.clip_norm,
            )
            self._note(step_in_epoch=self.progress.step_in_epoch + 1)
            if self.average:
                self.average.update(self.network, self.step)
            self._unchecked.append((loss, correct, len(batch.labels)))
            if len(self._unchecked) == _STEPS_PER_CHECK:
                self._check_losses()
            self._display.advance(len(batch.labels))
            self._stop_if_asked(signals)
            seconds["step"] += time.perf_counter() - started
            if time.monotonic() - self._saved_at >= self.recipe.budget.checkpoint_seconds:
                self.save()
        started = time.perf_counter()
        self._check_losses()
        seconds["step"] += time.perf_counter() - started

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
            samples_per_second=progress.samples / (progress.seconds["data"] + progress.seconds["step"]),
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
        if is_best and budget.keep == "best":
            self._best_weights = {key: value.clone() for key, value in self.evaluated_network.state_dict().items()}
        self._display.epoch_done(record)

    def save(self) -> None:
        """Write a checkpoint of this moment, and the history with it."""
        started = time.perf_counter()
        self._check_losses()
        self._check_weights()
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
        tensors, progress = load_checkpoint(self._checkpoints)
        if progress.recipe != self.progress.recipe:
            raise RunError(
                f"The recipe was changed since {self._checkpoints} was written, and its steps would mean something "
                "else. Undo the change, or train anew; only the compute section may differ."
            )
        load_weights(self.network, with_prefix(tensors, "network/"), self._checkpoints)
        if self.average:
            load_weights(self.average.network, with_prefix(tensors, "average/"), self._checkpoints)
        restore_optimiser(self.optimiser, tensors)
        if self.scaler.is_enabled() and progress.scaler:
            self.scaler.load_state_dict(progress.scaler)
        self.progress = progress
        remove_leftovers(self._checkpoints)

    def _learning_rate(self, step: int | None = None) -> float:
        return learning_rate(
            self.recipe.schedule,
            self.recipe.optim.lr,
            self.step if step is None else step,
            self.batches.steps_per_epoch,
            self.recipe.budget.epochs,
        )

    def _note(self, **changes: object) -> None:
        self.progress = self.progress.model_copy(update=changes)

    def _check_losses(self) -> None:
        """Read the losses that are still on the device, add them up, and stop at the first that is not finite."""
        first_step = self.step - len(self._unchecked)
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        losses = torch.stack([loss for loss, _, _ in unchecked]).tolist()
        correct = torch.stack([count for _, count, _ in unchecked]).tolist()
        for position, loss in enumerate(losses):
            if not math.isfinite(loss):
                self._diverge(f"the loss became {loss}", first_step + position)
        sizes = [size for _, _, size in unchecked]
        self._note(
            loss_sum=self.progress.loss_sum + sum(loss * size for loss, size in zip(losses, sizes, strict=True)),
            correct=self.progress.correct + sum(correct),
            samples=self.progress.samples + sum(sizes),
        )

    def _check_weights(self) -> None:
        for network in {self.network, self.evaluated_network}:
            for name, value in network.state_dict().items():
                if not torch.isfinite(value).all():
                    self._diverge(f"{name} holds values that are no finite numbers", self.step - 1)

    def _diverge(self, what: str, step: int) -> None:
        per_epoch = self.batches.steps_per_epoch
        raise TrainingDiverged(
            f"Training diverged: {what} at step {step + 1} (epoch {step // per_epoch + 1}, step "
            f"{step % per_epoch + 1} of {per_epoch}) with learning rate {self._learning_rate(step):g}. The last good "
            f"checkpoint is kept in {self._checkpoints}. Train anew with a lower optim.lr, a slower start "
            "(warmup_epochs, or rise of one-cycle, in the schedule), or optim.clip_norm."
        )

    def _stop_if_asked(self, signals: SignalWatch) -> None:
        if signals.received is not None and not self.progress.finished:
            self.save()
            raise TrainingInterrupted(
                f"Stopped in epoch {self.progress.epoch + 1} of {self.recipe.budget.epochs} after step "
                f"{self.progress.step_in_epoch} of {self.batches.steps_per_epoch}; everything is saved.",
                signals.received,
            )


def _set_training_mode(network: nn.Module) -> None:
    """Training mode, but for layers whose parameters are all frozen: their normalisation keeps its statistics."""
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def _better(scores: ValidationScores, best: EpochRecord) -> bool:
    """By the score that counts, and by the loss where it is equal."""
    if scores.mean_average_precision is None:
        return (scores.accuracy, -scores.loss) > (best.validation_accuracy, -best.validation_loss)
    return (scores.mean_average_precision, -scores.loss) > (best.validation_map or 0.0, -best.validation_loss)


def _timed(batches: Iterable[Batch], seconds: dict[str, float]) -> Iterator[Batch]:
    """The same batches, with the time spent waiting for them added to `seconds["data"]`."""
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        seconds["data"] += time.perf_counter() - started
        if batch is None:
            return
        yield batch
