from pathlib import Path

import pytest

from konvoi.experiment import Material, make_batches, make_loss, make_validation, prepare
from konvoi.parallel.ranks import ALONE, Ranks
from konvoi.recipe import Recipe, parse_recipe
from konvoi.training.display import Silence
from konvoi.training.loop import Training, Validate
from konvoi.training.precision import Precision

SMALL = """
name: small
source: {kind: digits}
input: {normalise: unit}
network:
  kind: cnn
  blocks:
    - {maps: 8, norm: batch, pool: max}
    - {maps: 16, norm: batch, dropout: 0.2}
  dropout: 0.3
optim: {kind: sgd, lr: 0.1, momentum: 0.9}
budget: {epochs: 3, batch: 100, checkpoint_seconds: 1000000}
compute: {precision: float32}
"""


@pytest.fixture
def small_recipe():
    """A recipe on scikit-learn's digits that trains in a second, with overrides."""

    def load(*overrides: str) -> Recipe:
        return parse_recipe(SMALL, "small", overrides)

    return load


@pytest.fixture
def make_training(tmp_path: Path):
    """A `Training` of a recipe, ready to run, with its material; checkpoints in a folder of the test."""

    def make(
        recipe: Recipe, folder: str = "checkpoints", validate: Validate | None = None, ranks: Ranks = ALONE
    ) -> tuple[Training, Material]:
        material = prepare(recipe, None)
        checkpoints = tmp_path / folder
        checkpoints.mkdir(exist_ok=True)
        batches = make_batches(recipe, material)
        training = Training(
            recipe,
            material.network,
            batches,
            make_loss(recipe, material),
            validate or make_validation(recipe, material),
            Precision(recipe.compute.precision, "as the recipe says"),
            checkpoints,
            Silence(),
            lambda history: None,
            ranks=ranks,
        )
        return training, material

    return make
