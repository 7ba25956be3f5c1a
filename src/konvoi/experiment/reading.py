"""Reading a recipe's samples, dividing them, and fitting the bands on the training split.

A launcher may do it before it starts its ranks, once for all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from konvoi.data.bands import Bands
from konvoi.data.cropped import CroppedImages
from konvoi.data.dataset import Dataset
from konvoi.data.images import statistics
from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.pixels.leakage import percent
from konvoi.data.sources import read_source
from konvoi.data.split import Split, make_split
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError, RecipeError
from konvoi.imports import engine_imported_meanwhile
from konvoi.recipe import Recipe
from konvoi.recipe.crop import CropSection


@dataclass(frozen=True)
class _ReadAhead:
    recipe: Recipe
    data_dir: Path | None
    data: tuple[Dataset, Split, Bands]


_ahead: _ReadAhead | None = None


@contextmanager
def read_ahead(recipe: Recipe, data_dir: Path | None) -> Iterator[None]:
    """Read what the ranks that this process forks meanwhile will ask for; they share the one copy in its memory.

    Nothing is read where ranks are no forks, where weights decide what is read of the data, or from an LMDB, which each
    process must open itself.

    Raises:
        KonvoiError: as `read_data`.
    """
    global _ahead
    if sys.platform != "linux" or recipe.input.normalise == "weights" or recipe.source.kind == "lmdb":
        yield
        return
    threads = torch.get_num_threads()
    # OpenMP's threads are not there any more after a fork, and waiting for them would never end.
    torch.set_num_threads(1)
    try:
        with engine_imported_meanwhile():
            data = read_data(recipe, data_dir)
        _ahead = _ReadAhead(recipe, data_dir, data)
        yield
    finally:
        _ahead = None
        torch.set_num_threads(threads)


def read_data(recipe: Recipe, data_dir: Path | None, contract: Bands | None = None) -> tuple[Dataset, Split, Bands]:
    """Read the source, split it, and fit the bands on the training split.

    Args:
        recipe: the experiment.
        data_dir: where the source's files are.
        contract: of the pretrained weights, for a recipe whose `input.normalise` is `weights`.

    Raises:
        KonvoiError: the data are not what the recipe says, its loss does not fit their labels, or its split leaks and
            it does not allow that.
    """
    if _ahead is not None and (_ahead.recipe, _ahead.data_dir) == (recipe, data_dir):
        return _ahead.data
    dataset = read_source(recipe.source, data_dir)
    _require_fitting_loss(recipe, dataset)
    split = make_split(dataset, recipe.split)
    dataset = _with_cautions_of_the_split(recipe, dataset, split)
    bands = _fitted_bands(recipe, dataset, split, contract)
    if isinstance(dataset.images, PatchArrays | CubeWindows):
        dataset = replace(dataset, images=dataset.images.filled_with(bands.fill))
    if recipe.input.crop is not None:
        dataset = _cropped(dataset, recipe.input.crop)
    return dataset, split, bands


def _with_cautions_of_the_split(recipe: Recipe, dataset: Dataset, split: Split) -> Dataset:
    """The data set with a caution where windows leak or classes have no training pixels, as the recipe allows.

    Raises:
        DataError: windows leak, and the recipe does not allow it.
    """
    leakage = split.leakage
    if leakage is None:
        return dataset
    if leakage.leaks and not recipe.split.allow_leakage:
        raise DataError(
            f"{leakage.caution}. Were as many training pixels drawn at random, "
            f"{percent(leakage.expected.of_windows)} of the test windows of {leakage.window} × {leakage.window} pixels "
            "would contain some. Such a network can score by memory. Divide by split.pixels.method blocks, regions, "
            "growing or fields, with split.pixels.guard: half-window; or set split.allow_leakage: true, and every "
            "table and figure will say leaking."
        )
    untrained = leakage.lacking["train"]
    cautions = [dataset.caution, leakage.caution]
    if untrained:
        cautions.append(f"without training pixels, so that all their test pixels are mistakes: {', '.join(untrained)}")
    return replace(dataset, caution="; ".join(caution for caution in cautions if caution))


def _fitted_bands(recipe: Recipe, dataset: Dataset, split: Split, contract: Bands | None) -> Bands:
    mean, deviation = statistics(dataset.images, split.train)
    if recipe.input.normalise != "weights":
        return dataset.bands.fitted(recipe.input.normalise, mean, deviation)
    if contract is None or not contract.mean:
        raise RecipeError(
            "input.normalise is weights, and the pretrained weights come without a mean and a deviation. Use standard."
        )
    if contract.names != dataset.bands.names:
        raise RecipeError(
            f"input.normalise is weights, whose bands are {', '.join(contract.names)}; the data have "
            f"{', '.join(dataset.bands.names)}. Use the same bands (source.bands), or normalise: standard."
        )
    return replace(dataset.bands, normalise="standard", mean=contract.mean, deviation=contract.deviation)


def _cropped(dataset: Dataset, settings: CropSection) -> Dataset:
    if isinstance(dataset.images, CubeWindows | CroppedImages):
        raise RecipeError(f"input.crop is for pictures; the samples of {dataset.name} are windows of a cube.")
    images = CroppedImages(dataset.images, settings, dataset.aspects)
    # The data are the same, whatever the network sees of them.
    return replace(dataset, images=images, known_fingerprint=dataset.fingerprint)


def _require_fitting_loss(recipe: Recipe, dataset: Dataset) -> None:
    if dataset.several_labels and recipe.network.kind == "svmnet":
        raise RecipeError(
            f"network.kind is svmnet, whose machines tell classes apart, and the samples of {dataset.name} may have "
            "several labels. Use another network with loss bce, focal or asymmetric."
        )
    for_one_label = recipe.loss.kind in ("cross-entropy", "mse")
    if dataset.several_labels and for_one_label:
        raise RecipeError(
            f"loss.kind is {recipe.loss.kind}, for one label a sample, and the samples of {dataset.name} may have "
            "several. Use bce, focal or asymmetric."
        )
    if not dataset.several_labels and not for_one_label:
        raise RecipeError(
            f"loss.kind is {recipe.loss.kind}, for several labels a sample, and each sample of {dataset.name} has "
            "one. Use cross-entropy or mse."
        )
