"""A recipe's data with a convolutional SVM network, so that the two can be compared."""

from __future__ import annotations

from pathlib import Path

from konvoi.data.sources import image_shape_and_classes
from konvoi.recipe import Recipe
from konvoi.recipe.budget import BudgetSection
from konvoi.recipe.compute import ParallelSection
from konvoi.recipe.convolutional_svm import LinearSvms, SvmLayer, SvmNetwork
from konvoi.recipe.input import AugmentSection
from konvoi.recipe.loss import CrossEntropy
from konvoi.recipe.schedule import ConstantSchedule

_FILTERS = (40, 80)
_FEATURES_A_SIDE = 5


def forward_recipe(recipe: Recipe, forward: Recipe | None, data_dir: Path | None) -> Recipe:
    """Source, split and seed of a recipe, fitted forward.

    Args:
        recipe: the one to compare with; if it is itself fitted forward and no other is named, it is returned.
        forward: whose network, optim and input are taken; default: `default_network`, on the recipe's own input as far
            as it is not changed at random.
        data_dir: where the source's files are.
    """
    if forward is None and recipe.network.kind == "svmnet":
        return recipe
    if forward is None:
        shape, _ = image_shape_and_classes(recipe.source, data_dir, None)
        network, optim = default_network(shape), LinearSvms(kind="linear-svms")
        normalise = "standard" if recipe.input.normalise == "weights" else recipe.input.normalise
        section = recipe.input.model_copy(
            update={"augment": AugmentSection(), "repeat_rare": None, "crop": None, "normalise": normalise}
        )
    else:
        network, optim, section = forward.network, forward.optim, forward.input  # type: ignore[assignment]
    update = {
        "name": f"{recipe.name}-svmnet",
        "network": network,
        "optim": optim,
        "input": section,
        "loss": CrossEntropy(kind="cross-entropy"),
        "schedule": ConstantSchedule(kind="constant"),
        "budget": BudgetSection(),
        "parallel": ParallelSection(),
        "pretrained": None,
        "pretraining": None,
    }
    return Recipe.model_validate(recipe.model_copy(update=update).model_dump())


def default_network(image_shape: tuple[int, int, int]) -> SvmNetwork:
    """Two layers of 40 and 80 filters of 3 × 3, pooled until five values a side or fewer are left."""
    side = min(image_shape[1:])
    if side < 3:
        return SvmNetwork(kind="svmnet", layers=tuple(SvmLayer(maps=maps, kernel=1) for maps in _FILTERS))
    first = 2 if side > 12 else 1
    second = max(1, -(-(side // first) // _FEATURES_A_SIDE))
    layers = [
        SvmLayer(maps=maps, padding="same", pool="max" if size > 1 else "none", pool_size=max(size, 2))
        for maps, size in zip(_FILTERS, (first, second), strict=True)
    ]
    return SvmNetwork(kind="svmnet", layers=tuple(layers))
