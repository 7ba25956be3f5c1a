"""How long to train, in batches of which size, and which weights to keep."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from konvoi.recipe.section import NonNegativeFloat, OpenFraction, PositiveInt, Section


class BatchChange(Section):
    """Another batch size from an epoch on."""

    epoch: PositiveInt = Field(description="the first epoch with it, counted from 0")
    batch: PositiveInt


class BudgetSection(Section):
    """How long to train and which weights to keep."""

    epochs: PositiveInt = 10
    batch: PositiveInt = Field(
        default=64, description="samples of one optimiser step: over all ranks, and all of its micro-batches"
    )
    batch_schedule: tuple[BatchChange, ...] = Field(default=(), description="other batch sizes, later")
    accumulate: PositiveInt = Field(
        default=1, description="micro-batches whose gradients are added up for one optimiser step"
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="best: the epoch of highest validation accuracy (with several labels a sample: macro mAP), of "
        "lower loss where equal",
    )
    early_stopping: PositiveInt | None = Field(
        default=None, description="stop after this many epochs without a better one, as `keep: best` compares them"
    )
    ema: OpenFraction | None = Field(
        default=None,
        description="decay of an exponential moving average of the weights, which is what is evaluated",
    )
    checkpoint_seconds: NonNegativeFloat = Field(
        default=30.0, description="time between checkpoints; one is also written at the end and at a signal"
    )
