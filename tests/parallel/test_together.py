"""What ranks share and what they do not: weights, buffers and averages are one; random numbers are each rank's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import run_ranks
from torch import Tensor, nn
from trainings import NORMED, RECIPE, Job, Outcome, run_job

from konvoi.data.augment import Augmentation
from konvoi.experiment import make_batches, prepare
from konvoi.parallel.ranks import Ranks
from konvoi.recipe import parse_recipe
from konvoi.recipe.input import AugmentSection

CASES = {
    "spoiled weights": Job((), Path("spoiled"), disturb=True),
    "local norm": Job((NORMED,), Path("norm")),
    "bfloat16 gradients": Job(("parallel.gradients=bfloat16",), Path("bfloat16")),
    "float16 gradients": Job(("parallel.gradients=float16",), Path("float16")),
    "local SGD": Job(("parallel.local_sgd={every: 12}", "budget.epochs=1"), Path("local")),
    "post-local SGD": Job(("parallel.local_sgd={first_step: 6, every: 4}",), Path("post-local")),
    "dropout": Job(("network.dropout=0.5",), Path("dropout")),
    "one step, local norm": Job((NORMED, "budget.epochs=1", "budget.batch=1151"), Path("one")),
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


def test_running_statistics_are_those_of_both_ranks_averaged(two: list[dict[str, Outcome]]) -> None:
    """After one step: 0.9 × the start (0 and 1) + 0.1 × the mean of what each rank's share gives by itself."""
    case = "one step, local norm"
    recipe = parse_recipe(RECIPE, "small", CASES[case].overrides)
    material = prepare(recipe, None)
    layers = list(material.network.named_children())
    before_norm = nn.Sequential(*(layer for _, layer in layers[: [name for name, _ in layers].index("norm1")]))
    means, variances = [], []
    for rank in range(2):
        ((batch,),) = make_batches(recipe, material, ranks=Ranks(rank, 2)).epoch(0)
        with torch.no_grad():
            activations = before_norm(batch.images)
        means.append(activations.mean((0, 2, 3)))
        variances.append(activations.var((0, 2, 3)))
    found = two[0][case].weights
    torch.testing.assert_close(found["norm1.running_mean"], 0.1 * (means[0] + means[1]) / 2)
    torch.testing.assert_close(found["norm1.running_var"], 0.9 + 0.1 * (variances[0] + variances[1]) / 2)
    assert float((means[0] - means[1]).abs().max()) > 1e-3


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


def test_post_local_sgd_begins_together_and_is_then_the_mean_of_trainings_apart(two: list[dict[str, Outcome]]) -> None:
    """By a bare loop: six steps on the whole batch; then each on its share, averaged after steps 8, 12, …, 24."""
    recipe = parse_recipe(RECIPE, "small", CASES["post-local SGD"].overrides)
    sides = []
    for _ in range(2):
        material = prepare(recipe, None)
        network = material.network.train()
        sides.append((network, torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)))
    of_rank = [make_batches(recipe, material, ranks=Ranks(rank, 2)) for rank in range(2)]
    steps = [pair for epoch in range(2) for pair in zip(*(own.epoch(epoch) for own in of_rank), strict=True)]
    for number, (pair, rate) in enumerate(zip(steps, two[0]["post-local SGD"].rates, strict=True), 1):
        together = number <= 6
        for rank, (network, optimiser) in enumerate(sides):
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad()
            for (batch,) in pair if together else pair[rank : rank + 1]:
                share = batch.share if together else 2 * batch.share
                (nn.functional.cross_entropy(network(batch.images), batch.labels) * share).backward()
            optimiser.step()
        if not together and number % 4 == 0:
            average(*sides)
    for name, found in two[0]["post-local SGD"].weights.items():
        torch.testing.assert_close(found, sides[0][0].state_dict()[name], rtol=1e-4, atol=2e-5)


def average(*sides: tuple[nn.Module, torch.optim.Optimizer]) -> None:
    """Weights and momentum of both, in place."""
    (one, its), (other, others) = sides
    with torch.no_grad():
        for own, second in zip(one.parameters(), other.parameters(), strict=True):
            pairs = [(own, second), (its.state[own]["momentum_buffer"], others.state[second]["momentum_buffer"])]
            for left, right in pairs:
                mean = (left + right) / 2
                left.copy_(mean)
                right.copy_(mean)


WARPED = "input.augment={shift: 1, rotate: 10, elastic: 1}"


def inputs(ranks: Ranks) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The images and labels of every step of two epochs, as this rank gets them."""
    recipe = parse_recipe(RECIPE, "small", [WARPED])
    batches = make_batches(recipe, prepare(recipe, None), ranks=ranks)
    steps = [step for epoch in range(2) for step in batches.epoch(epoch)]
    return [[batch.images for batch in step] for step in steps], [[batch.labels for batch in step] for step in steps]


def test_a_sample_is_changed_alike_whichever_rank_sees_it() -> None:
    """So no two ranks draw the same numbers: their samples lie at other positions, each with draws of its own."""
    images, labels = inputs(Ranks())
    of_ranks = [inputs(Ranks(rank, 3)) for rank in range(3)]
    for step in range(len(images)):
        torch.testing.assert_close(torch.cat([part[0][step][0] for part in of_ranks]), images[step][0], rtol=0, atol=0)
        assert torch.equal(torch.cat([part[1][step][0] for part in of_ranks]), labels[step][0])
    draws = Augmentation(AugmentSection(shift=1), 7).draws(0, 1151)
    assert len(torch.unique(draws, dim=0)) == 1151


def test_dropout_differs_between_ranks(two: list[dict[str, Outcome]], tmp_path: Path) -> None:
    alone = run_job(Job(CASES["dropout"].overrides, tmp_path))
    assert not torch.equal(two[0]["dropout"].weights["conv1.weight"], alone.weights["conv1.weight"])
