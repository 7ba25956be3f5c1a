"""The learning rate as a pure function of the optimiser step."""

from __future__ import annotations

import math

from konvoi.recipe import Recipe
from konvoi.recipe.schedule import ConstantSchedule, CosineSchedule, InverseTimeSchedule, OneCycleSchedule, StepSchedule


def peak_learning_rate(recipe: Recipe) -> float:
    """The optimiser's `lr`, in proportion to the batch where the recipe says for which batch it is meant.

    P. Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677, the linear scaling rule. The batch is that of
    the first epoch, over all ranks; so the rate does not depend on how many there are.
    """
    reference = recipe.optimiser.lr_reference_batch
    return recipe.optimiser.lr if reference is None else recipe.optimiser.lr * recipe.budget.batch / reference


def learning_rate(
    schedule: ConstantSchedule | StepSchedule | CosineSchedule | InverseTimeSchedule | OneCycleSchedule,
    peak: float,
    step: float,
    steps_per_epoch: int,
    epochs: int,
) -> float:
    """The learning rate of one optimiser step.

    Args:
        schedule: the recipe's `schedule` section.
        peak: the optimiser's `lr`.
        step: counted from 0 over all epochs; where epochs have different numbers of steps, in steps of the first.
        steps_per_epoch: steps of the first epoch.
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
        case InverseTimeSchedule():
            return peak / (1 + schedule.decay * step)
        case CosineSchedule():
            # Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
            travelled = (step - warmup) / max(1.0, total - warmup)
            return peak * (schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * travelled)))
