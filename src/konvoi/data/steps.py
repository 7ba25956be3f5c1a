"""Which positions of an epoch each optimiser step, micro-batch and rank works on: arithmetic alone.

A step's batch is the same samples whatever the number of ranks and micro-batches; these only divide it. So a training
can be resumed with more or fewer ranks, in the middle of an epoch, and sees exactly the samples that were left.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from konvoi.errors import RecipeError


@dataclass(frozen=True)
class Steps:
    """The steps of a training.

    An epoch of N samples has ⌈N / batch⌉ steps whose batches differ by at most one sample: no tiny last batch, whose
    gradient would be mostly noise and whose batch statistics may not exist.

    Attributes:
        samples: of an epoch.
        batch: the largest batch of a step, over all ranks and micro-batches.
        changes: epochs, counted from 0 and rising, from which on another batch size holds.
        accumulate: micro-batches of a step.
        rank: of this process.
        ranks: how many there are.
    """

    samples: int
    batch: int
    changes: Sequence[tuple[int, int]] = ()
    accumulate: int = 1
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        for batch in (self.batch, *(batch for _, batch in self.changes)):
            smallest = self.samples // -(-self.samples // batch)
            if smallest < self.ranks * self.accumulate:
                raise RecipeError(
                    f"budget.batch {batch} gives steps of {smallest} samples or one more, which is less than one for "
                    f"each of {self.ranks} rank(s) and {self.accumulate} micro-batch(es). Use fewer, or a larger batch."
                )

    def in_epoch(self, epoch: int) -> int:
        """Steps of an epoch, counted from 0."""
        return -(-self.samples // self.batch_in(epoch))

    def before(self, epoch: int) -> int:
        """Steps of all epochs before this one."""
        starts = [0, *(first for first, _ in self.changes if first < epoch), epoch]
        return sum((end - start) * self.in_epoch(start) for start, end in itertools.pairwise(starts))

    def locate(self, step: int) -> tuple[int, int]:
        """The epoch and the step in it of a step that is counted over all epochs; all from 0."""
        epoch = 0
        for first, _ in self.changes:
            if self.before(first) <= step:
                epoch = first
        further, within = divmod(step - self.before(epoch), self.in_epoch(epoch))
        return epoch + further, within

    def batch_in(self, epoch: int) -> int:
        """The largest batch of an epoch's steps."""
        return next((batch for first, batch in reversed(self.changes) if first <= epoch), self.batch)

    def bounds(self, epoch: int, step: int) -> tuple[int, int]:
        """First and one past the last position of a step's batch, over all ranks."""
        return divide(0, self.samples, step, self.in_epoch(epoch))

    def own(self, epoch: int, step: int) -> list[tuple[int, int]]:
        """The positions of each micro-batch of a step that are this rank's."""
        batch = self.bounds(epoch, step)
        micro_batches = [divide(*batch, number, self.accumulate) for number in range(self.accumulate)]
        return [divide(*micro_batch, self.rank, self.ranks) for micro_batch in micro_batches]


def divide(start: int, end: int, part: int, parts: int) -> tuple[int, int]:
    """The bounds of one of several consecutive parts of start … end, which differ by at most one in length."""
    length = end - start
    return start + part * length // parts, start + (part + 1) * length // parts
