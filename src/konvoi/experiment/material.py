"""What a training works on: data, split, bands, network, batches, loss and validation, from the recipe alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from konvoi.data.audit import class_counts, duplicate_counts
from konvoi.data.bands import Bands
from konvoi.data.batches import Batches
from konvoi.data.dataset import Dataset
from konvoi.data.pixels.leakage import findings as leakage_in_words
from konvoi.data.spatial_audit import findings_in_words, spatial_findings
from konvoi.data.split import Split
from konvoi.data.windows import CubeWindows
from konvoi.errors import RecipeError, RunError
from konvoi.evaluation.inference import predict_logits, sigmoid, softmax
from konvoi.evaluation.validation import ValidationScores, several_label_validation, single_label_validation
from konvoi.experiment.reading import read_data
from konvoi.models.build import build_network
from konvoi.models.projection import projections
from konvoi.parallel.ranks import ALONE, Ranks
from konvoi.randomness import numpy_stream, seed_torch
from konvoi.recipe import Recipe
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
    """`read_data`, whose arguments and errors these are, and build the network."""
    dataset, split, bands = read_data(recipe, None if data_dir is None else Path(data_dir), contract)
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
