"""What is remembered of each epoch, or of each layer that was fitted forward.

Imports no torch, so that reports and tools read it quickly.
"""

from __future__ import annotations

from pydantic import Field

from konvoi.record import Record


class EpochRecord(Record):
    """What one epoch did. Training figures are means over the epoch, in training mode; losses in nats.

    Attributes:
        epoch: counted from 1.
        steps: optimiser steps since the start of training, at the end of this epoch.
        lr: learning rate of the last step.
        train_loss: the recipe's own, label smoothing and label weights included; `validation_loss` is the plain
            cross-entropy.
        train_accuracy: share of samples classified correctly; where a sample has several labels, share of
            (sample, label) pairs decided correctly at probability 0.5. `validation_accuracy` likewise.
        validation_map: where a sample has several labels, the mean over labels of the average precision, which
            then decides which epoch is best.
        seconds: where the time went: data, step, validation, checkpoint; of several ranks the first one's, and
            communication, as far as the step had to wait for it.
        over_ranks: of several ranks, the least and the most seconds that one of them spent on data, step and
            communication.
        samples_per_second: of training alone, without validation.
        best: whether this epoch was the best so far.
    """

    epoch: int
    steps: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    validation_map: float | None = None
    seconds: dict[str, float]
    over_ranks: dict[str, tuple[float, float]] = Field(default_factory=dict)
    samples_per_second: float
    best: bool


class FilterRecord(Record):
    """One filter that a linear support vector machine made.

    Attributes:
        label: the class that it tells from the rest.
        patches: that it was fitted on.
        cost: the C that was chosen.
        accuracy: balanced accuracy of the cross-validation at this C; None where there were too few images for one.
    """

    label: int
    patches: int
    cost: float
    accuracy: float | None


class LayerRecord(Record):
    """What fitting one layer forward did.

    Attributes:
        name: of the layer, in the network.
        patch: the sides of a patch, maps first; of the classifier at the end, the number of its inputs.
        filters: one entry a filter; of the classifier none.
        samples: training images that were looked at.
        cost: of the classifier, whose machines share one C; else None.
        accuracy: of the classifier's cross-validation; else None.
        temperature: by which the classifier's decision values are divided to be logits; else None.
        seconds: where the time went: maps (the layers before, on the images), svm, checkpoint.
    """

    name: str
    patch: tuple[int, ...]
    filters: tuple[FilterRecord, ...] = ()
    samples: int
    cost: float | None = None
    accuracy: float | None = None
    temperature: float | None = None
    seconds: dict[str, float]
