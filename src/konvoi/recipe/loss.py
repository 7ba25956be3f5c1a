"""What a training makes small: losses for one label a sample and for several."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from konvoi.recipe.section import Fraction, NonNegativeFloat, OpenFraction, PositiveFloat, Section


class CrossEntropy(Section):
    """The cross-entropy of the softmax over the logits: one label a sample."""

    kind: Literal["cross-entropy"]
    label_smoothing: Fraction = 0.0


class MeanSquaredError(Section):
    """The squared difference of the softmax from one-hot targets, mean over classes and samples, as Keras takes it."""

    kind: Literal["mse"]


class BinaryCrossEntropy(Section):
    """The cross-entropy of a sigmoid for each label: several labels a sample."""

    kind: Literal["bce"]
    positive_weight: Literal["none", "balanced"] = Field(
        default="none", description="balanced: positives of a label count (negatives / positives) of the training split"
    )
    largest_weight: PositiveFloat = Field(default=20.0, description="bound of a balanced weight")


class FocalLoss(Section):
    """Binary cross-entropy times (1 − p)^gamma of the right decision's probability p."""

    kind: Literal["focal"]
    gamma: NonNegativeFloat = 2.0
    alpha: OpenFraction | None = Field(default=None, description="weight of positives; 1 − alpha of negatives")


class AsymmetricLoss(Section):
    """Focal loss with another exponent for negatives, whose easiest are dropped."""

    kind: Literal["asymmetric"]
    gamma_positive: NonNegativeFloat = 0.0
    gamma_negative: NonNegativeFloat = 4.0
    clip: Fraction = Field(default=0.05, description="negatives' probabilities are lowered by this, to 0 at least")


def _cross_entropy_where_no_kind_is_said(section: object) -> object:
    return {"kind": "cross-entropy", **section} if isinstance(section, dict) else section


LossSection = Annotated[
    CrossEntropy | MeanSquaredError | BinaryCrossEntropy | FocalLoss | AsymmetricLoss,
    Field(discriminator="kind"),
    BeforeValidator(_cross_entropy_where_no_kind_is_said),
]
