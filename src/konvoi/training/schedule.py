"""The learning rate as a pure function of the optimiser step."""

from __future__ import annotations

import math

from konvoi.recipe.schema import ConstantSchedule, CosineSchedule, OneCycleSchedule, StepSchedule


def learning_rate(
    schedule: ConstantSchedule | StepSchedule | CosineSchedule | OneCycleSchedule,
    peak: float,
    step: int,
    steps_per_epoch: int,
    epochs: int,
) -> float:
    """The learning rate of one optimiser step.

    Args:
        schedule: the recipe's `schedule` section.
        peak: the optimiser's `lr`.
        step: counted from 0 over all epochs.
        steps_per_epoch: steps of one epoch.
        epochs: of the whole training.
    """
    total = steps_per_epoch * epochs
    if isinstance(schedule, OneCycleSchedule):
        # L. N. Smith, "Super-convergence", arXiv:1708.07120: up and down once, here with straight lines.
        top = schedule.rise * total
        if step < top:
            return peak * (schedule.initial + (1 - schedule.initial) * (step + 1) / math.ceil(top))
        return peak * (schedule.final + (1 - schedule.final) * (total - step) / (total - top))
    warmup = schedule.warmup_steps or schedule.warmup_epochs * steps_per_epoch
    if step < warmup:
        return peak * (step + 1) / math.ceil(warmup)
    match schedule:
        case ConstantSchedule():
            return peak
        case StepSchedule():
            return peak * schedule.factor ** int(step / steps_per_epoch // schedule.every)
        case CosineSchedule():
            # Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
            travelled = (step - warmup) / max(1.0, total - warmup)
            return peak * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * travelled)))
