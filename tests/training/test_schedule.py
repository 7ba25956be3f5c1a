import pytest

from konvoi.recipe.schedule import ConstantSchedule, CosineSchedule, InverseTimeSchedule, OneCycleSchedule, StepSchedule
from konvoi.training.schedule import learning_rate


def rates(schedule, steps_per_epoch: int = 10, epochs: int = 10, peak: float = 1.0) -> list[float]:
    return [learning_rate(schedule, peak, step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


def test_constant() -> None:
    assert rates(ConstantSchedule(kind="constant"), peak=0.3) == [0.3] * 100


def test_step_falls_by_its_factor_after_every_so_many_epochs() -> None:
    found = rates(StepSchedule(kind="step", every=4, factor=0.5))
    assert [found[0], found[39], found[40], found[79], found[80], found[99]] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_cosine_by_hand() -> None:
    found = rates(CosineSchedule(kind="cosine", final=0.1))
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.1 + 0.9 * 0.5)
    assert found[25] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + 2**-0.5))
    assert found[99] == pytest.approx(0.1, abs=3e-4)


def test_inverse_time_is_keras_decay_by_hand() -> None:
    found = rates(InverseTimeSchedule(kind="inverse-time", decay=0.25), peak=2.0)
    assert found[:5] == [2.0, 2.0 / 1.25, 2.0 / 1.5, 2.0 / 1.75, 1.0]
    assert found[99] == pytest.approx(2.0 / 25.75)


def test_warm_up_is_linear_and_reaches_the_peak_with_its_last_step() -> None:
    found = rates(CosineSchedule(kind="cosine", warmup_epochs=2))
    assert found[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert found[20] == 1.0
    assert found[60] == pytest.approx(0.5)


def test_one_cycle_rises_to_its_peak_and_falls_to_its_end() -> None:
    found = rates(OneCycleSchedule(kind="one-cycle", rise=0.2, initial=0.1, final=0.05))
    assert found[0] == pytest.approx(0.1 + 0.9 / 20)
    assert found[19] == 1.0
    assert max(found) == found[20] == 1.0
    assert found[60] == pytest.approx(0.05 + 0.95 * 0.5)
    assert found[99] == pytest.approx(0.05 + 0.95 / 80)


def test_a_rise_that_ends_between_steps_never_exceeds_the_peak() -> None:
    found = rates(OneCycleSchedule(kind="one-cycle", rise=0.33), steps_per_epoch=7, epochs=1)
    assert max(found) <= 1.0
    assert min(found) > 0
