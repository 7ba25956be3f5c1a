"""An ensemble as one network: members on the same images, and the fusion of what they answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FUSIONS = ("average", "majority")

_SMALLEST = 1e-30  # a normal float32; the logarithm of 0 would not be finite


class CentreCrop(nn.Module):
    """The square around the centre of each image; where it cannot be centred, it lies half a pixel up and left."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, C, side, side)`."""
        top, left = (images.shape[2] - self.side) // 2, (images.shape[3] - self.side) // 2
        return images[:, :, top : top + self.side, left : left + self.side]

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"side={self.side}"


class Members(nn.Module):
    """Networks that look at the same images."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        for number, member in enumerate(members, start=1):
            self.add_module(f"scale{number}", member)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to the logits of all members, `(N, M, K)`."""
        return torch.stack([member(images) for member in self.children()], dim=1)


class Fusion(nn.Module):
    """One answer of several: their mean probabilities, or a vote each.

    Both return logits whose softmax is the fused probability. Of a vote that is (votes + p) / (M + 1), p being the
    members' mean probability: as p is less than one vote, it decides nothing but ties.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, logits: Tensor) -> Tensor:
        """`(N, M, K)` to `(N, K)`."""
        mean = logits.softmax(dim=2).mean(dim=1)
        if self.kind == "average":
            return mean.clamp_min(_SMALLEST).log()
        classes = torch.arange(logits.shape[2], device=logits.device)
        votes = (logits.argmax(dim=2, keepdim=True) == classes).sum(dim=1)
        return ((votes + mean) / (logits.shape[1] + 1)).clamp_min(_SMALLEST).log()

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return self.kind


class FusedNetwork(nn.Module):
    """Members, and then their fusion."""

    def __init__(self, members: Sequence[nn.Module], fusion: str) -> None:
        super().__init__()
        self.members = Members(members)
        self.fusion = Fusion(fusion)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to logits `(N, K)`."""
        fused: Tensor = self.fusion(self.members(images))
        return fused
