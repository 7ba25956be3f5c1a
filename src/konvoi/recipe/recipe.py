"""One experiment, written down: a recipe of sections, each in the file of its noun, and what must fit between them.

Only the shape lives here; reading, overriding and writing recipes is in `recipe.files`. Imports no torch, so that a
recipe can be checked on a machine, or in a command, that never trains.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.errors import RecipeError
from konvoi.recipe.budget import BudgetSection
from konvoi.recipe.compute import ComputeSection, ParallelSection
from konvoi.recipe.convolutional_svm import LinearSvms, SvmNetwork
from konvoi.recipe.input import AugmentSection, InputSection
from konvoi.recipe.loss import CrossEntropy, LossSection
from konvoi.recipe.network import NetworkSection, Pretrained
from konvoi.recipe.optimiser import Optimiser, OptimSection
from konvoi.recipe.schedule import ConstantSchedule, ScheduleSection
from konvoi.recipe.section import Section
from konvoi.recipe.source import SourceSection
from konvoi.recipe.split import SplitSection


class Pretraining(Section):
    """A first training, on this or another source, whose network is where the recipe's own training starts.

    Sections that are left out are those of the recipe itself.
    """

    source: SourceSection | None = None
    split: SplitSection | None = None
    input: InputSection | None = None
    pretrained: Pretrained | None = None
    loss: LossSection | None = None
    optim: OptimSection | None = None
    schedule: ScheduleSection | None = None
    budget: BudgetSection | None = None


class Recipe(Section):
    """One experiment, written down."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    about: str = Field(default="", description="one line: what this is and where it comes from")
    source: SourceSection
    split: SplitSection = SplitSection()
    input: InputSection = InputSection()
    network: NetworkSection
    pretrained: Pretrained | None = None
    loss: LossSection = CrossEntropy(kind="cross-entropy")
    optim: OptimSection
    schedule: ScheduleSection = ConstantSchedule(kind="constant")
    budget: BudgetSection = BudgetSection()
    compute: ComputeSection = ComputeSection()
    parallel: ParallelSection = ParallelSection()
    pretraining: Pretraining | None = None
    baselines: tuple[Literal["rbf-svm", "mlp"], ...] = Field(
        default=("rbf-svm", "mlp"), description="of a cube: what its test scores are shown against; [] for nothing"
    )
    seed: int = 0

    @property
    def optimiser(self) -> Optimiser:
        """The `optim` section of a recipe that is trained by gradient steps.

        Raises:
            RecipeError: the network is fitted forward, without any.
        """
        if isinstance(self.optim, LinearSvms):
            raise RecipeError(
                f"{self.name} is fitted forward by linear support vector machines: it has no optimiser, no learning "
                "rate and no steps. Use a recipe that is trained by gradient steps."
            )
        return self.optim

    @model_validator(mode="after")
    def _fitted_forward_or_trained(self) -> Self:
        if isinstance(self.network, SvmNetwork) != isinstance(self.optim, LinearSvms):
            raise ValueError(
                f"network.kind is {self.network.kind} and optim.kind {self.optim.kind}; a network of kind svmnet is "
                "fitted by linear-svms, and no other network is"
            )
        if isinstance(self.network, SvmNetwork):
            unused = [name for name, idle in _of_gradient_steps(self).items() if not idle]
            if unused:
                raise ValueError(
                    f"{', '.join(unused)}: of no meaning for a network that is fitted forward, without gradient steps. "
                    "Leave them out"
                )
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.pretrained is not None and self.pretraining is not None:
            raise ValueError(
                "pretrained and pretraining are both given; weights that the pretraining itself starts from stand in "
                "pretraining.pretrained"
            )
        if self.input.normalise == "weights" and self.pretrained is None and self.pretraining is None:
            raise ValueError("input.normalise is weights, and the recipe names no pretrained weights")
        return self

    @model_validator(mode="after")
    def _windows_are_turned_and_not_warped(self) -> Self:
        augment = self.input.augment.model_copy(update={"flip": False, "symmetries": False})
        if self.source.kind == "cube" and augment != AugmentSection():
            raise ValueError(
                "input.augment warps, and a window's label is that of its centre pixel, whose spectrum "
                "a warp would mix with others. Of windows, use symmetries or flip"
            )
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.parallel.local_sgd is not None and self.budget.ema is not None:
            raise ValueError(
                "parallel.local_sgd and budget.ema are both given; while ranks go their own ways, there is no one "
                "network to average over time. Leave one out"
            )
        return self

    @model_validator(mode="after")
    def _batches_grow_in_order(self) -> Self:
        epochs = [change.epoch for change in self.budget.batch_schedule]
        if epochs != sorted(set(epochs)) or any(epoch >= self.budget.epochs for epoch in epochs):
            raise ValueError(
                f"budget.batch_schedule changes at epochs {epochs}; they must rise and lie below budget.epochs "
                f"({self.budget.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _sizes_change_within_the_training(self) -> Self:
        late = [change.epoch for change in self.input.crop.sizes] if self.input.crop else []
        if any(epoch >= self.budget.epochs for epoch in late):
            raise ValueError(
                f"input.crop.sizes changes at epochs {late}; they must lie below budget.epochs ({self.budget.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _warm_up_ends_before_the_training(self) -> Self:
        warmup = getattr(self.schedule, "warmup_epochs", 0.0)
        if warmup > self.budget.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {warmup:g} and budget.epochs {self.budget.epochs}, so that the learning "
                "rate would never be reached"
            )
        return self


def _of_gradient_steps(recipe: Recipe) -> dict[str, bool]:
    """Sections that only a training by gradient steps reads, and whether each is as it is by default."""
    budget = BudgetSection(keep=recipe.budget.keep, checkpoint_seconds=recipe.budget.checkpoint_seconds)
    return {
        "input.crop": recipe.input.crop is None,
        "input.augment": recipe.input.augment == AugmentSection(),
        "input.repeat_rare": recipe.input.repeat_rare is None,
        "pretrained": recipe.pretrained is None,
        "pretraining": recipe.pretraining is None,
        "loss": recipe.loss == CrossEntropy(kind="cross-entropy"),
        "schedule": recipe.schedule == ConstantSchedule(kind="constant"),
        "budget": recipe.budget == budget,
        "parallel": recipe.parallel == ParallelSection(),
    }
