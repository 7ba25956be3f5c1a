"""One network on several ranks: each works on its share of a step's batch, and the gradients are averaged.

The engine is PyTorch's DistributedDataParallel, which overlaps the exchange with the backward pass. After every step
all ranks hold the same weights, buffers and optimiser state, bit for bit, so that the first rank's checkpoint is
everyone's. Only local SGD leaves that for a few steps, and a training is saved when it is back.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import record_function

from konvoi.errors import RunError
from konvoi.parallel.ranks import Ranks
from konvoi.randomness import purpose_of_step, stream_seed
from konvoi.recipe.compute import ParallelSection
from konvoi.training.checkpoint import optimiser_tensors

AVERAGE_MARK = "konvoi: average over ranks"
"""The span of a profiler's trace in which ranks give each other their buffers."""


def _in_bfloat16(state, bucket):  # type: ignore[no-untyped-def]
    # Under a name of its own: the engine refuses its own hook, by name, on anything but GPUs, and Gloo is able. Without
    # types, because it takes those of postponed annotations for wrong ones.
    return default_hooks.bf16_compress_hook(state, bucket)


_HOOKS = {"bfloat16": _in_bfloat16, "float16": default_hooks.fp16_compress_hook}


class DataParallel:
    """A network on all ranks of a training; with one rank, the network itself.

    Attributes:
        module: what is to be called in the forward pass.
        ranks: those that work together.
    """

    def __init__(self, network: nn.Module, settings: ParallelSection, ranks: Ranks, device: torch.device) -> None:
        """Give all ranks the first one's weights and buffers, and let gradients travel.

        Args:
            network: on the device, its batch normalisation synchronised already where that is wanted.
            settings: the recipe's `parallel` section.
            ranks: those that work together.
            device: of the network.
        """
        self.ranks = ranks
        self.module = network
        self._buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        self._local = settings.local_sgd if ranks.several else None
        self._engine: DistributedDataParallel | None = None
        if ranks.several:
            self._engine = DistributedDataParallel(
                network,
                device_ids=[device] if device.type == "cuda" else None,
                # By default the first rank's buffers would replace those of the others; they are averaged instead.
                forward_sync_buffers=False,
                bucket_cap_mb=settings.bucket,
                gradient_as_bucket_view=True,
            )
            if settings.gradients in _HOOKS:
                self._engine.register_comm_hook(None, _HOOKS[settings.gradients])
            self.module = self._engine

    def exchange(self, step: int, last: bool) -> AbstractContextManager[object]:
        """The context of a micro-batch's forward and backward pass; gradients travel with the last one of a step."""
        if self._engine is None or (last and not self._is_local(step)):
            return nullcontext()
        return self._engine.no_sync()

    def finish_step(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        """After the update of a step, counted from 0: give all ranks the same buffers, or everything, again."""
        if not self._is_local(step):
            with record_function(AVERAGE_MARK) if self.ranks.several else nullcontext():
                self.ranks.average(self._buffers)
        elif self.is_together(step + 1):
            self.gather(optimiser)

    def gather(self, optimiser: torch.optim.Optimizer) -> None:
        """Average weights, buffers and the optimiser's state over ranks that went their own ways (local SGD)."""
        if self._local is not None:
            self.ranks.average([*self.module.parameters(), *self._buffers, *optimiser_tensors(optimiser).values()])

    def communication_share(self) -> float:
        """The share of a step's time in which it waited for gradients: what the backward pass did not cover.

        Of the engine's own clocks, which it reads in some of the steps.
        """
        if self._engine is None:
            return 0.0
        clocks = self._engine._get_ddp_logging_data()  # type: ignore[no-untyped-call]
        uncovered = clocks.get("avg_backward_comm_time", 0) - clocks.get("avg_backward_compute_comm_overlap_time", 0)
        covered = clocks.get("avg_forward_compute_time", 0) + clocks.get("avg_backward_compute_time", 0)
        return float(max(0, uncovered) / max(1, covered + uncovered))

    def is_together(self, steps: int) -> bool:
        """Whether all ranks hold the same weights after so many steps; only then they can be saved."""
        return not self._is_local(steps - 1) or self._local is None or steps % self._local.every == 0

    def require_one_start(self, seed: int) -> None:
        """Stop a training whose ranks do not start with the same weights, or would draw the same random numbers.

        Raises:
            RunError: one of both.
        """
        if not self.ranks.several:
            return
        total = sum(float(value.double().sum()) for value in self.module.state_dict().values())
        self.require_same("sum of initial weights", repr(total))
        streams = self.ranks.all_words(str(stream_seed(seed, *purpose_of_step(0, self.ranks.rank))))
        if len(set(streams)) < len(streams):
            raise RunError("Two ranks have the same random stream; that is a defect of Konvoi, please report it.")

    def require_same(self, what: str, own: str) -> None:
        """Stop a training whose ranks do not start from the same.

        Raises:
            RunError: this rank's value differs from the first one's.
        """
        if not self.ranks.several:
            return
        values = self.ranks.all_words(own)
        for rank, value in enumerate(values):
            if value != values[0]:
                raise RunError(
                    f"Rank {rank} has another {what} than rank 0: {value}, expected {values[0]}. All ranks must see "
                    "the same files; is a path local to a host?"
                )

    def _is_local(self, step: int) -> bool:
        return self._local is not None and step >= self._local.first_step
