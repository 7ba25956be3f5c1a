"""The model of a step: values worked by hand, and a cluster that was made up, found again from its first sizes."""

from __future__ import annotations

import numpy as np
import pytest

from konvoi.parallel.exchange import Exchange, Timing
from konvoi.studies.cost_model import Network
from konvoi.studies.extrapolation import StepModel, extrapolate
from konvoi.studies.scale_results import EpochTime, Mode, ScaleResult

RING = Network(algorithm="ring", latency=2e-5, seconds_a_byte=1e-9, error=0.0)
SIZES = tuple(1024 * 4**power for power in range(9))


def exchange(ranks: int = 2, gradient_bytes: int = 100_000_000, buckets: int = 4, buffers: int = 0) -> Exchange:
    timings = tuple(Timing(size=size, seconds=(float(RING.seconds(ranks, size)),) * 5) for size in SIZES)
    return Exchange(
        ranks=ranks, backend="nccl", gradient_bytes=gradient_bytes, buckets=buckets, buffer_bytes=buffers,
        timings=timings,
    )  # fmt: skip


def measured(model: StepModel, mode: Mode, ranks: int, batch: int) -> ScaleResult:
    samples = batch / ranks
    whole = float(model.seconds(np.float64(ranks), np.float64(samples)))  # type: ignore[arg-type]
    computing = model.fixed + model.per_sample * samples
    if ranks > 1 and model.exchange.buffer_bytes:
        computing += float(RING.seconds(ranks, model.exchange.buffer_bytes))
    epoch = EpochTime(
        steps=20, samples=20 * batch, data=0.0, step=20 * computing, communication=20 * (whole - computing)
    )
    return ScaleResult(
        mode=mode, ranks=ranks, batch=batch, lr=0.1, epochs=(epoch,) * 3, only_first=False, measure="accuracy",
        score=0.9, interval=(0.8, 0.95), ranks_in_words="", device="a test", threads=1, run=f"{mode}-{ranks}",
    )  # fmt: skip


def test_a_step_by_hand() -> None:
    model = StepModel(RING, fixed=0.01, per_sample=0.001, covered=0.5, exchange=exchange(buffers=1_000_000))
    # 64 samples: 74 ms computing. Gradients on 2 ranks: 100 MB at 1 GB/s and 4 × 2 × 20 µs = 100.16 ms, of which half
    # of the computing, 37 ms, covers some; the statistics: 1 MB and 40 µs.
    seconds = model.seconds(np.array([1.0, 2.0]), np.array([64.0, 64.0]))
    assert seconds.tolist() == pytest.approx([0.074, 0.074 + 0.10016 - 0.037 + 0.00104])


def test_the_last_bucket_is_never_covered() -> None:
    model = StepModel(RING, fixed=0.0, per_sample=0.1, covered=0.6, exchange=exchange())
    # 6.4 s of computing cover all but 25 MB on 2 ranks: 25 ms and 40 µs.
    assert model.seconds(np.array([2.0]), np.array([64.0])).tolist() == pytest.approx([6.4 + 0.02504])


@pytest.mark.parametrize("buffers", [0, 1_000_000])
@pytest.mark.parametrize("covered", [0.3, -0.1])
def test_a_made_up_cluster_is_found_again(covered: float, buffers: int) -> None:
    truth = StepModel(RING, fixed=0.02, per_sample=0.002, covered=covered, exchange=exchange(buffers=buffers))
    results = [measured(truth, "weak", ranks, 64 * ranks) for ranks in (1, 2, 4)]
    results += [measured(truth, "strong", ranks, 1024) for ranks in (1, 2, 4)]
    weak, strong = (
        entry
        for entry in extrapolate(results, [exchange(2, buffers=buffers), exchange(4, buffers=buffers)], resamples=5)
        if entry.network.algorithm == "ring"
    )
    assert weak.mode == "weak"
    assert weak.network.latency == pytest.approx(2e-5, rel=1e-3)
    assert weak.network.bandwidth == pytest.approx(1e9, rel=1e-3)
    assert weak.covered == pytest.approx(covered, rel=1e-3)
    assert weak.error < 1e-3
    ranks = np.array(weak.ranks, np.float64)
    one = float(truth.seconds(np.float64(1), np.float64(64)))  # type: ignore[arg-type]
    expected = one / truth.seconds(ranks, np.full(len(ranks), 64.0))
    np.testing.assert_allclose(weak.efficiency, expected, rtol=1e-3)
    assert weak.falls_at == next(int(count) for count, value in zip(ranks, expected, strict=True) if value < 0.8)
    # No more ranks than samples in a step.
    assert strong.ranks[-1] == 1024
    ranks = np.array(strong.ranks, np.float64)
    alone = float(truth.seconds(np.float64(1), np.float64(1024)))  # type: ignore[arg-type]
    np.testing.assert_allclose(strong.efficiency, alone / ranks / truth.seconds(ranks, 1024 / ranks), rtol=1e-3)
    assert all(low <= high for low, high in zip(strong.low, strong.high, strict=True))


def test_without_several_ranks_or_timings_there_is_no_model() -> None:
    truth = StepModel(RING, fixed=0.02, per_sample=0.002, covered=0.3, exchange=exchange())
    results = [measured(truth, "weak", ranks, 64 * ranks) for ranks in (1, 2)]
    assert extrapolate(results, []) == []
    assert extrapolate(results[:1], [exchange()]) == []
    assert extrapolate(results[1:], [exchange()]) == []
