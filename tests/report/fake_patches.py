"""Runs on patches as a training would leave them: 43 labels as frequent as BigEarthNet's, 12 bands, places on a map."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from fake_runs import FakeRun, history_of
from numpy.typing import NDArray

from konvoi.data.nomenclature import IMAGES_IN_ARCHIVE, IMAGES_OF_43, LABELS_43
from konvoi.data.sensors import sentinel2
from konvoi.evaluation.several_labels import score_several
from konvoi.evaluation.thresholds import tune_thresholds
from konvoi.models.resnet import resnet
from konvoi.recipe import parse_recipe
from konvoi.recipe.network import ResNetNetwork
from konvoi.run import DataFacts, Evaluation, Examples, Places, Predictions, Run, RunFacts

RECIPE = """
name: bigearthnet-for-tests
about: A residual network on patches that nobody measured.
source: {kind: store, bands: all12}
network: {kind: resnet, depth: 18}
loss: {kind: asymmetric}
optim: {kind: adamw, lr: 0.001}
budget: {epochs: 12}
"""
SIZES = {"train": 1200, "validation": 400, "test": 400}
CAUTION = "The patches are synthetic: made for tests, seen by no satellite."
SITES = ((-8.2, 40.1), (9.5, 47.2), (21.4, 44.0), (25.7, 62.3))


def labels_of(samples: int, names: tuple[str, ...], stream: np.random.Generator) -> NDArray[np.uint8]:
    """Labels `(N, K)`: those of BigEarthNet as frequent as there, others less and less; every patch has one at least.

    Neighbours in the list come together more often than by chance, as they do on the ground.
    """
    if set(names) <= set(IMAGES_OF_43):
        shares = np.array([IMAGES_OF_43[name] / IMAGES_IN_ARCHIVE for name in names])
    else:
        shares = np.geomspace(0.5, 0.05, len(names))
    theme = stream.integers(0, len(names), samples)
    near = np.exp(-np.abs(np.arange(len(names)) - theme[:, None]) / 3)
    labels = stream.random((samples, len(names))) < np.minimum(0.95, shares * (0.5 + 3 * near))
    labels[np.arange(samples), np.where(labels.any(axis=1), labels.argmax(axis=1), int(shares.argmax()))] = True
    return labels.astype(np.uint8)


def predictions_of(samples: int, names: tuple[str, ...], seed: int, lacking: tuple[str, ...] = ()) -> Predictions:
    """Probabilities that know something of the labels, and more of frequent ones."""
    stream = np.random.default_rng(seed)
    labels = labels_of(samples, names, stream)
    labels[:, [names.index(name) for name in lacking]] = 0
    known = np.linspace(1, 4, len(names))[np.argsort(np.argsort(labels.sum(axis=0)))]
    logits = stream.normal(size=labels.shape) - 2.5 + known * labels
    return Predictions(
        positions=np.arange(samples), labels=labels, probabilities=(1 / (1 + np.exp(-logits))).astype(np.float32)
    )


def patches_of(count: int, bands: int, side: int = 60) -> NDArray[np.float32]:
    """Hills with a river, each band brighter than the one before; stored as reflectance × 10,000."""
    across, up = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    found = []
    for number in range(count):
        ground = np.sin(6 * across + number) * np.cos(5 * up + number / 2) + 1.2
        water = np.abs(up - 0.5 - 0.2 * np.sin(5 * across + number)) < 0.07
        found.append([np.where(water, 300 / (band + 1), 400 + 220 * band * ground) for band in range(bands)])
    return np.array(found, dtype=np.float32)


def places_of(names: tuple[str, ...] = ("train", "validation", "test", "left out"), count: int = 600) -> Places:
    """Some sites of some 20 km, each in columns of one part."""
    stream = np.random.default_rng(0)
    site = stream.integers(0, len(SITES), count)
    offset = stream.random((count, 2)) * (0.3, 0.2)
    part = np.asarray(names)[np.minimum(len(names) - 1, (offset[:, 0] / 0.3 * 2 * len(names)).astype(int) % len(names))]
    return Places(longitude_latitude=np.asarray(SITES)[site] + offset, part=part)


def write_patch_run(
    folder: Path,
    *,
    names: tuple[str, ...] = LABELS_43,
    lacking: tuple[str, ...] = (),
    evaluated: bool = True,
    test: bool = True,
    places: Places | None = None,
    **facts: object,
) -> FakeRun:
    """Write a run folder; `lacking` are labels that no validation or test sample has."""
    run = Run(folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.write_recipe(parse_recipe(RECIPE, "tests"))
    bands = sentinel2().fitted("standard", np.full(12, 1500.0), np.full(12, 400.0))
    parts = {
        part: predictions_of(size, names, seed, lacking if part != "train" else ())
        for seed, (part, size) in enumerate(SIZES.items())
    }
    data: dict[str, object] = {
        "name": "patches for tests",
        "origin": "store patches",
        "data_dir": "patches",
        "fingerprint": "0123456789abcdef" * 4,
        "samples": 8000,
        "image_shape": (12, 60, 60),
        "class_names": names,
        "several_labels": True,
        "caution": CAUTION,
        "skipped": (),
        "split_method": "blocks of 10 km, stratified; seed 0",
        "split_fingerprint": "fedcba9876543210" * 4,
        "split_sizes": SIZES,
        "left_out": ("91 patches nearer than 1.3 km to a later part",),
        "audit": (
            "test and train: 4 source tiles or scenes in common",
            "test to train: the nearest 1.4 km apart, the median 6.2 km",
        ),
        "class_counts": {part: tuple(entry.labels.sum(axis=0).tolist()) for part, entry in parts.items()},
        "duplicates": {"validation": 0, "test": 0},
        "bands": bands.to_json(),
    }
    run.write_facts(
        RunFacts(
            konvoi_version="0.1.0",
            created=datetime(2026, 11, 23, 16, 45, tzinfo=UTC),
            command="konvoi train bigearthnet-for-tests",
            state="evaluated" if evaluated else "interrupted",
            data=DataFacts.model_validate(data | facts),
            environment={"torch": "2.13.0+cpu"},
            precision="float32: the CPU has no faster one",
            device="cpu",
            parameters=11_226_923,
        )
    )
    run.write_history(
        [
            record.model_copy(update={"validation_map": record.validation_accuracy * 0.6})
            for record in history_of(12, best=8)
        ]
    )
    if places is not None:
        run.write_places(places)
    if evaluated:
        _write_evaluation(run, names, parts, test)
    torch.manual_seed(0)
    network = resnet(ResNetNetwork(kind="resnet", depth=18), (12, 60, 60), len(names)).eval()
    return FakeRun(run, network)


def _write_evaluation(run: Run, names: tuple[str, ...], parts: dict[str, Predictions], test: bool) -> None:
    if test:
        line = {"time": "2026-11-23T16:50:00+00:00", "reader": "evaluation", "samples": SIZES["test"]}
        run.test_log.write_text(json.dumps(line) + "\n")
    run.write_predictions(
        {part: entry for part, entry in parts.items() if part != "train" and (test or part != "test")}
    )
    thresholds = tune_thresholds(parts["validation"].probabilities, parts["validation"].labels)
    scores = {
        part: score_several(entry.probabilities, entry.labels, names, thresholds, resamples=20)
        for part, entry in parts.items()
    }
    judged = parts["test" if test else "validation"]
    run.write_examples(
        Examples(
            mistakes=patches_of(4, 12),
            mistake_labels=judged.labels[:4],
            mistake_probabilities=judged.probabilities[:4],
            mistake_names=tuple(f"S2A_patch_{number}" for number in range(4)),
            drawn=patches_of(6, 12)[2:],
            drawn_labels=judged.labels[4:8],
            drawn_probabilities=judged.probabilities[4:8],
            drawn_names=tuple(f"S2B_patch_{number}" for number in range(4)),
            specimen=patches_of(1, 12),
            specimen_labels=parts["validation"].labels[:1],
        )
    )
    run.write_evaluation(
        Evaluation(
            epoch=8,
            weights="epoch 8 of 12, highest validation mAP",
            train=scores["train"],
            validation=scores["validation"],
            test=scores["test"] if test else None,
            test_reads=1 if test else 0,
            evaluated=datetime(2026, 11, 23, 16, 50, tzinfo=UTC),
            seconds=1.5,
        )
    )
