"""From the sizes that were measured to thousands of ranks: a model of a step's time, with its uncertainty.

A step on p ranks takes

    computing(b) + max(last bucket, T(p) − covered · computing(b)) + averaging the running statistics

with b samples a rank, and T(p) the time of an all-reduce over all gradients (`studies.cost_model`). `computing` is a
constant and a part in proportion to b, waiting for data included; `covered` says how much of the exchange goes on
during the backward pass, as a share of the time of computing, and where ranks wait longer than the exchange takes,
because they are uneven, it is negative. Both are fitted to the measured steps of several ranks, which compute more
slowly beside each other than one alone. The gradients of the last bucket, and the running statistics, travel when there
is nothing left to compute.

The uncertainty is a bootstrap over epochs, timings and sizes of messages. It says nothing about what was not measured:
a network between hosts where all ranks were on one, or another topology beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from konvoi.parallel.exchange import Exchange
from konvoi.randomness import numpy_stream
from konvoi.record import Record
from konvoi.studies.cost_model import ALGORITHMS, Algorithm, Network, fit, resample
from konvoi.studies.scale_results import EpochTime, Mode, ScaleResult

LEAST_EFFICIENCY = 0.8

_RESAMPLES = 200
_SIZES_AN_OCTAVE = 8
_MOST_COVERED = 2 / 3
"""The backward pass: two of the three products that a layer costs."""

Interval = tuple[float | None, float | None]


class Extrapolation(Record):
    """Efficiency over the number of ranks, by the ring's or the tree's formula.

    Attributes:
        mode: strong or weak.
        network: latency and bandwidth that were fitted.
        latency_interval: 95 % of the latency, seconds.
        bandwidth_interval: 95 % of the bandwidth, bytes a second; None: without bound.
        covered: share of the computing time in which gradients travel for nothing; negative: ranks wait longer than
            the exchange takes.
        error: mean over the measured sizes of |modelled − measured| / measured of a step's time.
        ranks: at which the efficiency was computed.
        efficiency: against the smallest measured size. `low` and `high` are the ends of the 95 % band.
        falls_at: the smallest number of ranks with less than 80 %; None: none up to the last of `ranks`.
        falls_at_interval: 95 % of it.
    """

    mode: Mode
    network: Network
    latency_interval: tuple[float, float]
    bandwidth_interval: Interval
    covered: float
    error: float
    ranks: tuple[int, ...]
    efficiency: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    falls_at: int | None
    falls_at_interval: Interval


@dataclass(frozen=True)
class StepModel:
    """The model above with its parameters.

    Attributes:
        network: between the ranks.
        fixed: seconds of a step that do not depend on the samples.
        per_sample: seconds for each sample of a rank.
        covered: share of computing during which gradients travel.
        exchange: the gradients' bytes and buckets.
    """

    network: Network
    fixed: float
    per_sample: float
    covered: float
    exchange: Exchange

    def seconds(self, ranks: NDArray[np.float64], samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of a step, on so many ranks with so many samples each."""
        computing = self.fixed + self.per_sample * samples
        gradients, buckets = self.exchange.gradient_bytes, self.exchange.buckets
        whole = self.network.seconds(ranks, gradients, buckets)
        last = self.network.seconds(ranks, gradients / buckets)
        waited = np.maximum(last, whole - self.covered * computing)
        return computing + np.where(ranks > 1, waited, 0.0) + _statistics_seconds(self.network, self.exchange, ranks)


@dataclass(frozen=True)
class Step:
    """A step of one measured size.

    Attributes:
        mode: strong or weak.
        ranks: that took it together.
        samples: of each rank.
        computing: seconds, waiting for data included.
        communicating: seconds of waiting for gradients.
    """

    mode: Mode
    ranks: int
    samples: float
    computing: float
    communicating: float

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.computing + self.communicating


def extrapolate(
    results: Sequence[ScaleResult], exchanges: Sequence[Exchange], up_to: int = 4096, resamples: int = _RESAMPLES
) -> list[Extrapolation]:
    """Every mode that was measured on two sizes or more, by the ring and by the tree.

    Args:
        results: all that were measured, of either mode.
        exchanges: of the same ranks; none, and there is no model.
        up_to: ranks; in strong scaling no more than there are samples in a step.
        resamples: of the bootstrap.
    """
    modes = [
        mode
        for mode in dict.fromkeys(result.mode for result in results)
        if any(result.mode == mode and result.ranks > 1 for result in results)
        and len({result.ranks for result in results if result.mode == mode}) > 1
    ]
    if not exchanges:
        return []
    return [
        _extrapolate(results, exchanges, mode, algorithm, up_to, resamples)
        for mode in modes
        for algorithm in ALGORITHMS
    ]


def fit_step_model(steps: Sequence[Step], network: Network, exchange: Exchange) -> StepModel:
    """Computing by least squares of the relative deviations, then what is covered by the least absolute ones."""
    from scipy.optimize import nnls

    several = [step for step in steps if step.ranks > 1]
    # Ranks share memory and caches, so steps of several ranks say how long computing takes beside others; where all of
    # them have the same samples, one rank alone has to say how the time depends on these.
    enough = len({step.samples for step in several}) > 1 or len({step.samples for step in steps}) == 1
    known = several if enough else list(steps)
    computing = np.array([_computing(step, network, exchange) for step in known])
    rows = np.stack([np.ones(len(known)), np.array([step.samples for step in known])], axis=1) / computing[:, None]
    lengths = np.linalg.norm(rows, axis=0)
    fixed, per_sample = nnls(rows / lengths, np.ones(len(known)))[0] / lengths
    uncovered = StepModel(network, float(fixed), float(per_sample), 0.0, exchange)
    return replace(uncovered, covered=_covered(several, uncovered))


def _covered(several: Sequence[Step], model: StepModel) -> float:
    """What misses the measured waits the least, and of equals the least: waits for a last bucket say only "at least".

    The sum of absolute deviations is linear between the values that a size would have alone, and those from which on a
    size waits for its last bucket only; so one of them is the best.
    """
    network, exchange = model.network, model.exchange
    computing = np.array([_computing(step, network, exchange) for step in several])
    waited = np.array([step.communicating for step in several])
    ranks = np.array([step.ranks for step in several], np.float64)
    whole = network.seconds(ranks, exchange.gradient_bytes, exchange.buckets)
    last = network.seconds(ranks, exchange.gradient_bytes / exchange.buckets)
    alone = np.concatenate([whole - waited, whole - last]) / np.concatenate([computing, computing])
    candidates = np.unique(np.minimum(alone, _MOST_COVERED))
    modelled = np.maximum(last, whole - candidates[:, None] * computing)
    misses = np.abs((modelled - waited) / computing).sum(axis=1)
    return float(candidates[np.flatnonzero(misses <= misses.min() + 1e-9)[0]])


def _computing(step: Step, network: Network, exchange: Exchange) -> float:
    own = step.computing - float(_statistics_seconds(network, exchange, np.float64(step.ranks)))
    return max(own, 0.1 * step.computing)


def _statistics_seconds(
    network: Network, exchange: Exchange, ranks: NDArray[np.float64] | np.float64
) -> NDArray[np.float64]:
    if exchange.buffer_bytes == 0:
        return np.zeros(np.shape(ranks))
    return network.seconds(ranks, exchange.buffer_bytes)


def _extrapolate(
    results: Sequence[ScaleResult],
    exchanges: Sequence[Exchange],
    mode: Mode,
    algorithm: Algorithm,
    up_to: int,
    resamples: int,
) -> Extrapolation:
    own = sorted((result for result in results if result.mode == mode), key=lambda result: result.ranks)
    smallest = own[0]
    most = max(own[-1].ranks, min(up_to, smallest.batch) if mode == "strong" else up_to)
    # From the first size of several ranks on: one rank alone has no neighbours, and is what was measured.
    sizes = _sizes(max(2, smallest.ranks), most)

    def efficiencies(steps: Sequence[Step], network: Network) -> tuple[StepModel, NDArray[np.float64]]:
        model = fit_step_model(steps, network, exchanges[0])
        base = next(step for step in steps if (step.mode, step.ranks) == (mode, smallest.ranks))
        ranks = sizes.astype(np.float64)
        samples = np.full(len(sizes), base.samples) if mode == "weak" else base.samples * base.ranks / ranks
        rate = samples / model.seconds(ranks, samples)
        return model, rate / (base.samples / base.seconds)

    measured = [_step(result, result.epochs) for result in results]
    network = fit(algorithm, exchanges)
    model, curve = efficiencies(measured, network)
    curves, latencies, byte_times = [], [], []
    for number in range(resamples):
        stream = numpy_stream(0, "scaling", mode, number)
        drawn = [
            _step(result, [result.epochs[at] for at in stream.integers(0, len(result.epochs), len(result.epochs))])
            for result in results
        ]
        again = fit(algorithm, resample(exchanges, stream))
        curves.append(efficiencies(drawn, again)[1])
        latencies.append(again.latency)
        byte_times.append(again.seconds_a_byte)
    low, high = np.percentile(curves, [2.5, 97.5], axis=0)
    falls = np.array([_falls_at(sizes, one) or np.inf for one in curves])
    slow, fast = np.percentile(byte_times, [97.5, 2.5]).tolist()
    several = [step for step in measured if step.mode == mode and step.ranks > 1]
    misses = [
        float(model.seconds(np.float64(step.ranks), np.float64(step.samples)) / step.seconds - 1)  # type: ignore[arg-type]
        for step in several
    ]
    earliest, latest = np.percentile(falls, [2.5, 97.5], method="nearest").tolist()
    return Extrapolation(
        mode=mode,
        network=network,
        latency_interval=tuple(np.percentile(latencies, [2.5, 97.5]).tolist()),
        bandwidth_interval=(1 / slow if slow else None, 1 / fast if fast else None),
        covered=model.covered,
        error=float(np.abs(misses).mean()),
        ranks=tuple(sizes.tolist()),
        efficiency=tuple(curve.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        falls_at=_falls_at(sizes, curve),
        falls_at_interval=(_or_none(earliest), _or_none(latest)),
    )


def _step(result: ScaleResult, epochs: Sequence[EpochTime]) -> Step:
    whole = float(np.median([epoch.seconds / epoch.steps for epoch in epochs]))
    communicating = float(np.median([epoch.communication / epoch.steps for epoch in epochs]))
    return Step(
        mode=result.mode,
        ranks=result.ranks,
        samples=sum(epoch.samples for epoch in epochs) / sum(epoch.steps for epoch in epochs) / result.ranks,
        computing=whole - communicating,
        communicating=communicating,
    )


def _sizes(smallest: int, most: int) -> NDArray[np.int64]:
    octaves = np.log2(most / smallest)
    spread = smallest * 2 ** np.linspace(0, octaves, 1 + max(1, round(octaves * _SIZES_AN_OCTAVE)))
    return np.unique(np.round(spread).astype(np.int64))


def _falls_at(sizes: NDArray[np.int64], curve: NDArray[np.float64]) -> int | None:
    below = np.flatnonzero(curve < LEAST_EFFICIENCY)
    return int(sizes[below[0]]) if len(below) else None


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
