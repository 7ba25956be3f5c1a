"""Losses against values worked by hand, formulas in float64, finite differences, and what must hold at the ends."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from konvoi.recipe.loss import AsymmetricLoss, BinaryCrossEntropy, CrossEntropy, FocalLoss, MeanSquaredError
from konvoi.training.losses import Loss, asymmetric_loss, binary_cross_entropy, build_loss, focal_loss, positive_weights

CPU = torch.device("cpu")
NO_LABELS = np.zeros((0, 3), np.uint8)

SEVERAL_LABELS = [
    BinaryCrossEntropy(kind="bce"),
    BinaryCrossEntropy(kind="bce", positive_weight="balanced", largest_weight=5.0),
    FocalLoss(kind="focal"),
    FocalLoss(kind="focal", gamma=0.5, alpha=0.3),
    FocalLoss(kind="focal", gamma=0.0, alpha=0.25),
    AsymmetricLoss(kind="asymmetric"),
    AsymmetricLoss(kind="asymmetric", gamma_positive=1.0, gamma_negative=2.5, clip=0.0),
    AsymmetricLoss(kind="asymmetric", gamma_positive=0.5, gamma_negative=0.5, clip=0.1),
    AsymmetricLoss(kind="asymmetric", gamma_positive=0.5, gamma_negative=0.5, clip=0.0),
    AsymmetricLoss(kind="asymmetric", gamma_positive=0.0, gamma_negative=0.0, clip=0.05),
]


def drawn(samples: int = 40, labels: int = 3, seed: int = 0, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits `(N, K)` float64 and labels `(N, K)` uint8 of unequal frequency."""
    stream = np.random.default_rng(seed)
    truth = stream.random((samples, labels)) < np.linspace(0.05, 0.6, labels)
    truth[0] = True
    return torch.from_numpy(stream.normal(size=(samples, labels)) * spread), torch.from_numpy(truth.astype(np.uint8))


def in_float64(
    setting: BinaryCrossEntropy | FocalLoss | AsymmetricLoss, logits: NDArray[np.float64], truth: NDArray[np.uint8]
) -> float:
    """The formulas as the papers print them, on probabilities."""
    chance = 1 / (1 + np.exp(-logits))
    if isinstance(setting, BinaryCrossEntropy):
        weights = np.ones(truth.shape[1])
        if setting.positive_weight == "balanced":
            for k in range(truth.shape[1]):
                ratio = (truth[:, k] == 0).sum() / (truth[:, k] == 1).sum()
                weights[k] = min(max(ratio, 1 / setting.largest_weight), setting.largest_weight)
        return float(-(weights * truth * np.log(chance) + (1 - truth) * np.log(1 - chance)).mean())
    if isinstance(setting, FocalLoss):
        right = np.where(truth == 1, chance, 1 - chance)
        weight = 1.0 if setting.alpha is None else np.where(truth == 1, setting.alpha, 1 - setting.alpha)
        return float((-weight * (1 - right) ** setting.gamma * np.log(right)).mean())
    shifted = np.maximum(chance - setting.clip, 0)
    of_positive = (1 - chance) ** setting.gamma_positive * np.log(chance)
    of_negative = shifted**setting.gamma_negative * np.log(1 - shifted)
    return float(-(truth * of_positive + (1 - truth) * of_negative).mean())


def test_by_hand() -> None:
    # p = 1/2 for the positive, 3/4 for the negative.
    logits, labels = torch.tensor([[0.0, np.log(3)]], dtype=torch.float64), torch.tensor([[1, 0]])
    ln2, ln4 = np.log(2), np.log(4)
    assert binary_cross_entropy(logits, labels).item() == pytest.approx((ln2 + ln4) / 2)
    weighted = binary_cross_entropy(logits, labels, torch.tensor([3.0, 7.0], dtype=torch.float64))
    assert weighted.item() == pytest.approx((3 * ln2 + ln4) / 2)
    focal = focal_loss(logits, labels, gamma=2, alpha=0.25)
    assert focal.item() == pytest.approx((0.25 * 0.5**2 * ln2 + 0.75 * 0.75**2 * ln4) / 2)
    asymmetric = asymmetric_loss(logits, labels, gamma_positive=1, gamma_negative=2, clip=0.25)
    assert asymmetric.item() == pytest.approx((0.5 * ln2 + 0.5**2 * ln2) / 2)


@pytest.mark.parametrize("setting", SEVERAL_LABELS, ids=repr)
def test_against_the_formulas_in_float64(setting: BinaryCrossEntropy | FocalLoss | AsymmetricLoss) -> None:
    logits, labels = drawn()
    expected = in_float64(setting, logits.numpy(), labels.numpy())
    loss = build_loss(setting, labels.numpy(), CPU)
    assert loss(logits, labels).item() == pytest.approx(expected, rel=1e-6)
    in_float32 = loss(logits.float(), labels)
    assert (in_float32.dtype, in_float32.shape) == (torch.float32, ())
    assert in_float32.item() == pytest.approx(expected, rel=1e-5)
    for kind in (torch.bool, torch.int64, torch.float32):
        assert loss(logits.float(), labels.to(kind)) == in_float32


@pytest.mark.parametrize("setting", SEVERAL_LABELS, ids=repr)
def test_gradients_against_finite_differences(setting: BinaryCrossEntropy | FocalLoss | AsymmetricLoss) -> None:
    logits, labels = drawn(samples=6, seed=1)
    loss = build_loss(setting, labels.numpy(), CPU)
    assert torch.autograd.gradcheck(lambda values: loss(values, labels), (logits.requires_grad_(),))


@pytest.mark.parametrize("setting", SEVERAL_LABELS, ids=repr)
@pytest.mark.parametrize("size", [20.0, 90.0, 200.0, 1e4, 1e30])
def test_losses_and_gradients_stay_finite(
    setting: BinaryCrossEntropy | FocalLoss | AsymmetricLoss, size: float
) -> None:
    logits = torch.tensor([[size, -size, 0.0], [-size, size, 0.0]], requires_grad=True)
    labels = torch.tensor([[1, 0, 1], [1, 0, 0]], dtype=torch.uint8)
    loss = build_loss(setting, labels.numpy(), CPU)(logits, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    # Right decisions cost nothing, and nothing pulls at them.
    assert logits.grad[0, :2].abs().max() < 1e-5


def test_a_negative_whose_probability_is_the_clip_has_a_gradient() -> None:
    logits = torch.zeros(1, 1, requires_grad=True)
    asymmetric_loss(logits, torch.zeros(1, 1), gamma_positive=0.0, gamma_negative=0.5, clip=0.5).backward()
    assert logits.grad.item() == 0


def test_a_wrong_decision_costs_its_logit_however_large() -> None:
    for size in (50.0, 1e4):
        wrong = torch.tensor([[-size, size]], requires_grad=True)
        for loss in (
            binary_cross_entropy(wrong, torch.tensor([[1, 0]])),
            focal_loss(wrong, torch.tensor([[1, 0]]), gamma=2.0, alpha=None),
            asymmetric_loss(wrong, torch.tensor([[1, 0]]), gamma_positive=1.0, gamma_negative=4.0, clip=0.0),
        ):
            assert loss.item() == pytest.approx(size)
            (gradient,) = torch.autograd.grad(loss, wrong)
            torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.5]]))


def test_the_gradient_of_asymmetric_negatives_is_that_of_the_papers_analysis() -> None:
    """dL/dz = p_m^γ (1 / (1 − p_m) − γ log(1 − p_m) / p_m) p (1 − p), and 0 up to p = clip."""
    logits = torch.linspace(-6, 6, 200, dtype=torch.float64).reshape(-1, 1).requires_grad_()
    asymmetric_loss(logits, torch.zeros(200, 1), gamma_positive=0, gamma_negative=4, clip=0.05).backward()
    chance = torch.sigmoid(logits.detach())
    shifted = chance - 0.05
    slope = shifted**4 * (1 / (1 - shifted) - 4 * torch.log(1 - shifted) / shifted) * chance * (1 - chance)
    torch.testing.assert_close(logits.grad * 200, torch.where(shifted > 0, slope, 0.0))
    assert (logits.grad[shifted <= 0] == 0).all()
    assert (shifted <= 0).any()


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), labels=st.integers(1, 6), spread=st.floats(0.1, 30))
def test_without_focusing_all_are_the_binary_cross_entropy(seed: int, labels: int, spread: float) -> None:
    logits, truth = drawn(9, labels, seed, spread)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth.double())
    losses: list[Callable[[Tensor, Tensor], Tensor]] = [
        build_loss(setting, NO_LABELS, CPU)
        for setting in (
            BinaryCrossEntropy(kind="bce"),
            FocalLoss(kind="focal", gamma=0.0),
            AsymmetricLoss(kind="asymmetric", gamma_negative=0.0, clip=0.0),
        )
    ]
    for loss in losses:
        torch.testing.assert_close(loss(logits, truth), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_cross_entropy_is_pytorchs_bit_for_bit(smoothing: float) -> None:
    logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    setting = CrossEntropy(kind="cross-entropy", label_smoothing=smoothing)
    loss: Loss = build_loss(setting, labels.numpy(), CPU)
    of_konvoi, of_torch = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    found = loss(of_konvoi, labels)
    expected = torch.nn.functional.cross_entropy(of_torch, labels, label_smoothing=smoothing)
    assert torch.equal(found, expected)
    found.backward()
    expected.backward()
    assert torch.equal(of_konvoi.grad, of_torch.grad)


def test_positive_weights_by_hand() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0]], np.uint8)
    # 3 negatives to 1 positive; none to 4, which the bound keeps from 0; no positive; 2 to 2.
    assert positive_weights(labels, 20.0).tolist() == [3.0, 1 / 20, 1.0, 1.0]
    assert positive_weights(labels, 2.0).tolist() == [2.0, 0.5, 1.0, 1.0]


def test_balanced_weights_let_positives_and_negatives_pull_equally() -> None:
    """Where nothing has been learned (p = 1/2), the sums of both gradients are opposite for every label."""
    _, labels = drawn(500, 5, seed=3)
    setting = BinaryCrossEntropy(kind="bce", positive_weight="balanced", largest_weight=1000.0)
    logits = torch.zeros(500, 5, requires_grad=True)
    build_loss(setting, labels.numpy(), CPU)(logits, labels).backward()
    torch.testing.assert_close(logits.grad.sum(dim=0), torch.zeros(5), atol=1e-6, rtol=0)
    assert logits.grad.abs().min() > 0


def test_mean_squared_error_by_hand() -> None:
    """Softmax (1/2, 1/4, 1/4) against (1, 0, 0), and (1/3, 1/3, 1/3) against (0, 0, 1): mean over 2 × 3 squares."""
    loss = build_loss(MeanSquaredError(kind="mse"), np.zeros(0, np.int64), CPU)
    logits = torch.tensor([[np.log(2.0), 0.0, 0.0], [5.0, 5.0, 5.0]], dtype=torch.float64, requires_grad=True)
    found = loss(logits, torch.tensor([0, 2]))
    assert found.item() == pytest.approx((1 / 4 + 1 / 16 + 1 / 16 + 1 / 9 + 1 / 9 + 4 / 9) / 6)
    assert torch.autograd.gradcheck(lambda values: loss(values, torch.tensor([0, 2])), (logits,))
