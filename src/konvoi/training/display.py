"""What a person sees of a training while it runs: a bar with samples/s and time left, and a line an epoch."""

from __future__ import annotations

import time
from typing import Protocol

from konvoi.training.history import EpochRecord

_REFRESH_SECONDS = 0.1


class Display(Protocol):
    """What the loop tells; it tells every step, so `advance` must be quick."""

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        """The training starts, or goes on after `samples_done` samples."""

    def advance(self, samples: int) -> None:
        """A step over so many samples is done."""

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch and its validation are done."""

    def end(self) -> None:
        """The training is over, for whatever reason."""


class Silence:
    """Shows nothing."""

    def begin(self, epochs: int, samples_per_epoch: int, samples_done: int) -> None:
        """Show nothing."""

    def advance(self, samples: int) -> None:
        """Show nothing."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class ConsoleDisplay:
    """A bar in a terminal or a notebook; in a file or a pipe, the epochs' lines alone."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(highlight=False)
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]:>9,.0f} samples/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal and not self._console.is_jupyter,
        )
        self._task = self._bar.add_task("", epoch=0, epochs=0, rate=0.0)
        self._epochs = 0
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
        self._bar.update(self._task, total=epochs * samples_per_epoch, completed=samples_done, epoch=1, epochs=epochs)
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
                epoch=min(self._epochs, 1 + self._samples // self._samples_per_epoch),
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

    def end(self) -> None:
        """Take the bar away."""
        self._bar.stop()
