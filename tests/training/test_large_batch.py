"""LARS and LAMB against their papers' formulas, written naively in NumPy float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from konvoi.training.checkpoint import optimiser_tensors, restore_optimiser
from konvoi.training.large_batch import Lamb, Lars

Array = NDArray[np.float64]
STEPS = 6


def starts() -> list[Array]:
    stream = np.random.default_rng(0)
    return [stream.normal(size=(4, 3)), np.zeros((2, 5)), stream.normal(size=4)]


def gradient(step: int, number: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(100 * step + number).normal(size=shape) * 10.0**-number


def trained(build: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> list[Array]:
    parameters = [torch.nn.Parameter(torch.from_numpy(start)) for start in starts()]
    optimiser = build(parameters)
    for step in range(STEPS):
        for number, parameter in enumerate(parameters):
            parameter.grad = torch.from_numpy(gradient(step, number, tuple(parameter.shape)))
        optimiser.step()
    return [parameter.detach().numpy() for parameter in parameters]


def by_ratio(above: float, below: float) -> float:
    return above / below if above > 0 and below > 0 else 1.0


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.02])
def test_lars(decay: float, nesterov: bool) -> None:
    expected = starts()
    velocity = [np.zeros_like(weights) for weights in expected]
    for step in range(STEPS):
        for number, weights in enumerate(expected):
            slope = gradient(step, number, weights.shape)
            rate = 1.0
            if weights.ndim > 1:
                size = np.sqrt((weights**2).sum())
                rate = by_ratio(0.01 * size, np.sqrt((slope**2).sum()) + decay * size)
            update = 0.3 * rate * (slope + decay * weights)
            velocity[number] = 0.9 * velocity[number] + update
            expected[number] = weights - (0.9 * velocity[number] + update if nesterov else velocity[number])
    found = trained(lambda parameters: Lars(parameters, 0.3, 0.9, decay, 0.01, nesterov))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb(decay: float) -> None:
    expected = starts()
    first = [np.zeros_like(weights) for weights in expected]
    second = [np.zeros_like(weights) for weights in expected]
    for step in range(STEPS):
        for number, weights in enumerate(expected):
            slope = gradient(step, number, weights.shape)
            first[number] = 0.8 * first[number] + 0.2 * slope
            second[number] = 0.95 * second[number] + 0.05 * slope**2
            mean = first[number] / (1 - 0.8 ** (step + 1))
            spread = np.sqrt(second[number] / (1 - 0.95 ** (step + 1)))
            update = mean / (spread + 1e-6) + decay * weights
            if weights.ndim > 1:
                update = by_ratio(np.sqrt((weights**2).sum()), np.sqrt((update**2).sum())) * update
            expected[number] = weights - 0.01 * update
    found = trained(lambda parameters: Lamb(parameters, 0.01, (0.8, 0.95), 1e-6, decay))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("kind", [Lars, Lamb])
def test_the_length_of_a_gradient_does_not_change_the_first_step(kind: type[torch.optim.Optimizer]) -> None:
    """That is what both are for: the step is as long as the weights say."""
    steps = []
    for scale in (1.0, 1000.0):
        parameter = torch.nn.Parameter(torch.arange(1.0, 7.0).view(2, 3))
        optimiser = kind([parameter], lr=0.1)  # type: ignore[call-arg]
        parameter.grad = scale * torch.ones(2, 3)
        optimiser.step()
        steps.append(parameter.detach().clone())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Lars, Lamb])
def test_a_checkpoint_goes_on_bit_for_bit(kind: type[torch.optim.Optimizer]) -> None:
    def step(optimiser: torch.optim.Optimizer, parameter: torch.nn.Parameter, number: int) -> None:
        parameter.grad = torch.from_numpy(gradient(number, 0, (3, 2))).float()
        optimiser.step()

    parameter = torch.nn.Parameter(torch.from_numpy(gradient(9, 0, (3, 2))).float())
    optimiser = kind([parameter], lr=0.1)  # type: ignore[call-arg]
    for number in range(3):
        step(optimiser, parameter, number)
    copied = torch.nn.Parameter(parameter.detach().clone())
    resumed = kind([copied], lr=0.1)  # type: ignore[call-arg]
    restore_optimiser(resumed, {name: value.clone() for name, value in optimiser_tensors(optimiser).items()})
    for number in range(3, 6):
        step(optimiser, parameter, number)
        step(resumed, copied, number)
    assert torch.equal(parameter, copied)
