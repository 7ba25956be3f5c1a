"""Optimisers from a recipe's `optim` section: weight decay on weights alone, learning rates by stage."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from konvoi.models.stages import stages
from konvoi.recipe.optimiser import Adam, AdamW, Lamb, Lars, Sgd
from konvoi.training import large_batch


def build_optimiser(settings: Sgd | Adam | AdamW | Lars | Lamb, network: nn.Module) -> torch.optim.Optimizer:
    """An optimiser over all trainable parameters; see `parameter_groups` for what decays and how fast each learns."""
    groups = parameter_groups(
        network, settings.weight_decay, settings.decay_norms_and_biases, settings.layer_decay or 1.0
    )
    match settings:
        case Sgd():
            return torch.optim.SGD(
                groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, foreach=True
            )
        case Adam():
            return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, foreach=True)
        case AdamW():
            return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, foreach=True)
        case Lars():
            return large_batch.Lars(
                groups, settings.lr, settings.momentum, trust=settings.trust, nesterov=settings.nesterov
            )
        case Lamb():
            return large_batch.Lamb(groups, settings.lr, settings.betas, settings.eps)


def parameter_groups(
    network: nn.Module, weight_decay: float, decay_norms_and_biases: bool, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Parameters with and without weight decay, each in the network's order, stage by stage.

    Normalisation parameters and biases, that is all with fewer than two axes, do not decay unless asked to:
    pulling them to zero does not make the function simpler.

    With `layer_decay` < 1 each stage learns slower than the one after it, by this factor (`lr_share` of a group);
    after J. Howard and S. Ruder, "Universal language model fine-tuning", ACL 2018, section 3.2.
    """
    parts = stages(network) if layer_decay < 1.0 else [list(network.parameters())]
    groups: list[dict[str, Any]] = []
    for number, parameters in enumerate(parts):
        share = layer_decay ** (len(parts) - 1 - number)
        decayed: list[nn.Parameter] = []
        exempt: list[nn.Parameter] = []
        for parameter in parameters:
            if parameter.requires_grad:
                (decayed if parameter.dim() > 1 or decay_norms_and_biases else exempt).append(parameter)
        groups.append({"params": decayed, "weight_decay": weight_decay, "lr_share": share})
        groups.append({"params": exempt, "weight_decay": 0.0, "lr_share": share})
    return [group for group in groups if group["params"]]


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give all parameter groups their shares of this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_share"]
