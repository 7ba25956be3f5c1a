"""What an all-reduce costs: the ring's and the tree's formula, and latency and bandwidth fitted to measurements.

With p ranks, messages of n bytes, latency α in seconds and bandwidth B in bytes a second:

    ring    2(p − 1) · α + 2(p − 1)/p · n/B
    tree    2 · log2(p) · (α + n/B)

The ring is a reduce-scatter and an all-gather around a circle, which moves the fewest bytes that are possible
(P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", J. Parallel Distrib.
Comput. 69, 2009, 117–124); the tree is a reduction to one rank and a broadcast from it, both binomial, which takes the
fewest steps (R. Thakur, R. Rabenseifner and W. Gropp, "Optimization of collective communication operations in MPICH",
Int. J. High Perform. Comput. Appl. 19, 2005, 49–66). Libraries choose between such algorithms.

What a whole step of training costs is in `studies.extrapolation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from konvoi.parallel.exchange import Exchange, Timing
from konvoi.record import Record

Algorithm = Literal["ring", "tree"]
ALGORITHMS: tuple[Algorithm, ...] = ("ring", "tree")


class Network(Record):
    """What lies between ranks, as one algorithm sees it.

    Attributes:
        algorithm: whose formula holds.
        latency: α, seconds.
        seconds_a_byte: 1/B.
        error: mean over measurements of |formula − measured| / measured.
    """

    algorithm: Algorithm
    latency: float
    seconds_a_byte: float
    error: float

    @property
    def bandwidth(self) -> float:
        """B, bytes a second."""
        return 1 / self.seconds_a_byte if self.seconds_a_byte else float("inf")

    def seconds(self, ranks: ArrayLike, size: float, messages: int = 1) -> NDArray[np.float64]:
        """Of one all-reduce over `size` bytes in so many messages, for each number of ranks."""
        latencies, byte_times = terms(self.algorithm, ranks, size)
        return np.asarray(messages * latencies * self.latency + byte_times * self.seconds_a_byte)


def terms(algorithm: Algorithm, ranks: ArrayLike, size: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often the latency, and how many bytes one after the other, make up an all-reduce over `size` bytes."""
    count, length = np.asarray(ranks, np.float64), np.asarray(size, np.float64)
    if algorithm == "ring":
        return 2 * (count - 1), 2 * (count - 1) / count * length
    steps = 2 * np.log2(count)
    return steps, steps * length


def fit(algorithm: Algorithm, exchanges: Sequence[Exchange]) -> Network:
    """Latency and bandwidth, by least squares of the relative deviations, from the median of every size's timings.

    Relative, because times span orders of magnitude: the plain squares would be those of the longest messages alone,
    which say nothing about latency. Neither may be negative (C. L. Lawson and R. J. Hanson, "Solving least squares
    problems", 1974, chapter 23).
    """
    ranks, sizes, seconds = _points(exchanges)
    return _fit(algorithm, ranks, sizes, seconds)


def resample(exchanges: Sequence[Exchange], stream: np.random.Generator) -> list[Exchange]:
    """The same measurements, drawn again: sizes with replacement, and of each its timings with replacement.

    B. Efron, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7 (1979). As sizes are drawn too, what
    the formulas do not describe widens the spread.
    """
    drawn = []
    for exchange in exchanges:
        # The smallest and the largest message stay: without either, there is no latency or no bandwidth to be found.
        ends = sorted(exchange.timings, key=lambda timing: timing.size)
        inner = ends[1:-1]
        chosen = [inner[position] for position in stream.integers(0, len(inner), len(inner))] if inner else []
        timings = tuple(
            Timing(size=timing.size, seconds=tuple(stream.choice(timing.seconds, len(timing.seconds)).tolist()))
            for timing in (ends[0], *chosen, ends[-1])
        )
        drawn.append(exchange.model_copy(update={"timings": timings}))
    return drawn


def _points(
    exchanges: Sequence[Exchange],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    rows = [
        (float(exchange.ranks), float(timing.size), float(np.median(timing.seconds)))
        for exchange in exchanges
        for timing in exchange.timings
    ]
    table = np.array(rows, np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


def _fit(
    algorithm: Algorithm, ranks: NDArray[np.float64], sizes: NDArray[np.float64], seconds: NDArray[np.float64]
) -> Network:
    from scipy.optimize import nnls

    latencies, byte_times = terms(algorithm, ranks, sizes)
    relative = np.stack([latencies / seconds, byte_times / seconds], axis=1)
    # Columns of length 1: a byte takes a millionth of a latency.
    lengths = np.linalg.norm(relative, axis=0)
    solution = nnls(relative / lengths, np.ones(len(seconds)))[0] / lengths
    return Network(
        algorithm=algorithm,
        latency=float(solution[0]),
        seconds_a_byte=float(solution[1]),
        error=float(np.abs(relative @ solution - 1).mean()),
    )
