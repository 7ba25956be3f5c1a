"""The ranks of a training and what they say to each other: sums, averages, rows, words.

Tensors of the network travel over NCCL between GPUs and over Gloo between CPUs; figures and words always over Gloo.
How ranks meet is in `parallel.meeting`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from konvoi.errors import KonvoiError, RankLost


class Ranks:
    """This process among its equals. Every method but `is_first` must be called by all ranks, in the same order.

    Attributes:
        rank: of this process, from 0.
        size: number of ranks.
        local_rank: number of this process on its host; that of its GPU.
        words: how many ranks on which hosts, for the run's record.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, words: str = "1 rank") -> None:
        """One process alone by default; for several, torch's default process group must be open."""
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self.words = words

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and speaks to the user."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there is another rank."""
        return self.size > 1

    def sums(self, values: Sequence[float] | NDArray[np.float64]) -> list[float]:
        """The sum over ranks of each value, in float64, the same bits on every rank."""
        return self._reduced(values, dist.ReduceOp.SUM) if self.several else list(values)

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest over ranks of each value."""
        return self._reduced(values, dist.ReduceOp.MAX) if self.several else list(values)

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace floating-point tensors, in place, by their means over ranks; the same bits on every rank."""
        if not self.several:
            return
        floating = [tensor for tensor in tensors if tensor.is_floating_point()]
        if not floating:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in floating])
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in floating])
        # In one call: on a GPU, a hundred small copies would cost a hundred launches at every step.
        torch._foreach_copy_(floating, [part.view(tensor.shape) for part, tensor in zip(parts, floating, strict=True)])

    def merge_rows(self, rows: NDArray[np.float32]) -> None:
        """Give every rank all rows, in place; each rank has filled its own and left the others 0."""
        if self.several:
            dist.all_reduce(torch.from_numpy(rows))

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What the first rank makes of this, on every rank; it must be JSON.

        Raises:
            KonvoiError: on the first rank, what `make` raised.
            RankLost: on the others then.
        """
        if not self.several:
            return make()
        if not self.is_first:
            message = json.loads(self._broadcast(""))
            if message is None:
                raise RankLost
            return message["value"]
        try:
            value = make()
        except KonvoiError:
            self._broadcast(json.dumps(None))
            raise
        self._broadcast(json.dumps({"value": value}))
        return value

    def all_words(self, own: str) -> list[str]:
        """What every rank says, in the order of ranks."""
        if not self.several:
            return [own]
        words = []
        for speaker in range(self.size):
            words.append(self._broadcast(own if speaker == self.rank else "", speaker))
        return words

    def wait_for_all(self) -> None:
        """Return when every rank has come here."""
        self.sums([0.0])

    def _broadcast(self, own: str, speaker: int = 0) -> str:
        # As bytes and not as an object: those would be pickled.
        content = torch.frombuffer(bytearray(own.encode() or b" "), dtype=torch.uint8)
        length = torch.tensor([len(content)])
        dist.broadcast(length, speaker)
        if self.rank != speaker:
            content = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, speaker)
        return bytes(content.tolist()).decode().strip()

    def _reduced(
        self, values: Sequence[float] | NDArray[np.float64], operation: dist.ReduceOp.RedOpType
    ) -> list[float]:
        tensor = torch.tensor(np.asarray(values), dtype=torch.float64)
        dist.all_reduce(tensor, operation)
        return tensor.tolist()


ALONE = Ranks()
