"""Batch normalisation with the statistics of the whole batch, over all ranks.

S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015, with sums over ranks as well. PyTorch's SyncBatchNorm does
this on GPUs; on CPUs there is none, so it stands here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics in training mode are those of all ranks; the same parameters and buffers."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalise `(N, C, H, W)`; every rank must take part, with one sample at least."""
        if not self.training:
            return super().forward(images)
        values = images.float()
        axes = (0, 2, 3)
        count = torch.tensor([float(values.numel() // values.shape[1])], device=values.device)
        own_mean = values.mean(axes)
        # Sums of squares around each rank's own mean: around zero, they would lose digits where the mean is large.
        own_square = (values - own_mean[:, None, None]).square().sum(axes)
        sums = _sum_over_ranks(torch.cat([count * own_mean, count]))
        mean, total = sums[:-1] / sums[-1], sums[-1].detach()
        squares = _sum_over_ranks(own_square + count * (own_mean - mean).square())
        variance = squares / total
        self._update(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        gain = torch.rsqrt(variance + self.eps) * (1.0 if self.weight is None else self.weight)
        offset = (0.0 if self.bias is None else self.bias) - mean * gain
        return (values * gain[:, None, None] + offset[:, None, None]).to(images.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


class _SumOverRanks(torch.autograd.Function):
    """A sum that every rank's loss depends on: so its gradient is the sum of what all ranks' losses want of it."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum_over_ranks(own: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(own)  # type: ignore[no-untyped-call]
    return total


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace the batch normalisations of a network, which keeps its parameters, buffers and their names.

    Args:
        network: is changed in place, unless it is itself a normalisation.
        device: on which it will run: on a GPU, PyTorch's own form is used.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call,no-any-return]
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            # The same object in another class: nothing that refers to it, or to its parameters, has to know.
            module.__class__ = SynchronisedBatchNorm2d
    return network
