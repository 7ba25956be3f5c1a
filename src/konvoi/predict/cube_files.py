"""A classified scene on disk: GeoTIFFs with classes and doubt, and pictures for the eye.

Beside `map.tif`, the classes, stand `map-uncertainty.tif`, `map.png`, `map-uncertainty.png`, and, where there is a
ground truth, `map-errors.png`. Each is complete or not there.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from konvoi.colours import class_colours
from konvoi.errors import DataError
from konvoi.files import write_aside
from konvoi.predict.cubes import CubeMap
from konvoi.predict.georeferenced import require_rasterio
from konvoi.predict.maps import Output

_INK, _QUIET, _WRONG = "#1c1f23", "#5b636b", (176, 58, 120)
_RIGHT, _TRAINED_RIGHT, _NOTHING = (178, 183, 188), (222, 225, 228), (246, 247, 248)
_TOWARDS_WHITE = 0.55
_DPI = 100
_PICTURE, _LEGEND = 8.0, 3.4


@dataclass(frozen=True)
class WrittenMap:
    """The files of a map.

    Attributes:
        files: each with what it shows.
        shares: of the scene's pixels, by class.
        accuracy: of the labelled pixels that did not train, and their number; None without ground truth.
    """

    files: tuple[tuple[Path, str], ...]
    shares: dict[str, float]
    accuracy: tuple[float, int] | None


def write_cube_map(found: CubeMap, out: Path, output: Output) -> WrittenMap:
    """Write all files of a map.

    Args:
        found: the map.
        out: the GeoTIFF of the classes or the probabilities; the others are named after it.
        output: `class`, one band with the number of the class; or `probabilities`, float32, a band a class.

    Raises:
        DataError: a file cannot be written, or rasterio is not installed.
    """
    if out.suffix.lower() not in {".tif", ".tiff"}:
        raise DataError(f"A scene's map is a GeoTIFF: --out must end with .tif, and not {out.name}.")
    if not out.parent.is_dir():
        raise DataError(f"There is no folder {out.parent} to write the map into.")
    doubt = out.with_name(f"{out.stem}-uncertainty.tif")
    files: list[tuple[Path, str]] = []
    if output == "class":
        _write_tif(out, found.predicted[None].astype(_class_type(found)), ("most probable class",), found)
        files.append((out, "most probable class"))
    else:
        _write_tif(out, found.probabilities, found.class_names, found)
        files.append((out, "probabilities, a band a class"))
    _write_tif(
        doubt,
        np.stack([found.uncertainty, found.entropy]),
        ("1 - probability of the most probable class", "entropy in nats"),
        found,
    )
    files.append((doubt, "uncertainty: 1 − probability, and entropy in nats"))
    for name, picture, what in _pictures(found):
        path = out.with_name(f"{out.stem}{name}.png")
        _save(picture, path)
        files.append((path, what))
    counts = np.bincount(found.predicted.ravel(), minlength=len(found.class_names))
    shares = {name: float(count / counts.sum()) for name, count in zip(found.class_names, counts, strict=True)}
    return WrittenMap(tuple(files), shares, _accuracy(found))


def _accuracy(found: CubeMap) -> tuple[float, int] | None:
    if found.ground_truth is None:
        return None
    judged = found.ground_truth >= 0
    if found.trained is not None:
        judged &= ~found.trained
    number = int(judged.sum())
    return (float((found.predicted == found.ground_truth)[judged].mean()), number) if number else None


# ---- GeoTIFFs ------------------------------------------------------------------------------------------------


def _class_type(found: CubeMap) -> type[np.generic]:
    return np.uint8 if len(found.class_names) < 256 else np.uint16


def _write_tif(path: Path, values: NDArray[Any], names: tuple[str, ...], found: CubeMap) -> None:
    rasterio = require_rasterio()
    from rasterio import Affine

    def write(aside: Path) -> None:
        with rasterio.open(
            aside,
            "w",
            driver="GTiff",
            width=values.shape[2],
            height=values.shape[1],
            count=len(values),
            dtype=values.dtype.name,
            crs=found.crs or None,
            transform=Affine.identity() if found.transform is None else Affine(*found.transform),
            compress="DEFLATE",
            predictor=3 if values.dtype.kind == "f" else 1,
            BIGTIFF="IF_SAFER",
        ) as dataset:
            dataset.update_tags(
                KONVOI_CLASSES=json.dumps(found.class_names, ensure_ascii=False), KONVOI_CAUTION=found.caution
            )
            dataset.write(values)
            for number, name in enumerate(names, start=1):
                dataset.set_band_description(number, name)
            if values.dtype == np.uint8:
                colours = class_colours(len(found.class_names))
                dataset.update_tags(1, **{f"CLASS_{label}": name for label, name in enumerate(found.class_names)})
                dataset.write_colormap(1, {label: (*colour, 255) for label, colour in enumerate(colours)})

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            write_aside(path, write)
    except (OSError, rasterio.errors.RasterioError) as error:
        raise DataError(f"{path} cannot be written: {error}.") from error


# ---- pictures ------------------------------------------------------------------------------------------------


def _pictures(found: CubeMap) -> list[tuple[str, Figure, str]]:
    """Ends of the files' names, the figures, and what they show."""
    pictures = [
        (
            "",
            _class_figure(found),
            "the classes, training pixels paler" if found.trained is not None else "the classes",
        ),
        ("-uncertainty", _uncertainty_figure(found), "uncertainty"),
    ]
    if found.ground_truth is not None:
        pictures.append(("-errors", _error_figure(found), "errors on the labelled pixels"))
    return pictures


def _class_figure(found: CubeMap) -> Figure:
    colours = np.array(class_colours(len(found.class_names)), dtype=np.float64)
    picture = colours[found.predicted]
    counts = np.bincount(found.predicted.ravel(), minlength=len(colours))
    order = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    entries = [
        (tuple(colours[label]), f"{found.class_names[label]}  {counts[label] / counts.sum():.1%}") for label in order
    ]
    if found.trained is not None:
        picture[found.trained] += _TOWARDS_WHITE * (255 - picture[found.trained])
        entries.append(((225.0, 228.0, 231.0), "paler: pixels that trained the network"))
    return _figure(picture, entries, found, "Most probable class of each pixel; shares of the scene")


def _error_figure(found: CubeMap) -> Figure:
    assert found.ground_truth is not None
    picture = np.empty((*found.predicted.shape, 3))
    picture[...] = _NOTHING
    labelled, right = found.ground_truth >= 0, found.predicted == found.ground_truth
    picture[labelled & right] = _RIGHT
    entries = [(_RIGHT, "right"), (_WRONG, "wrong"), (_NOTHING, "without a label")]
    if found.trained is not None:
        picture[labelled & right & found.trained] = _TRAINED_RIGHT
        entries.insert(1, (_TRAINED_RIGHT, "right, and trained on"))
    picture[labelled & ~right] = _WRONG
    return _figure(picture, entries, found, "Errors on the labelled pixels")


def _uncertainty_figure(found: CubeMap) -> Figure:
    guessing = 1 - 1 / len(found.class_names)
    strength = np.clip(found.uncertainty / guessing, 0, 1)[..., None]
    colour = np.array(_WRONG, dtype=np.float64)
    entries = [
        (tuple(255 + share * (colour - 255)), f"{share * guessing:.2f}{'  (guessing)' if share == 1 else ''}")
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    return _figure(255 + strength * (colour - 255), entries, found, "Uncertainty: 1 − probability of the class shown")


def _figure(picture: NDArray[np.float64], entries: list[tuple[Any, str]], found: CubeMap, about: str) -> Figure:
    height, width = picture.shape[:2]
    scale = _PICTURE / max(height, width)
    across, down, margin, head = width * scale, height * scale, 0.3, 0.9
    page = (2 * margin + across + _LEGEND, head + max(down, 0.24 * (len(entries) + 2)) + margin)
    figure = Figure(figsize=page, dpi=_DPI, facecolor="white")
    words: dict[str, Any] = {"parse_math": False}
    left, top = margin / page[0], 1 - head / page[1]
    leaking = "leaking" if "leak" in found.caution else ""
    figure.text(left, 1 - 0.36 / page[1], found.title, weight="bold", size=12, color=_INK, **words)
    figure.text(left, 1 - 0.64 / page[1], " · ".join(filter(None, (about, leaking))), size=9, color=_QUIET, **words)
    axes = figure.add_axes((left, top - down / page[1], across / page[0], down / page[1]))
    axes.imshow(np.round(picture).astype(np.uint8), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    legend = figure.legend(
        handles=[
            Patch(facecolor=tuple(part / 255 for part in colour), edgecolor="#d5dade", linewidth=0.6, label=name)
            for colour, name in entries
        ],
        loc="upper left", bbox_to_anchor=((margin + across + 0.15) / page[0], top), frameon=False, fontsize=9,
        labelcolor=_INK, handlelength=1.1, handleheight=1.1, borderaxespad=0,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _save(figure: Figure, path: Path) -> None:
    try:
        write_aside(path, partial(figure.savefig, format="png", metadata={"Software": None}))
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
