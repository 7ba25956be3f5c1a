"""What a training works on: data, split, bands, network, batches, loss and validation, from the recipe alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from konvoi.data.audit import class_counts, duplicate_counts
from konvoi.data.bands import Bands
from konvoi.data.batches import Batches
from konvoi.data.cropped import CroppedImages
from konvoi.data.dataset import Dataset
from konvoi.data.images import statistics
from konvoi.data.patch_arrays import PatchArrays
from konvoi.data.pixels.leakage import findings as leakage_in_words
from konvoi.data.pixels.leakage import percent
from konvoi.data.sources import read_source
from konvoi.data.spatial_audit import findings_in_words, spatial_findings
from konvoi.data.split import Split, make_split
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError, RecipeError, RunError
from konvoi.evaluation.inference import predict_logits, sigmoid, softmax
from konvoi.evaluation.validation import ValidationScores, several_label_validation, single_label_validation
from konvoi.models.build import build_network
from konvoi.models.projection import projections
from konvoi.parallel.ranks import ALONE, Ranks
from konvoi.randomness import numpy_stream, seed_torch
from konvoi.recipe import Recipe
from konvoi.recipe.crop import CropSection
from konvoi.run import DataFacts, Places, Run
from konvoi.training.forward import LabelledImages
from konvoi.training.loop import Validate
from konvoi.training.losses import Loss, build_loss

_MOST_PLACES = 6000


@dataclass(frozen=True)
class Material:
    """What a training works on, made from the recipe alone; resuming makes the same again."""

    dataset: Dataset
    split: Split
    bands: Bands
    network: nn.Module


def prepare(recipe: Recipe, data_dir: str | Path | None, contract: Bands | None = None) -> Material:
    """Read the source, split it, fit the bands on the training split, and build the network.

    Args:
        recipe: the experiment.
        data_dir: where the source's files are.
        contract: of the pretrained weights, for a recipe whose `input.normalise` is `weights`.

    Raises:
        KonvoiError: the data are not what the recipe says, its loss does not fit their labels, or its split leaks and
            it does not allow that.
    """
    dataset = read_source(recipe.source, None if data_dir is None else Path(data_dir))
    _require_fitting_loss(recipe, dataset)
    split = make_split(dataset, recipe.split)
    dataset = _with_cautions_of_the_split(recipe, dataset, split)
    bands = _fitted_bands(recipe, dataset, split, contract)
    if isinstance(dataset.images, PatchArrays | CubeWindows):
        dataset = replace(dataset, images=dataset.images.filled_with(bands.fill))
    if recipe.input.crop is not None:
        dataset = _cropped(dataset, recipe.input.crop)
    seed_torch(recipe.seed, "initialise")
    network = build_network(recipe, dataset.image_shape, len(dataset.class_names))
    _fit_projections(network, dataset, split, bands)
    return Material(dataset, split, bands, network)


def prepare_again(run: Run, data_dir: str | Path | None) -> Material:
    """What a run was trained on, read again from where it was or from `data_dir`, and compared.

    Raises:
        RunError: the data are no longer the same.
    """
    facts = run.facts
    material = prepare(run.recipe, data_dir if data_dir is not None else facts.data.data_dir, run.bands)
    if material.split.fingerprint != facts.data.split_fingerprint:
        raise RunError(
            f"The data are not those that {run.folder} was trained on: fingerprint {material.split.fingerprint[:12]}, "
            f"expected {facts.data.split_fingerprint[:12]}. Give the same files with --data-dir, or train anew."
        )
    return material


def make_batches(
    recipe: Recipe, material: Material, device: torch.device | None = None, ranks: Ranks = ALONE
) -> Batches:
    """This rank's batches of the training split as the recipe wants them."""
    return Batches(
        material.dataset,
        material.split.train,
        material.bands,
        recipe.budget.batch,
        recipe.seed,
        recipe.input.augment,
        device,
        recipe.compute.channels_last,
        recipe.input.resample,
        recipe.input.repeat_rare,
        [(change.epoch, change.batch) for change in recipe.budget.batch_schedule],
        recipe.budget.accumulate,
        ranks.rank,
        ranks.size,
    )


def make_labelled_images(recipe: Recipe, material: Material, device: torch.device) -> LabelledImages:
    """The training split for a network that is fitted forward."""
    dataset, train = material.dataset, material.split.train
    labels = dataset.labels[train].astype(np.int64)
    return LabelledImages(dataset.images, labels, train, material.bands, device, recipe.input.resample)


def make_loss(recipe: Recipe, material: Material, device: torch.device | None = None) -> Loss:
    """The recipe's loss; label weights come from the training split alone."""
    labels = material.dataset.labels[material.split.train]
    return build_loss(recipe.loss, labels, device or torch.device("cpu"))


def make_validation(recipe: Recipe, material: Material, ranks: Ranks = ALONE) -> Validate:
    """A function that scores a network on the validation split, of which each rank works on its share."""
    dataset, indices = material.dataset, material.split.validation
    labels: NDArray[Any] = dataset.labels[indices]
    to_probabilities = sigmoid if dataset.several_labels else softmax
    score = several_label_validation if dataset.several_labels else single_label_validation

    def validate(network: nn.Module) -> ValidationScores:
        logits = predict_logits(network, dataset.images, material.bands, indices, recipe.input.resample, ranks=ranks)
        return score(to_probabilities(logits), labels)

    return validate


def data_facts(material: Material, data_dir: Path | None) -> DataFacts:
    """What a run records of its data."""
    dataset, split = material.dataset, material.split
    return DataFacts(
        name=dataset.name,
        origin=dataset.origin,
        data_dir=None if data_dir is None else str(data_dir.resolve()),
        fingerprint=dataset.fingerprint,
        samples=len(dataset),
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        several_labels=dataset.several_labels,
        caution=dataset.caution,
        skipped=dataset.skipped,
        split_method=split.method,
        split_fingerprint=split.fingerprint,
        split_sizes={"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        left_out=dataset.excluded + split.left_out_in_words,
        audit=audit(dataset, split),
        leakage=split.leakage,
        class_counts=class_counts(dataset, split),
        duplicates=duplicate_counts(dataset, split),
        bands=material.bands.to_json(),
    )


def audit(dataset: Dataset, split: Split) -> tuple[str, ...]:
    """What the audit says of a scene's windows, or of samples that have places or several labels; else nothing."""
    if split.leakage is not None:
        return tuple(leakage_in_words(split.leakage))
    if dataset.longitude_latitude is None and not dataset.several_labels:
        return ()
    return tuple(findings_in_words(spatial_findings(dataset, split)))


def places_of(material: Material) -> Places | None:
    """Where the samples of each part lie, as many as a map can show; None where that is not known."""
    dataset, split = material.dataset, material.split
    places = dataset.longitude_latitude
    if places is None:
        return None
    part = np.full(len(dataset), "left out", dtype="<U10")
    part[split.train], part[split.validation] = "train", "validation"
    part[split.test.indices_for_audit()] = "test"
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    if not len(known):
        return None
    shown = np.sort(numpy_stream(0, "places", len(known)).permutation(known)[:_MOST_PLACES])
    return Places(longitude_latitude=places[shown], part=part[shown])


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


def _fit_projections(network: nn.Module, dataset: Dataset, split: Split, bands: Bands) -> None:
    """Fit principal components of the spectrum on the pixels that train: the centres of windows, and nothing else."""
    for projection in projections(network):
        if not isinstance(dataset.images, CubeWindows):
            raise RecipeError(
                "The network takes principal components of the spectrum, which are fitted on the pixels of a cube. Use "
                "it with source.kind cube, or another network."
            )
        rows, columns = dataset.images.pixels[split.train].T
        gain, offset = (np.array(values)[:, None] for values in bands.gain_and_offset)
        projection.fit((dataset.images.cube[:, rows, columns] * gain + offset).T)


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
