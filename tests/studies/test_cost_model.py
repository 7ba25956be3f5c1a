"""The cost of an all-reduce: values worked by hand, and latency and bandwidth found again in timings made with them."""

from __future__ import annotations

import numpy as np
import pytest

from konvoi.parallel.exchange import Exchange, Timing
from konvoi.studies.cost_model import ALGORITHMS, Algorithm, Network, fit, resample, terms

SIZES = tuple(1024 * 4**power for power in range(9))


def network(algorithm: Algorithm, latency: float, bandwidth: float) -> Network:
    return Network(algorithm=algorithm, latency=latency, seconds_a_byte=1 / bandwidth, error=0.0)


def exchange(ranks: int, timings: list[Timing]) -> Exchange:
    return Exchange(ranks=ranks, backend="gloo", gradient_bytes=4000, buckets=1, buffer_bytes=0, timings=tuple(timings))


def synthetic(known: Network, ranks: int, noise: float = 0.0, seed: int = 0) -> Exchange:
    stream = np.random.default_rng((seed, ranks))
    timings = [
        Timing(size=size, seconds=tuple(float(known.seconds(ranks, size)) * stream.lognormal(0, noise, 12)))
        for size in SIZES
    ]
    return exchange(ranks, timings)


def test_the_ring_by_hand() -> None:
    # Four ranks, 1,000 bytes: 3 steps there and 3 back, each of a quarter of the message.
    latencies, byte_times = terms("ring", 4, 1000)
    assert (float(latencies), float(byte_times)) == (6, 1500)
    # 6 × 10 µs + 1500 B / 1 MB/s = 60 µs + 1500 µs
    assert float(network("ring", 1e-5, 1e6).seconds(4, 1000)) == pytest.approx(1560e-6)
    # In three messages, the latency is paid three times and the bytes once.
    assert float(network("ring", 1e-5, 1e6).seconds(4, 1000, messages=3)) == pytest.approx(1680e-6)


def test_the_tree_by_hand() -> None:
    # Eight ranks: 3 steps to the root and 3 from it, each of the whole message.
    latencies, byte_times = terms("tree", 8, 1000)
    assert (float(latencies), float(byte_times)) == (6, 6000)
    assert float(network("tree", 1e-5, 1e6).seconds(8, 1000)) == pytest.approx(6060e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_rank_alone_pays_nothing(algorithm: Algorithm) -> None:
    assert float(network(algorithm, 1e-5, 1e6).seconds(1, 1 << 20)) == 0


def test_with_many_ranks_the_ring_moves_twice_the_bytes_and_the_tree_takes_fewer_steps() -> None:
    ring, tree = (network(algorithm, 1e-6, 1e9) for algorithm in ALGORITHMS)
    assert float(ring.seconds(4096, 1 << 30)) == pytest.approx(2 * (1 << 30) / 1e9, rel=0.01)
    assert tree.seconds(4096, 64) < ring.seconds(4096, 64) / 300
    assert ring.seconds(4096, 1 << 30) < tree.seconds(4096, 1 << 30) / 10


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("ranks", [(2,), (2, 4, 16)])
def test_the_fit_finds_what_the_timings_were_made_with(algorithm: Algorithm, ranks: tuple[int, ...]) -> None:
    known = network(algorithm, 2.5e-5, 3.2e9)
    exact = fit(algorithm, [synthetic(known, count) for count in ranks])
    assert exact.latency == pytest.approx(known.latency, rel=1e-6)
    assert exact.bandwidth == pytest.approx(known.bandwidth, rel=1e-6)
    assert exact.error == pytest.approx(0, abs=1e-9)
    noisy = fit(algorithm, [synthetic(known, count, noise=0.1) for count in ranks])
    assert noisy.latency == pytest.approx(known.latency, rel=0.1)
    assert noisy.bandwidth == pytest.approx(known.bandwidth, rel=0.1)
    assert 0 < noisy.error < 0.1


def test_of_several_numbers_of_ranks_the_right_formula_fits_better() -> None:
    measured = [synthetic(network("ring", 2e-5, 1e9), count, noise=0.05) for count in (2, 8, 64)]
    assert fit("ring", measured).error < 0.05
    assert fit("tree", measured).error > 0.2


def test_the_bootstrap_holds_the_truth_about_as_often_as_it_says() -> None:
    known = network("ring", 2.5e-5, 3.2e9)
    held = 0
    for seed in range(40):
        measured = [synthetic(known, count, noise=0.2, seed=seed) for count in (2, 4)]
        stream = np.random.default_rng(seed)
        found = [fit("ring", resample(measured, stream)).latency for _ in range(60)]
        low, high = np.percentile(found, [2.5, 97.5])
        held += bool(low <= known.latency <= high)
    assert 30 <= held <= 40
