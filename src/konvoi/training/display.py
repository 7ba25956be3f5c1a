"""What a person sees of a training while it runs: a bar with the time left, and a line for each epoch or layer."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np

from konvoi.training.history import EpochRecord, LayerRecord

_REFRESH_SECONDS = 0.1


class Display(Protocol):
    """What the loop tells; it tells every step, so `advance` must be quick."""

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        """The training starts, or goes on after `samples_done` samples."""

    def begin_layers(self, layers: int, layers_done: int, filters: int, filters_done: int) -> None:
        """A network that is fitted forward starts, or goes on; `filters` are those of all layers."""

    def advance(self, samples: int) -> None:
        """A step over so many samples, or a filter, is done."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch and its validation are done."""

    def layer_done(self, record: LayerRecord) -> None:
        """A layer is fitted."""

    def end(self) -> None:
        """The training is over, for whatever reason."""


class Silence:
    """Shows nothing."""

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        """Show nothing."""

    def begin_layers(self, layers: int, layers_done: int, filters: int, filters_done: int) -> None:
        """Show nothing."""

    def advance(self, samples: int) -> None:
        """Show nothing."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Show nothing."""

    def layer_done(self, record: LayerRecord) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class ConsoleDisplay:
    """A bar in a terminal or a notebook; in a file or a pipe, the lines of epochs or layers alone."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(highlight=False)
        self._bar = Progress(
            TextColumn("{task.fields[place]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]:>9,.0f} {task.fields[unit]}/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal and not self._console.is_jupyter,
        )
        self._task = self._bar.add_task("", place="", rate=0.0, unit="samples")
        self._epochs = 0
        self._layers = 0
        self._layers_done = 0
        self._samples_per_epoch = 1
        self._samples = 0
        self._since_refresh = 0
        self._refreshed = 0.0

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        """Draw the bar."""
        self._epochs = epochs
        self._samples_per_epoch = samples_per_epoch
        self._samples = samples_done
        self._refreshed = time.monotonic()
        self._console.print(
            f"{'epoch':>7}  {'train loss':>10}  {'train':>7}  {'val loss':>9}  {'val':>7}  {'samples/s':>9}",
            style="dim",
        )
        self._bar.update(
            self._task, total=epochs * samples_per_epoch, completed=samples_done, place=self._place(), unit="samples"
        )
        self._bar.start()

    def begin_layers(self, layers: int, layers_done: int, filters: int, filters_done: int) -> None:
        """Draw the bar."""
        self._layers, self._layers_done = layers, layers_done
        self._samples = filters_done
        self._refreshed = time.monotonic()
        self._console.print(
            f"{'layer':>14}  {'filters':>7}  {'patch':>11}  {'patches':>7}  {'held out':>8}  {'C':>12}  {'seconds':>7}",
            style="dim",
        )
        self._bar.update(self._task, total=filters, completed=filters_done, place=self._place(), unit="filters")
        self._bar.start()

    def advance(self, samples: int) -> None:
        """Move the bar, at most ten times a second."""
        self._samples += samples
        self._since_refresh += samples
        now = time.monotonic()
        if now - self._refreshed >= _REFRESH_SECONDS:
            self._bar.update(
                self._task,
                completed=self._samples,
                place=self._place(),
                rate=self._since_refresh / (now - self._refreshed),
            )
            self._since_refresh = 0
            self._refreshed = now

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the epoch's line; a star marks the best so far."""
        self._console.print(
            f"{record.epoch:>3}/{self._epochs:<3}  {record.train_loss:>10.4f}  {record.train_accuracy:>7.2%}  "
            f"{record.validation_loss:>9.4f}  {record.validation_accuracy:>7.2%}  {record.samples_per_second:>9,.0f}"
            f"{'' if record.validation_map is None else f'  mAP {record.validation_map:.4f}'}"
            f"{'  *' if record.best else ''}"
        )
        self._since_refresh = 0
        self._refreshed = time.monotonic()

    def layer_done(self, record: LayerRecord) -> None:
        """Print the layer's line: on what its filters were fitted, their mean accuracy, and the C's chosen."""
        self._layers_done += 1
        own = [entry.accuracy for entry in record.filters] if record.filters else [record.accuracy]
        known = [accuracy for accuracy in own if accuracy is not None]
        costs = [entry.cost for entry in record.filters] if record.filters else [record.cost or 0.0]
        patches = np.mean([entry.patches for entry in record.filters]) if record.filters else record.samples
        lowest, highest = min(costs), max(costs)
        self._console.print(
            f"{record.name:>14}  {len(record.filters) or '':>7}  {'×'.join(map(str, record.patch)):>11}  "
            f"{patches:>7,.0f}  {f'{np.mean(known):.2%}' if known else '–':>8}  "
            f"{f'{lowest:g}' if lowest == highest else f'{lowest:g} – {highest:g}':>12}  "
            f"{sum(record.seconds.values()):>7.1f}"
        )
        self._since_refresh = 0
        self._refreshed = time.monotonic()

    def end(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _place(self) -> str:
        if self._layers:
            return f"layer {min(self._layers, self._layers_done + 1)}/{self._layers}"
        return f"epoch {min(self._epochs, 1 + self._samples // self._samples_per_epoch)}/{self._epochs}"
