"""Networks fitted forward: every filter against scikit-learn on patches cut by hand, and going on after a stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from konvoi.data.stratify import nested_order
from konvoi.errors import DataError, RunError
from konvoi.evaluation.inference import predict_logits
from konvoi.experiment import prepare
from konvoi.experiment.material import Material, make_labelled_images
from konvoi.models.stages import last_layer
from konvoi.randomness import numpy_stream
from konvoi.recipe import Recipe, parse_recipe
from konvoi.training.display import Silence
from konvoi.training.forward import ForwardFitting
from konvoi.training.history import LayerRecord
from konvoi.training.patches import draw_patches

RECIPE = """
name: forward
source: {kind: digits}
network:
  kind: svmnet
  layers:
    - {maps: 7, padding: same, pool: max}
    - {maps: 6, kernel: 2}
optim: {kind: linear-svms, patches: 120, costs: [0.01, 0.1, 1.0], samples: 300, search_samples: 200}
"""


class Stop(Exception):
    pass


class StopAfter(Silence):
    def __init__(self, layers: int) -> None:
        self._left = layers

    def layer_done(self, record: LayerRecord) -> None:
        self._left -= 1
        if self._left == 0:
            raise Stop


def fitting_of(
    recipe: Recipe, folder: Path, display: Silence | None = None, material: Material | None = None
) -> tuple[ForwardFitting, Material]:
    material = material or prepare(recipe, None)
    folder.mkdir(exist_ok=True)
    images = make_labelled_images(recipe, material, torch.device("cpu"))
    fitting = ForwardFitting(recipe, material.network, images, folder, display or Silence(), lambda layers: None)
    return fitting, material


def cut_by_hand(maps: NDArray, kernel: int, padding: int, samples: NDArray, places: NDArray, columns: int) -> NDArray:
    padded = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    cut = []
    for sample, place in zip(samples, places, strict=True):
        row, column = divmod(int(place), columns)
        cut.append(padded[sample, :, row : row + kernel, column : column + kernel].ravel())
    return np.array(cut, dtype=np.float64)


def test_every_filter_is_scikit_learns_solution_on_its_patches(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, "a test")
    fitting, material = fitting_of(recipe, tmp_path / "checkpoints")
    fitting.run()
    dataset, train = material.dataset, material.split.train
    labels = dataset.labels[train]
    gain, offset = material.bands.gain_and_offset
    images = dataset.images[train].astype(np.float32) * np.float32(gain[0]) + np.float32(offset[0])
    network = material.network
    with torch.no_grad():
        pooled = network[:3](torch.from_numpy(images)).numpy()
        features = network[:-1](torch.from_numpy(images)).numpy()
    turn = 0
    for name, maps, kernel, padding, columns in (("conv1", images, 3, 1, 8), ("conv2", pooled, 2, 0, 3)):
        layer = network.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        record = next(entry for entry in fitting.progress.layers if entry.name == name)
        for number, entry in enumerate(record.filters):
            assert entry.label == turn % 10
            stream = numpy_stream(recipe.seed, "linear svms", 0, name, "patches", number)
            draw = draw_patches(labels, entry.label, columns * columns, 120, stream)
            patches = cut_by_hand(maps, kernel, padding, draw.samples, draw.places, columns)
            machine = LinearSVC(C=entry.cost, dual=False, class_weight="balanced", tol=1e-9, max_iter=20_000)
            pipeline = make_pipeline(StandardScaler(), machine).fit(patches, draw.positive)
            ours = patches @ layer.weight[number].detach().double().numpy().ravel()
            assert layer.bias is not None
            ours += layer.bias[number].item()
            np.testing.assert_allclose(ours, pipeline.decision_function(patches), atol=2e-4)
            turn += 1
    record = fitting.progress.layers[-1]
    chosen = np.sort(nested_order(labels, recipe.seed)[:300])
    machine = LinearSVC(C=record.cost, dual=False, tol=1e-9, max_iter=20_000)
    pipeline = make_pipeline(StandardScaler(), machine).fit(features[chosen].astype(np.float64), labels[chosen])
    logits = predict_logits(network, dataset.images, material.bands, material.split.validation)
    held_out = dataset.images[material.split.validation].astype(np.float32) * np.float32(gain[0]) + np.float32(
        offset[0]
    )
    with torch.no_grad():
        seen = network[:-1](torch.from_numpy(held_out)).numpy().astype(np.float64)
    assert record.temperature is not None
    np.testing.assert_allclose(logits * record.temperature, pipeline.decision_function(seen), atol=1e-3)


@pytest.mark.parametrize("layers", [1, 2])
def test_stopped_after_a_layer_it_ends_the_same(layers: int, tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, "a test")
    whole, material = fitting_of(recipe, tmp_path / "whole")
    whole.run()
    stopped, _ = fitting_of(recipe, tmp_path / "stopped", StopAfter(layers))
    with pytest.raises(Stop):
        stopped.run()
    rest, again = fitting_of(recipe, tmp_path / "stopped")
    rest.restore()
    assert rest.progress.epoch == layers
    rest.run()
    assert rest.progress.finished
    for name, value in material.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    assert [entry.model_copy(update={"seconds": {}}) for entry in rest.progress.layers] == [
        entry.model_copy(update={"seconds": {}}) for entry in whole.progress.layers
    ]
    other, _ = fitting_of(recipe.model_copy(update={"seed": 3}), tmp_path / "stopped")
    with pytest.raises(RunError, match="recipe was changed"):
        other.restore()


def test_seeds_draw_other_patches_and_threads_do_not_matter(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, "a test", ["network.layers=[{maps: 4, pool: max}]"])
    first, material = fitting_of(recipe, tmp_path / "a")
    first._threads = 1
    first.run()
    second, again = fitting_of(recipe, tmp_path / "b")
    second._threads = 3
    second.run()
    assert torch.equal(last_layer(material.network).weight, last_layer(again.network).weight)
    third, other = fitting_of(recipe.model_copy(update={"seed": 1}), tmp_path / "c")
    third.run()
    assert not torch.equal(last_layer(material.network).weight, last_layer(other.network).weight)


def test_one_class_alone_cannot_be_fitted(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE, "a test")
    material = prepare(recipe, None)
    train = material.split.train[material.dataset.labels[material.split.train] == 4]
    images = make_labelled_images(recipe, material, torch.device("cpu"))
    alone = type(images)(images.images, np.full(len(train), 4), train, images.bands, images.device)
    with pytest.raises(DataError, match="All training samples are of one class"):
        ForwardFitting(recipe, material.network, alone, tmp_path, Silence(), lambda layers: None)
