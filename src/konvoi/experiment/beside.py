"""What a result is shown beside: baselines on the pixels of a cube, and the members of an ensemble."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from konvoi.data.windows import CubeWindows
from konvoi.evaluation.baselines import Baseline, FittedBaseline, fit_baseline
from konvoi.evaluation.brief import BriefScores, score_briefly
from konvoi.evaluation.inference import predict_logits
from konvoi.experiment.material import Material
from konvoi.models.fusion import FUSIONS, FusedNetwork, Fusion
from konvoi.recipe import Recipe
from konvoi.recipe.convolutional_svm import SvmNetwork
from konvoi.run import MemberScores


def fit_baselines(recipe: Recipe, material: Material) -> list[FittedBaseline]:
    """The recipe's baselines, fitted on the training pixels; none where the samples are no pixels of a cube."""
    images, train = material.dataset.images, material.split.train
    if not isinstance(images, CubeWindows):
        return []
    labels = material.dataset.labels[train].astype(np.int64)
    return [fit_baseline(name, spectra_of(images, train), labels, recipe.seed) for name in recipe.baselines]


def score_baselines(fitted: list[FittedBaseline], material: Material, test: NDArray[np.int64] | None) -> list[Baseline]:
    """Their scores on validation, and on the test split where it is open.

    Args:
        fitted: by `fit_baselines`.
        material: on which.
        test: positions; None as long as the test split is sealed.
    """
    dataset = material.dataset
    images = dataset.images

    def judge(baseline: FittedBaseline, positions: NDArray[np.int64]) -> BriefScores:
        assert isinstance(images, CubeWindows)
        predicted = baseline.predict(spectra_of(images, positions))
        return score_briefly(predicted, dataset.labels[positions].astype(np.int64), len(dataset.class_names))

    found = []
    for baseline in fitted:
        started = time.perf_counter()
        validation = judge(baseline, material.split.validation)
        on_test = None if test is None else judge(baseline, test)
        found.append(
            Baseline(
                name=baseline.name,
                title=baseline.title,
                about=baseline.about,
                training_samples=baseline.training_samples,
                validation=validation,
                test=on_test,
                seconds=baseline.seconds + time.perf_counter() - started,
            )
        )
    return found


def score_members(
    network: FusedNetwork, recipe: Recipe, material: Material, test: NDArray[np.int64] | None
) -> list[MemberScores]:
    """Each network of an ensemble alone, and both ways to fuse them.

    Args:
        network: the ensemble.
        recipe: that it was built from.
        material: on which.
        test: positions; None as long as the test split is sealed.
    """
    dataset = material.dataset
    assert isinstance(recipe.network, SvmNetwork)
    scales, own = recipe.network.scales, recipe.network.fusion
    names = [f"scale {number}: {scale.in_words}" for number, scale in enumerate(scales, start=1)]
    names += [f"fused by {kind}" for kind in FUSIONS]

    def judge(positions: NDArray[np.int64]) -> list[BriefScores]:
        flat = torch.nn.Sequential(network.members, torch.nn.Flatten())
        logits = predict_logits(flat, dataset.images, material.bands, positions, recipe.input.resample)
        members = torch.from_numpy(logits).view(len(positions), len(scales), -1)
        answers = [*members.unbind(1), *(Fusion(kind)(members) for kind in FUSIONS)]
        labels = dataset.labels[positions].astype(np.int64)
        return [score_briefly(answer.argmax(1).numpy(), labels, len(dataset.class_names)) for answer in answers]

    validation = judge(material.split.validation)
    on_test: list[BriefScores | None] = [None] * len(names) if test is None else list(judge(test))
    return [
        MemberScores(name=name, own=name == f"fused by {own}", validation=before, test=after)
        for name, before, after in zip(names, validation, on_test, strict=True)
    ]


def spectra_of(images: CubeWindows, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """The centre pixels' spectra, `(n, C)`, as stored."""
    rows, columns = images.pixels[positions].T
    return np.ascontiguousarray(images.cube[:, rows, columns].T, dtype=np.float32)
