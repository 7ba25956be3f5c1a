"""Predictions for image files, as a table with a probability for every class."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import GREY, RGB
from konvoi.data.sources.image_file import IMAGE_SUFFIXES, read_image
from konvoi.errors import DataError
from konvoi.evaluation.inference import predict_logits, softmax
from konvoi.files import printable
from konvoi.run import Run

_FILES_AT_ONCE = 512


@dataclass(frozen=True)
class FilePredictions:
    """Predictions for N files.

    Attributes:
        files: the N files, in order.
        class_names: the K classes.
        probabilities: `(N, K)` float32.
        skipped: files that could not be read, each with its reason.
        caution: what makes these images unlike the training images, or None.
    """

    files: tuple[Path, ...]
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    skipped: tuple[str, ...]
    caution: str | None


def predict_images(run: Run, inputs: Sequence[Path], invert: bool = False) -> FilePredictions:
    """Classify image files, prepared as the training images were.

    Args:
        run: a finished training.
        inputs: image files, or folders that are searched with their sub-folders.
        invert: swap dark and light, for a network trained on light signs on a dark ground.

    Raises:
        DataError: an input does not exist, or none of the files could be read.
    """
    facts = run.facts
    bands = run.bands
    size = (facts.data.image_shape[1], facts.data.image_shape[2])
    crop = run.recipe.input.crop
    centre = None if crop is None else crop.centre
    if facts.data.several_labels or bands.names not in (GREY.names, RGB.names):
        raise DataError(f"{run.folder} was trained on bands {', '.join(bands.names)}, which image files do not have.")
    network = run.network()
    # An image file stores brightness in steps of 1/255, whatever the steps of the training data were.
    file_bands = replace(bands, scale=GREY.scale * len(bands))
    files: list[Path] = []
    skipped: list[str] = []
    probabilities = []
    brightness: list[float] = []
    candidates = image_files(inputs)
    for start in range(0, len(candidates), _FILES_AT_ONCE):
        images = []
        for path in candidates[start : start + _FILES_AT_ONCE]:
            try:
                images.append(read_image(path, "grey" if bands.names == GREY.names else "rgb", size, centre))
            except DataError as error:
                skipped.append(printable(str(error)))
            else:
                files.append(path)
        if images:
            stack = 255 - np.stack(images) if invert else np.stack(images)
            brightness.append(float(stack.mean() * GREY.scale[0]) * len(stack))
            probabilities.append(softmax(predict_logits(network, stack, file_bands)))
    if not files:
        raise DataError(f"None of the {len(candidates)} files could be read. The first: {skipped[0]}")
    return FilePredictions(
        files=tuple(files),
        class_names=facts.data.class_names,
        probabilities=np.concatenate(probabilities),
        skipped=tuple(skipped),
        caution=_caution(sum(brightness) / len(files), float(np.mean(bands.mean))),
    )


def image_files(inputs: Sequence[Path]) -> list[Path]:
    """All image files among the inputs and below them, sorted within each folder.

    Raises:
        DataError: an input does not exist, or a folder holds no image.
    """
    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file())
            if not found:
                raise DataError(f"{path} holds no image. Read are {', '.join(sorted(IMAGE_SUFFIXES))}.")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"There is no file or folder {path}.")
    return files


def as_csv(predictions: FilePredictions) -> str:
    """One line a file: file, class, probability, then the probability of every class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "class", "probability", *(f"p({name})" for name in predictions.class_names)])
    for path, row in zip(predictions.files, predictions.probabilities, strict=True):
        best = int(row.argmax())
        writer.writerow(
            [printable(path), predictions.class_names[best], f"{row[best]:.6f}", *(f"{value:.6f}" for value in row)]
        )
    return text.getvalue()


def as_json(predictions: FilePredictions) -> str:
    """A list with one object a file."""
    rows = [
        {
            "file": printable(path),
            "class": predictions.class_names[int(row.argmax())],
            "probability": float(row.max()),
            "probabilities": dict(zip(predictions.class_names, map(float, row), strict=True)),
        }
        for path, row in zip(predictions.files, predictions.probabilities, strict=True)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def _caution(found: float, trained: float) -> str | None:
    # Only a ground that is light instead of dark, or the reverse, moves the mean past the middle.
    if (found - 0.5) * (trained - 0.5) < 0 and abs(found - trained) > 0.25:
        return (
            f"The mean brightness of these images is {found:.2f}, and of the training images {trained:.2f}. If light "
            "and dark are swapped, predict with --invert; otherwise do not trust these predictions."
        )
    return None
