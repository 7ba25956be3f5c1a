"""What ranks share and what they do not: weights, buffers and averages are one; random numbers are each rank's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from processes import run_ranks
from torch import Tensor, nn
from trainings import NORMED, RECIPE, Job, Outcome, run_job

from konvoi.data.augment import Augmentation
from konvoi.experiment import make_batches, prepare
from konvoi.parallel.ranks import Ranks
from konvoi.randomness import seed_torch
from konvoi.recipe import parse_recipe
from konvoi.recipe.schema import AugmentSection

CASES = {
    "spoiled weights": Job((), Path("spoiled"), disturb=True),
    "local norm": Job((NORMED,), Path("norm")),
    "bfloat16 gradients": Job(("parallel.gradients=bfloat16",), Path("bfloat16")),
    "float16 gradients": Job(("parallel.gradients=float16",), Path("float16")),
    "local SGD": Job(("parallel.local_sgd={every: 12}", "budget.epochs=1"), Path("local")),
    "post-local SGD": Job(("parallel.local_sgd={first_step: 6, every: 4}",), Path("post-local")),
    "dropout": Job(("network.dropout=0.5",), Path("dropout")),
    "average": Job(("budget.ema=0.9", NORMED), Path("ema")),
}


def run_all(ranks: Ranks, folder: Path) -> dict[str, Outcome]:
    return {
        name: run_job(Job(job.overrides, folder / job.folder, disturb=job.disturb), ranks)
        for name, job in CASES.items()
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Outcome]]:
    return run_ranks(2, run_all, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_job(Job((), tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_end_with_the_same_bits(case: str, two: list[dict[str, Outcome]]) -> None:
    for name, value in two[0][case].weights.items():
        assert torch.equal(value, two[1][case].weights[name]), name


def test_the_first_ranks_weights_are_where_all_begin(two: list[dict[str, Outcome]], plain: Outcome) -> None:
    for rank in two:
        assert all(torch.equal(value, plain.first[name]) for name, value in rank["spoiled weights"].first.items())


def test_running_statistics_are_of_all_ranks(two: list[dict[str, Outcome]], tmp_path: Path) -> None:
    """The mean over images of each rank's share, averaged, is near that of the whole; one rank's alone is not equal."""
    whole = run_job(Job((NORMED,), tmp_path)).weights["norm1.running_mean"]
    found = two[0]["local norm"].weights["norm1.running_mean"]
    assert not torch.equal(found, whole)
    assert float((found - whole).abs().max()) < 0.2 * float(whole.abs().max())


@pytest.mark.parametrize(("case", "digits"), [("bfloat16 gradients", 8), ("float16 gradients", 11)])
def test_compressed_gradients_are_rounded_and_little_else(
    case: str, digits: int, two: list[dict[str, Outcome]], plain: Outcome
) -> None:
    moved = torch.cat([(plain.weights[name] - plain.first[name]).flatten() for name in plain.weights])
    apart = torch.cat([(plain.weights[name] - two[0][case].weights[name]).flatten() for name in plain.weights])
    assert 0 < float(apart.norm()) < 60 * 2.0**-digits * float(moved.norm())


def test_local_sgd_is_the_mean_of_trainings_apart(two: list[dict[str, Outcome]]) -> None:
    """After one period: the mean of what each rank reaches by itself, by a bare loop over its share of each batch."""
    recipe = parse_recipe(RECIPE, "small", CASES["local SGD"].overrides)
    apart = []
    for rank in range(2):
        material = prepare(recipe, None)
        network = material.network.train()
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        steps = make_batches(recipe, material, ranks=Ranks(rank, 2)).epoch(0)
        for (batch,), rate in zip(steps, two[0]["local SGD"].rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            (nn.functional.cross_entropy(network(batch.images), batch.labels) * 2 * batch.share).backward()
            optimiser.step()
        apart.append(network.state_dict())
    for name, found in two[0]["local SGD"].weights.items():
        torch.testing.assert_close(found, (apart[0][name] + apart[1][name]) / 2, rtol=1e-4, atol=2e-5)
        assert float((apart[0][name] - apart[1][name]).abs().max()) > 1e-3


def test_post_local_sgd_begins_together(two: list[dict[str, Outcome]], plain: Outcome) -> None:
    found = two[0]["post-local SGD"].records
    assert found[0].train_loss != pytest.approx(plain.records[0].train_loss, rel=1e-4)
    assert found[1].train_loss < found[0].train_loss


def draws(ranks: Ranks) -> tuple[Tensor, np.ndarray]:
    """What the loop's streams give this rank at a step, and the augmentation of the samples of its own."""
    seed_torch(7, "step", 3, *([ranks.rank] if ranks.rank else []))
    share = slice(50 * ranks.rank, 50 * (ranks.rank + 1))
    return torch.rand(100), Augmentation(AugmentSection(shift=1), 7).draws(0, 100)[share].numpy()


def test_no_two_ranks_draw_the_same_numbers() -> None:
    (dropout, augmentation), (other_dropout, other_augmentation) = run_ranks(2, draws)
    assert not torch.isin(dropout, other_dropout).any()
    assert not np.isin(augmentation, other_augmentation).any()


def test_dropout_differs_between_ranks(two: list[dict[str, Outcome]], tmp_path: Path) -> None:
    alone = run_job(Job(CASES["dropout"].overrides, tmp_path))
    assert not torch.equal(two[0]["dropout"].weights["conv1.weight"], alone.weights["conv1.weight"])
