"""The learning rate over the steps of a training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.section import Fraction, NonNegativeFloat, OpenFraction, PositiveFloat, Section


class Warmup(Section):
    """A linear rise of the learning rate over the first epochs, shared by all schedules."""

    warmup_epochs: NonNegativeFloat = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="instead of warmup_epochs")

    @model_validator(mode="after")
    def _one_warm_up(self) -> Self:
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("warmup_epochs and warmup_steps are both given; leave one out")
        return self


class ConstantSchedule(Warmup):
    """The same learning rate throughout."""

    kind: Literal["constant"]


class StepSchedule(Warmup):
    """The learning rate times `factor` after every `every` epochs."""

    kind: Literal["step"]
    every: PositiveFloat
    factor: OpenFraction = 0.1


class CosineSchedule(Warmup):
    """Half a cosine from the learning rate down to `final` times it."""

    kind: Literal["cosine"]
    final: Fraction = 0.0


class InverseTimeSchedule(Warmup):
    """lr / (1 + decay · step): what Keras's optimisers did with their argument `decay`."""

    kind: Literal["inverse-time"]
    decay: NonNegativeFloat


class OneCycleSchedule(Section):
    """A linear rise from `initial` × lr to lr over `rise` of the steps, then a linear fall to `final` × lr."""

    kind: Literal["one-cycle"]
    rise: OpenFraction = 0.3
    initial: Fraction = 0.04
    final: Fraction = 0.0


ScheduleSection = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | InverseTimeSchedule | OneCycleSchedule,
    Field(discriminator="kind"),
]
