"""What was measured of the exchange between the ranks of a training. Imports no torch, so that tools read it quickly.

It is measured in `parallel.all_reduce`; `studies.cost_model` fits latency and bandwidth to it.
"""

from __future__ import annotations

from konvoi.record import Record


class Timing(Record):
    """One size of message.

    Attributes:
        size: bytes that each rank brings and gets back.
        seconds: of one all-reduce, a figure a repeat; of the slowest rank.
    """

    size: int
    seconds: tuple[float, ...]


class Exchange(Record):
    """What the ranks of a training have between them: `exchange.json` of a run.

    Attributes:
        ranks: how many.
        backend: of torch.distributed, between the tensors' devices.
        gradient_bytes: that every step exchanges while the backward pass goes on, as they travel.
        buckets: messages in which the gradients travel.
        buffer_bytes: running statistics that are averaged after every step.
        timings: by size.
    """

    ranks: int
    backend: str
    gradient_bytes: int
    buckets: int
    buffer_bytes: int
    timings: tuple[Timing, ...]
