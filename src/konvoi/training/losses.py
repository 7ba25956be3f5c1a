"""Losses: from logits and labels to the number that training lowers.

Those for several labels a sample are means over samples and labels. The authors of the asymmetric loss take the sum
instead: for n samples and K labels, a gradient n·K times as large. The steps of Adam and AdamW hardly depend on such a
factor; with SGD, a learning rate from their paper is to be multiplied by it. What a loss is worth as a score is not
known here; see `evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, logsigmoid, one_hot

from konvoi.recipe.loss import AsymmetricLoss, BinaryCrossEntropy, CrossEntropy, FocalLoss, MeanSquaredError

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits `(N, K)` float32 and labels, `(N,)` int64 or `(N, K)` of 0 and 1, to a scalar."""


def build_loss(
    settings: CrossEntropy | MeanSquaredError | BinaryCrossEntropy | FocalLoss | AsymmetricLoss,
    training_labels: NDArray[np.int64] | NDArray[np.uint8],
    device: torch.device,
) -> Loss:
    """The loss of a recipe's `loss` section.

    Args:
        settings: the section.
        training_labels: of the training split, from which label weights are counted.
        device: of the logits.
    """
    match settings:
        case CrossEntropy():
            return partial(cross_entropy, label_smoothing=settings.label_smoothing)
        case MeanSquaredError():
            return mean_squared_error
        case BinaryCrossEntropy(positive_weight="balanced"):
            weights = positive_weights(training_labels, settings.largest_weight)
            return partial(binary_cross_entropy, weights=torch.from_numpy(weights).float().to(device))
        case BinaryCrossEntropy():
            return binary_cross_entropy
        case FocalLoss():
            return partial(focal_loss, gamma=settings.gamma, alpha=settings.alpha)
        case AsymmetricLoss():
            return partial(
                asymmetric_loss,
                gamma_positive=settings.gamma_positive,
                gamma_negative=settings.gamma_negative,
                clip=settings.clip,
            )


def positive_weights(labels: NDArray[np.uint8] | NDArray[np.int64], largest: float) -> NDArray[np.float64]:
    """How much a positive of each label counts: negatives / positives, between 1 / largest and largest; `(K,)`.

    A label without positives has weight 1: there is nothing to weigh.

    Args:
        labels: `(N, K)` of 0 and 1.
        largest: 1 or more.
    """
    positives = labels.sum(axis=0).astype(np.float64)
    ratio = (len(labels) - positives) / np.maximum(positives, 1)
    return np.where(positives > 0, np.clip(ratio, 1 / largest, largest), 1.0)


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over samples and classes of (p − t)², with p the softmax and t 1 for the label's class, 0 for the others.

    For K classes that is 1/K of the squared distance, so a learning rate means K times less than without the mean.

    Args:
        logits: `(N, K)`.
        labels: `(N,)` int64.
    """
    targets = one_hot(labels, logits.shape[1]).to(logits.dtype)
    return (logits.softmax(dim=1) - targets).square().mean()


def binary_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over samples and labels of −w_k log p for positives of label k, −log(1 − p) for negatives.

    Args:
        logits: `(N, K)`.
        labels: `(N, K)` of 0 and 1, of any dtype.
        weights: of the positives of each label, `(K,)`; 1 by default.
    """
    return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weights)


def focal_loss(logits: Tensor, labels: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """Binary cross-entropy that decisions lose interest in as they become right; mean over samples and labels.

    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017, equation 5: −α_t (1 − p_t)^γ log p_t, where
    p_t is the probability of the right decision, and α_t is α for positives and 1 − α for negatives.

    Args:
        logits: `(N, K)`.
        labels: `(N, K)` of 0 and 1, of any dtype.
        gamma: γ; 0 leaves the binary cross-entropy.
        alpha: α; None leaves α_t out.
    """
    truth = labels > 0
    towards_truth = torch.where(truth, logits, -logits)
    loss = -_sigmoid_power(-towards_truth, gamma) * logsigmoid(towards_truth)
    if alpha is not None:
        loss = torch.where(truth, alpha * loss, (1 - alpha) * loss)
    return loss.mean()


def asymmetric_loss(
    logits: Tensor, labels: Tensor, gamma_positive: float, gamma_negative: float, clip: float
) -> Tensor:
    """Focal loss with an exponent of its own for negatives, whose easiest count nothing; mean over samples and labels.

    T. Ridnik et al., "Asymmetric loss for multi-label classification", ICCV 2021, asymmetric focusing and probability
    shifting: −(1 − p)^γ₊ log p for positives, −p_m^γ₋ log(1 − p_m) with p_m = max(p − m, 0) for negatives. The
    gradient is that of the whole expression, as in the paper's analysis.

    Args:
        logits: `(N, K)`.
        labels: `(N, K)` of 0 and 1, of any dtype.
        gamma_positive: γ₊.
        gamma_negative: γ₋.
        clip: m; negatives of a probability up to m have neither loss nor gradient.
    """
    of_positive = -_sigmoid_power(-logits, gamma_positive) * logsigmoid(logits)
    if clip:
        shifted = (torch.sigmoid(logits) - clip).clamp(min=0)
        # Exactly at p = m, 0^γ has an infinite slope for γ < 1, which would make the gradient not a number.
        focus = torch.where(shifted > 0, torch.where(shifted > 0, shifted, 1.0) ** gamma_negative, 0.0)
        of_negative = -focus * torch.log1p(-shifted)
    else:
        of_negative = -_sigmoid_power(logits, gamma_negative) * logsigmoid(-logits)
    return torch.where(labels > 0, of_positive, of_negative).mean()


def _sigmoid_power(logits: Tensor, exponent: float) -> Tensor:
    # σ(z)^exponent. Written as a power it would have an infinite slope where σ is rounded to 0 and the exponent is < 1.
    return torch.exp(exponent * logsigmoid(logits))
