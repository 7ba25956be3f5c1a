"""PyTorch's optimisers from a recipe's `optim` section, with weight decay on weights alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from konvoi.recipe.schema import Adam, AdamW, Sgd


def build_optimiser(settings: Sgd | Adam | AdamW, network: nn.Module) -> torch.optim.Optimizer:
    """An optimiser over all trainable parameters; see `parameter_groups` for what decays."""
    groups = parameter_groups(network, settings.weight_decay, settings.decay_norms_and_biases)
    match settings:
        case Sgd():
            return torch.optim.SGD(
                groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, foreach=True
            )
        case Adam():
            return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, foreach=True)
        case AdamW():
            return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, eps=settings.eps, foreach=True)


def parameter_groups(network: nn.Module, weight_decay: float, decay_norms_and_biases: bool) -> list[dict[str, Any]]:
    """Parameters with and without weight decay, each in the network's order.

    Normalisation parameters and biases, that is all with fewer than two axes, do not decay unless asked to:
    pulling them to zero does not make the function simpler.
    """
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            (decayed if parameter.dim() > 1 or decay_norms_and_biases else exempt).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": exempt, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give all parameter groups this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr
