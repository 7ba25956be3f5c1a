"""How the weights are changed: the optimisers and what they share; the learning rate over time is in `schedule`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.convolutional_svm import LinearSvms
from konvoi.recipe.section import Fraction, NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt, Section


class OptimiserSection(Section):
    """What all optimisers share."""

    lr_reference_batch: PositiveInt | None = Field(
        default=None, description="the batch that lr is meant for; it is multiplied by (first) batch / this"
    )
    weight_decay: NonNegativeFloat = 0.0
    decay_norms_and_biases: bool = Field(
        default=False,
        description="whether weight decay also pulls normalisation parameters and biases to zero",
    )
    clip_norm: PositiveFloat | None = Field(default=None, description="largest Euclidean norm of the gradient")
    layer_decay: OpenFraction | None = Field(
        default=None, description="learning rate of each stage before the last layer, as a factor of the next one's"
    )


class Sgd(OptimiserSection):
    """Stochastic gradient descent, with heavy-ball or Nesterov momentum."""

    kind: Literal["sgd"]
    lr: PositiveFloat = 0.01
    momentum: Fraction = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum > 0; 0.9 is usual")
        return self


class Adam(OptimiserSection):
    """Adam; weight decay enters the gradient."""

    kind: Literal["adam"]
    lr: PositiveFloat = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8


class AdamW(OptimiserSection):
    """Adam with weight decay apart from the gradient."""

    kind: Literal["adamw"]
    lr: PositiveFloat = 0.001
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.01


class Lars(OptimiserSection):
    """SGD with momentum and a learning rate for each layer: layer-wise adaptive rate scaling, for large batches."""

    kind: Literal["lars"]
    lr: PositiveFloat = 1.0
    momentum: Fraction = 0.9
    nesterov: bool = False
    trust: PositiveFloat = Field(default=0.001, description="learning rate of a layer: trust × ‖weights‖ / ‖update‖")


class Lamb(OptimiserSection):
    """AdamW with a learning rate for each layer, for large batches."""

    kind: Literal["lamb"]
    lr: PositiveFloat = 0.002
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: PositiveFloat = 1e-6
    weight_decay: NonNegativeFloat = 0.01


Optimiser = Sgd | Adam | AdamW | Lars | Lamb
OptimSection = Annotated[Optimiser | LinearSvms, Field(discriminator="kind")]
