"""Run folders as a training would leave them, made in a moment: real pictures, real scores, drawn predictions."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from konvoi.data.bands import Bands
from konvoi.evaluation.scores import Scores, score
from konvoi.models.layers import ChannelsLastFlatten
from konvoi.recipe import parse_recipe
from konvoi.run import DataFacts, Evaluation, Examples, Predictions, Run, RunFacts
from konvoi.training.history import EpochRecord

RECIPE = """
name: {name}
about: {about}
source: {{kind: digits}}
network: {{kind: cnn, blocks: [{{maps: 6, norm: batch, pool: max}}, {{maps: 8}}]}}
optim: {{kind: sgd, lr: 0.1, momentum: 0.9}}
budget: {{epochs: {epochs}}}
"""


@dataclass(frozen=True)
class FakeRun:
    """A run folder and a network that fits it."""

    run: Run
    network: nn.Module


def history_of(epochs: int, best: int | None = None) -> list[EpochRecord]:
    """Curves that fall, with the highest validation accuracy at the epoch `best`."""
    records = []
    highest = -1.0
    for epoch in range(1, epochs + 1):
        validation_accuracy = 0.97 - 0.5 / epoch**1.2 - (0.004 * max(0, epoch - best) if best else 0.0)
        records.append(
            EpochRecord(
                epoch=epoch,
                steps=18 * epoch,
                lr=0.1 * (1 - (epoch - 1) / epochs),
                train_loss=1.8 / epoch**0.9,
                train_accuracy=1 - 0.6 / epoch**1.1,
                validation_loss=1.5 / epoch**0.6,
                validation_accuracy=validation_accuracy,
                seconds={"data": 0.25, "step": 2.5, "validation": 0.75, "checkpoint": 0.05},
                samples_per_second=400.0,
                best=validation_accuracy > highest,
            )
        )
        highest = max(highest, validation_accuracy)
    return records


def predictions_of(samples: int, classes: int, errors: int, seed: int) -> Predictions:
    """Predictions of which exactly so many are wrong."""
    stream = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    predicted = labels.copy()
    wrong = stream.permutation(samples)[:errors]
    predicted[wrong] = (labels[wrong] + 1 + stream.integers(0, classes - 1, errors)) % classes
    confidence = np.where(predicted == labels, 1 - stream.beta(1, 12, samples) / 2, 0.5 + 0.45 * stream.random(samples))
    probabilities = np.repeat(((1 - confidence) / (classes - 1))[:, None], classes, axis=1)
    probabilities[np.arange(samples), predicted] = confidence
    return Predictions(
        positions=np.arange(samples), labels=labels.astype(np.int64), probabilities=probabilities.astype(np.float32)
    )


def pictures_of(count: int, image_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """scikit-learn's digits, enlarged, and tinted where the image has colours."""
    channels, height, _ = image_shape
    digits = load_digits().images[np.arange(count) % 1797] * 255 / 16
    large = np.kron(digits, np.ones((1, height // 8, height // 8)))
    tint = np.linspace(1, 0.4, channels)[:, None, None]
    return (large[:, None] * tint).astype(np.uint8)


def network_of(kind: str, image_shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A small network with the layer names that `konvoi.models` gives."""
    torch.manual_seed(0)
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if kind == "cnn":
        layers["conv1"] = nn.Conv2d(channels, 6, 3, padding=1, bias=False)
        layers["pool1"] = nn.MaxPool2d(2)
        layers["norm1"] = nn.BatchNorm2d(6)
        layers["relu1"] = nn.ReLU()
        layers["conv2"] = nn.Conv2d(6, 40, 3, padding=1)
        layers["relu2"] = nn.ReLU()
        layers["flatten"] = ChannelsLastFlatten()
        layers["logits"] = nn.Linear(40 * (height // 2) * (width // 2), classes)
    else:
        layers["flatten"] = ChannelsLastFlatten()
        layers["dense1"] = nn.Linear(channels * height * width, 12)
        layers["relu1"] = nn.ReLU()
        layers["logits"] = nn.Linear(12, classes)
    return nn.Sequential(layers).eval()


def scored(predictions: Predictions, names: tuple[str, ...]) -> Scores:
    return score(predictions.probabilities, predictions.labels, names)


def write_fake_run(
    folder: Path,
    *,
    names: tuple[str, ...] = tuple("0123456789"),
    image_shape: tuple[int, int, int] = (1, 8, 8),
    kind: str = "cnn",
    epochs: int = 12,
    evaluated: bool = True,
    test: bool = True,
    reads: int = 1,
    test_errors: int = 7,
    name: str = "digits-for-tests",
    about: str = "A network on scikit-learn's digits.",
    **facts: object,
) -> FakeRun:
    """Write a run folder; every argument is a way in which runs differ."""
    run = Run(folder)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.write_recipe(parse_recipe(RECIPE.format(name=name, about=json.dumps(about), epochs=max(epochs, 1)), "tests"))
    sizes = {"train": 120 * len(names), "validation": 24 * len(names), "test": 36 * len(names)}
    data: dict[str, object] = {
        "name": "handwritten digits",
        "origin": "scikit-learn",
        "data_dir": None,
        "fingerprint": "0123456789abcdef" * 4,
        "samples": sum(sizes.values()),
        "image_shape": image_shape,
        "class_names": names,
        "skipped": (),
        "split_method": "stratified test share 0.2; stratified validation share 0.17 of the rest; seed 0",
        "split_fingerprint": "fedcba9876543210" * 4,
        "split_sizes": sizes,
        "class_counts": {part: (size // len(names),) * len(names) for part, size in sizes.items()},
        "duplicates": {"validation": 0, "test": 0},
        "bands": bands_of(image_shape[0]).to_json(),
    }
    run.write_facts(
        RunFacts(
            konvoi_version="0.1.0",
            created=datetime(2026, 11, 23, 16, 45, tzinfo=UTC),
            command="konvoi train digits-for-tests",
            state="evaluated" if evaluated else "interrupted",
            data=DataFacts.model_validate(data | facts),
            environment={"torch": "2.13.0+cpu", "processor": "a processor with 2 cores"},
            precision="float32: the CPU has no faster one",
            device="cpu",
            parameters=12_345,
        )
    )
    if epochs:
        run.write_history(history_of(epochs, best=max(1, epochs * 2 // 3)))
    if evaluated:
        write_evaluation(run, names, image_shape, sizes, test, reads, test_errors)
    return FakeRun(run, network_of(kind, image_shape, len(names)))


def bands_of(channels: int) -> Bands:
    names = {1: ("grey",), 3: ("red", "green", "blue")}[channels]
    return Bands(names=names, scale=(1 / 255,) * len(names), units=("brightness, 0 to 1",) * len(names))


def write_evaluation(
    run: Run,
    names: tuple[str, ...],
    image_shape: tuple[int, int, int],
    sizes: dict[str, int],
    test: bool,
    reads: int,
    test_errors: int,
) -> None:
    classes = len(names)
    train = predictions_of(sizes["train"], classes, errors=sizes["train"] // 400, seed=0)
    parts = {"validation": predictions_of(sizes["validation"], classes, errors=5, seed=1)}
    if test:
        parts["test"] = predictions_of(sizes["test"], classes, errors=test_errors, seed=2)
        lines = [
            {"time": f"2026-11-23T16:{50 + number}:00+00:00", "reader": "evaluation", "samples": sizes["test"]}
            for number in range(reads)
        ]
        run.test_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run.write_predictions(parts)
    judged = parts["test" if test else "validation"]
    wrong = np.flatnonzero(judged.probabilities.argmax(axis=1) != judged.labels)
    wrong = wrong[np.argsort(-judged.probabilities[wrong].max(axis=1))][:32]
    run.write_examples(
        Examples(
            mistakes=pictures_of(len(wrong), image_shape),
            mistake_labels=judged.labels[wrong],
            mistake_probabilities=judged.probabilities[wrong],
            mistake_names=tuple(f"sample {position}" for position in wrong),
            drawn=np.empty((0, *image_shape)),
            drawn_labels=np.empty(0, np.int64),
            drawn_probabilities=np.empty((0, classes), np.float32),
            drawn_names=(),
            specimen=pictures_of(1, image_shape),
            specimen_labels=np.zeros(1, np.int64),
        )
    )
    run.write_evaluation(
        Evaluation(
            epoch=8,
            weights="epoch 8 of 12, highest validation accuracy",
            train=scored(train, names),
            validation=scored(parts["validation"], names),
            test=scored(parts["test"], names) if test else None,
            test_reads=reads if test else 0,
            evaluated=datetime(2026, 11, 23, 16, 50, tzinfo=UTC),
            seconds=1.5,
        )
    )
