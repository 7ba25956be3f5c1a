"""Batch normalisation with the statistics of the whole batch, over all ranks.

S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015, with sums over ranks as well. PyTorch's SyncBatchNorm does
this on GPUs; on CPUs there is none, so it stands here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


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
        sums: Tensor = all_reduce(torch.cat([count * own_mean, count]))  # type: ignore[no-untyped-call]
        mean, total = sums[:-1] / sums[-1], sums[-1].detach()
        squares: Tensor = all_reduce(own_square + count * (own_mean - mean).square())  # type: ignore[no-untyped-call]
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
