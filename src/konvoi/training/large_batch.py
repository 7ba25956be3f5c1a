"""LARS and LAMB: optimisers for large batches, whose learning rate is adapted layer by layer.

A layer here is one parameter tensor. Biases and normalisation parameters (fewer than two axes) are neither decayed,
unless the recipe says so, nor adapted: their norms say nothing about how far a step may go. That is the practice of
both papers' authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lars(torch.optim.Optimizer):
    """SGD with momentum and layer-wise adaptive rate scaling.

    Y. You, I. Gitman and B. Ginsburg, "Large batch training of convolutional networks", arXiv:1708.03888, equation 6
    and algorithm 1: local rate λ = trust · ‖w‖ / (‖∇‖ + β‖w‖), v ← m·v + lr · λ · (∇ + β·w), w ← w − v.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "nesterov": nesterov},
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                update = weights.grad
                if group["weight_decay"]:
                    update = update + group["weight_decay"] * weights
                if weights.dim() > 1:
                    size = weights.norm()
                    pull = weights.grad.norm() + group["weight_decay"] * size
                    update = update * _ratio(group["trust"] * size, pull)
                state = self.state[weights]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(weights)
                step = state["velocity"].mul_(group["momentum"]).add_(update, alpha=group["lr"])
                if group["nesterov"]:
                    step = group["momentum"] * step + group["lr"] * update
                weights.sub_(step)


class Lamb(torch.optim.Optimizer):
    """AdamW whose step is scaled, layer by layer, to the length of the weights.

    Y. You et al., "Large batch optimization for deep learning", ICLR 2020 (arXiv:1904.00962), algorithm 2, with
    φ(z) = z: r = m̂ / (√v̂ + ε) + β·w, w ← w − lr · (‖w‖ / ‖r‖) · r.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            first_decay, second_decay = group["betas"]
            for weights in group["params"]:
                if weights.grad is None:
                    continue
                state = self.state[weights]
                if "step" not in state:
                    # A tensor on the CPU, as PyTorch's own optimisers keep it: a checkpoint holds tensors alone.
                    state["step"] = torch.zeros(())
                    state["first"] = torch.zeros_like(weights)
                    state["second"] = torch.zeros_like(weights)
                state["step"] += 1
                count = float(state["step"])
                state["first"].lerp_(weights.grad, 1 - first_decay)
                state["second"].mul_(second_decay).addcmul_(weights.grad, weights.grad, value=1 - second_decay)
                mean = state["first"] / (1 - first_decay**count)
                deviation = (state["second"] / (1 - second_decay**count)).sqrt_().add_(group["eps"])
                update = mean.div_(deviation).add_(weights, alpha=group["weight_decay"])
                if weights.dim() > 1:
                    update = update * _ratio(weights.norm(), update.norm())
                weights.sub_(group["lr"] * update)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """above / below, and 1 where one of them is 0: a layer of zeros has to be able to begin."""
    return torch.where((above > 0) & (below > 0), above / below, torch.ones_like(above))
