"""Several ranks train the network that one rank would: real processes, over Gloo, in float32.

The tolerance is that of float32 sums in another order: over 24 steps of training, weights of order 0.1 may differ by
some 1e-6. What is a matter of counting, order or arithmetic in float64 must be equal.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from processes import run_ranks
from trainings import NORMED, Job, Outcome, run_job

from konvoi.parallel.ranks import Ranks

PLAIN = ()
CASES = {
    "plain": PLAIN,
    "accumulated": ("budget.accumulate=3",),
    "clipped, adamw": ("optim={kind: adamw, lr: 0.01, clip_norm: 0.5}",),
    "norm synchronised": (NORMED, "parallel.batch_norm=synchronised"),
    "uneven": ("budget.batch=97",),
    "small buckets": ("parallel.bucket=0.002",),
    "growing batch": ("budget.batch_schedule=[{epoch: 1, batch: 250}]", "optim.lr_reference_batch=200"),
}
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}


def run_all(ranks: Ranks, jobs: list[Job]) -> list[Outcome]:
    return [run_job(job, ranks) for job in jobs]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("alone")
    found = {name: run_job(Job(overrides, folder / name)) for name, overrides in CASES.items()}
    torch.set_num_threads(threads)
    return found


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """Each case on so many ranks: what every rank found."""
    folder = tmp_path_factory.mktemp("together")
    jobs = [Job(overrides, folder / name) for name, overrides in CASES.items()]
    by_rank = run_ranks(request.param, run_all, jobs)
    return {name: [outcomes[number] for outcomes in by_rank] for number, name in enumerate(CASES)}


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_one_rank(
    case: str, alone: dict[str, Outcome], together: dict[str, list[Outcome]]
) -> None:
    moved = 0.0
    for name, expected in alone[case].weights.items():
        torch.testing.assert_close(together[case][0].weights[name], expected, **TOLERANCE, msg=lambda m, n=name: n + m)
        moved = max(moved, float((expected - alone[case].first[name]).abs().max()))
    assert moved > 0.05, "the training changed nothing, so that the comparison says nothing"


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_end_with_the_same_bits(case: str, together: dict[str, list[Outcome]]) -> None:
    first, *others = together[case]
    for other in others:
        assert all(torch.equal(value, other.weights[name]) for name, value in first.weights.items())
        assert first.records[-1].validation_loss == other.records[-1].validation_loss


@pytest.mark.parametrize("case", CASES)
def test_every_sample_is_seen_once_and_in_the_steps_of_one_rank(
    case: str, alone: dict[str, Outcome], together: dict[str, list[Outcome]]
) -> None:
    outcomes = together[case]
    steps = [[sample for part in parts for sample in part] for parts in zip(*(o.seen for o in outcomes), strict=True)]
    assert [sorted(step) for step in steps] == [sorted(step) for step in alone[case].seen]
    sizes = [[len(part) for part in parts] for parts in zip(*(o.seen for o in outcomes), strict=True)]
    micro_batches = 3 if case == "accumulated" else 1
    assert all(max(of_step) - min(of_step) <= micro_batches for of_step in sizes)
    samples = sum(len(step) for step in alone["plain"].seen) // 2
    half = len(steps) // 2 if case != "growing batch" else 12
    assert sorted(sample for step in steps[:half] for sample in step) == sorted(
        sample for step in steps[half:] for sample in step
    )
    assert len({sample for step in steps for sample in step}) == samples == 1151


@pytest.mark.parametrize("case", CASES)
def test_the_learning_rate_does_not_depend_on_the_number_of_ranks(
    case: str, alone: dict[str, Outcome], together: dict[str, list[Outcome]]
) -> None:
    assert all(outcome.rates == alone[case].rates for outcome in together[case])


@pytest.mark.parametrize("case", CASES)
def test_the_history_is_that_of_one_rank(
    case: str, alone: dict[str, Outcome], together: dict[str, list[Outcome]]
) -> None:
    for expected, found in zip(alone[case].records, together[case][0].records, strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=2e-5)
        assert found.train_accuracy == pytest.approx(expected.train_accuracy, abs=2e-3)
        assert found.validation_loss == pytest.approx(expected.validation_loss, rel=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_every_rank_has_a_random_stream_of_its_own_at_every_step(
    case: str, alone: dict[str, Outcome], together: dict[str, list[Outcome]]
) -> None:
    streams = [outcome.streams[:: 3 if case == "accumulated" else 1] for outcome in together[case]]
    steps = len(together[case][0].rates)
    assert all(len(stream) == steps for stream in streams)
    assert len({state for stream in streams for state in stream}) == steps * len(streams)
    assert streams[0] == alone[case].streams[:: 3 if case == "accumulated" else 1]


def test_a_growing_batch_takes_fewer_steps(alone: dict[str, Outcome]) -> None:
    sizes = [len(step) for step in alone["growing batch"].seen]
    assert len(sizes) == 12 + 5
    assert max(sizes[:12]) <= 100 < min(sizes[12:])
    # The linear scaling rule counts the first batch: 0.1 × 100 / 200, after a warm-up of three steps.
    assert alone["growing batch"].rates[2] == pytest.approx(0.05)


def run_job_logits(outcome: Outcome, ranks: Ranks) -> np.ndarray:
    from trainings import RECIPE

    from konvoi.evaluation.inference import predict_logits
    from konvoi.experiment import prepare
    from konvoi.recipe import parse_recipe

    material = prepare(parse_recipe(RECIPE, "small"), None)
    material.network.load_state_dict(outcome.weights)
    return predict_logits(
        material.network, material.dataset.images, material.bands, material.split.validation, batch_size=20, ranks=ranks
    )


def both_logits(ranks: Ranks, job: Job) -> tuple[np.ndarray, np.ndarray]:
    outcome = run_job(job, ranks)
    return run_job_logits(outcome, ranks), run_job_logits(outcome, Ranks())


@pytest.mark.parametrize("ranks", [2, 3])
def test_scores_of_ranks_are_those_of_one_rank_bit_for_bit(ranks: int, tmp_path: Path) -> None:
    answers = run_ranks(ranks, both_logits, Job(["budget.epochs=1"], tmp_path))
    for divided, whole in answers:
        assert divided.shape == (287, 10)
        np.testing.assert_array_equal(divided, whole)
