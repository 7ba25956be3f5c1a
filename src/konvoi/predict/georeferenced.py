"""Georeferenced rasters as the network's input: which bands lie where in the file, in which units, on which grid.

Everything that a scene must have in common with the training images is checked here, before the first prediction.
Any raster that GDAL opens will do; rasterio is imported when the first one is opened.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands, require_same_bands
from konvoi.errors import DataError
from konvoi.predict.plausibility import plausible_values

CACHE_BYTES = 64 << 20
"""What GDAL may keep of the tiles that it has read; by default it takes 5 % of the machine's memory."""

_RESOLUTION_TOLERANCE = 0.1
_METRES_PER_DEGREE = 111_320.0  # of latitude, on the sphere of 6,378 km; the ellipsoid differs by less than 1 %
_SAMPLES_A_SIDE = 5
_SAMPLE_SIZE = 32


@dataclass(frozen=True)
class Scene:
    """A scene that fits the network.

    Attributes:
        height, width: in pixels.
        crs: rasterio's reference system, or None.
        transform: rasterio's affine map from (column, row) to the reference system.
        indexes: where the network's bands lie in the file, counted from 1.
        gain, offset: `(C,)`; value in the file × gain + offset = stored value as the network's bands mean it.
        no_data: the value without measurement where the file itself names none, or None.
        cautions: what could not be checked, or looks odd, in words.
    """

    height: int
    width: int
    crs: Any
    transform: Any
    indexes: tuple[int, ...]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]
    no_data: float | None
    cautions: tuple[str, ...]


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """A rasterio data set, opened for reading with a bounded cache.

    Raises:
        DataError: rasterio is not installed, or GDAL cannot open the file.
    """
    rasterio = require_rasterio()
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), warnings.catch_warnings():
        # That a scene lies nowhere on Earth is said in `Scene.cautions`.
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(path)
        except rasterio.errors.RasterioError as error:
            raise DataError(f"{path} cannot be read as a georeferenced raster: {error}.") from error
        with dataset:
            yield dataset


def require_rasterio() -> Any:
    """The module rasterio.

    Raises:
        DataError: it is not installed.
    """
    try:
        import rasterio
        import rasterio.errors
    except ImportError as error:
        raise DataError(
            "Scenes are read with rasterio, which is missing. Install it: pip install 'konvoi[scenes]'"
        ) from (error)
    return rasterio


def fit_scene(
    dataset: Any, path: Path, bands: Bands, names: Sequence[str] | None = None, scale: float | None = None
) -> Scene:
    """Find the network's bands in an open scene, and refuse a scene that means something else.

    Args:
        dataset: from `open_raster`.
        path: for messages.
        bands: what the network was trained on.
        names: of the scene's bands in the order in which they lie in the file; by default its band descriptions.
        scale: value in the file × scale = value in the bands' units; by default what the file says, else the
            training data's.

    Raises:
        DataError: bands are missing, unnamed or in another order; the pixels are of another size; the values are of
            another magnitude; each with both sides and what to do.
    """
    if any(np.dtype(dtype).kind not in "iuf" for dtype in dataset.dtypes):
        raise DataError(f"{path} stores {dataset.dtypes[0]}; read are whole and floating-point numbers.")
    indexes = tuple(index + 1 for index in _find_bands(dataset, path, bands, names))
    cautions = [*_check_resolution(dataset, path, bands)]
    gain, offset, origin = _scaling(dataset, bands, indexes, scale)
    scene = Scene(
        height=dataset.height,
        width=dataset.width,
        crs=dataset.crs,
        transform=dataset.transform,
        indexes=indexes,
        gain=gain.astype(np.float32),
        offset=offset.astype(np.float32),
        no_data=bands.no_data if dataset.nodata is None else None,
        cautions=(),
    )
    complaint = plausible_values(_sample(dataset, path, scene, bands), bands, origin)
    if complaint and scale is None:
        raise DataError(f"{path}: {complaint}")
    if complaint:
        cautions.append(complaint)
    return Scene(**{**vars(scene), "cautions": tuple(cautions)})


def read_block(
    dataset: Any, path: Path, scene: Scene, fill: Sequence[float], rows: slice, columns: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored values as the network's bands mean them, `(C, h, w)`, and which pixels have any band, `(h, w)`.

    Args:
        dataset: from `open_raster`.
        path: for messages.
        scene: from `fit_scene`.
        fill: one stored value a band, which takes the place of what was not measured.
        rows, columns: the pixels.

    Raises:
        DataError: the file is truncated or damaged there.
    """
    rasterio = require_rasterio()
    window = ((rows.start, rows.stop), (columns.start, columns.stop))
    try:
        found = dataset.read(list(scene.indexes), window=window, masked=True)
    except rasterio.errors.RasterioError as error:
        raise DataError(
            f"{path} cannot be read at pixel rows {rows.start} to {rows.stop - 1}, columns {columns.start} to "
            f"{columns.stop - 1}: {error.__cause__ or error}. It is damaged or was not copied completely."
        ) from error
    missing = np.ma.getmaskarray(found)
    stored = found.data
    if scene.no_data is not None:
        missing = missing | (stored == scene.no_data)
    values = stored.astype(np.float32)
    missing = missing | ~np.isfinite(values)
    # Where nothing needs converting, the network gets bit for bit what it got in training.
    if np.any(scene.gain != 1):
        values *= scene.gain[:, None, None]
    if np.any(scene.offset != 0):
        values += scene.offset[:, None, None]
    np.copyto(values, np.asarray(fill, dtype=np.float32)[:, None, None], where=missing)
    return values, ~missing.all(axis=0)


def _find_bands(dataset: Any, path: Path, bands: Bands, names: Sequence[str] | None) -> list[int]:
    """Positions of the network's bands among the file's, counted from 0."""
    expected = ", ".join(bands.names)
    data_bands = [index for index, colour in enumerate(dataset.colorinterp) if colour.name != "alpha"]
    described = [_canonical(dataset.descriptions[index] or "?", bands.names) for index in data_bands]
    if names is None:
        if all(name == "?" for name in described):
            raise DataError(
                f"{path} has {len(described)} bands and does not say which they are (no band descriptions); the "
                f"checkpoint expects {expected}. Name the scene's bands in the order in which they lie in the file, "
                f"for example --bands {','.join(bands.names)}"
            )
        found = described
    else:
        found = list(names)
        if len(found) != len(data_bands):
            raise DataError(
                f"--bands names {len(found)} bands ({', '.join(found)}); {path} has {len(data_bands)}. Name every one, "
                "in the order in which they lie in the file; Konvoi picks those that the network needs."
            )
        for number, (said, written) in enumerate(zip(found, described, strict=True), start=1):
            # A band called red in the file and B04 by the user is no contradiction; B02 and B04 is one.
            if said != written and written in bands.names:
                raise DataError(
                    f"--bands says that band {number} of {path} is {said}; the file itself says {written}. --bands "
                    f"names the scene's bands in the order in which they lie in the file: --bands {','.join(described)}"
                )
    doubled = [name for name in bands.names if found.count(name) > 1]
    if doubled:
        raise DataError(
            f"{path} has more than one band {doubled[0]} ({', '.join(found)}). Name its bands apart, in the order in "
            "which they lie in the file, with --bands"
        )
    exactly_these = sorted(found) == sorted(bands.names)
    if not set(bands.names) <= set(found) or (names is None and exactly_these and tuple(found) != bands.names):
        try:
            unknown = Bands(names=tuple(found), scale=(1.0,) * len(found), units=("",) * len(found))
            require_same_bands(bands, unknown, "the checkpoint", "the scene")
        except DataError as error:
            way = f" --bands {','.join(found)} confirms that they lie so in the file; Konvoi then picks them by name."
            raise DataError(f"{error}{way if exactly_these else ''}") from None
    return [data_bands[found.index(name)] for name in bands.names]


def _canonical(description: str, expected: Sequence[str]) -> str:
    """A band's description as the network's name for it, or as it stands.

    GDAL's reader of Sentinel-2 products writes "B4, central wavelength 665 nm" for what is B04 everywhere else.
    """
    if description in expected:
        return description
    word = re.sub(r"^B(\d)$", r"B0\1", description.split(",")[0].strip())
    return word if word in expected else description


def _check_resolution(dataset: Any, path: Path, bands: Bands) -> list[str]:
    if not bands.ground_sampling_distance:
        return []
    expected = min(bands.ground_sampling_distance)
    size = _pixel_size(dataset)
    if size is None:
        return [
            f"{path} has no reference system, so that nobody knows whether its pixels are of {expected:g} m, as the "
            "network expects, and where the map lies."
        ]
    if any(abs(side - expected) > _RESOLUTION_TOLERANCE * expected for side in size):
        shown = " × ".join(f"{side:.3g}" for side in dict.fromkeys(size))
        raise DataError(
            f"Ground sampling distance differs: the checkpoint expects {expected:g} m; {path} has {shown} m. "
            f"Resample the scene, for example with gdalwarp -tr {expected:g} {expected:g} and a projection in metres, "
            "or retrain."
        )
    return []


def _pixel_size(dataset: Any) -> tuple[float, float] | None:
    """Width and height of a pixel in metres, at the scene's centre."""
    if dataset.crs is None or dataset.transform.is_identity:
        return None
    transform = dataset.transform
    width, height = float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))
    if dataset.crs.is_geographic:
        latitude = np.radians(transform.d * dataset.width / 2 + transform.e * dataset.height / 2 + transform.f)
        return width * _METRES_PER_DEGREE * float(np.cos(latitude)), height * _METRES_PER_DEGREE
    try:
        metres = float(dataset.crs.linear_units_factor[1])
    except require_rasterio().errors.CRSError:  # a local system, neither projected nor geographic
        return None
    return width * metres, height * metres


def _scaling(
    dataset: Any, bands: Bands, indexes: Sequence[int], scale: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Gain and offset as in `Scene`, and in words where they come from."""
    trained = np.asarray(bands.scale)
    tagged = np.array([dataset.scales[index - 1] for index in indexes])
    offsets = np.array([dataset.offsets[index - 1] for index in indexes])
    if scale is not None:
        gain = np.where(np.isclose(scale, trained, rtol=1e-9, atol=0), 1.0, scale / trained)
        return gain, np.zeros(len(trained)), f"× {scale:g}, as --scale says"
    if np.all(tagged == 1) and np.all(offsets == 0):
        shown = " or ".join(f"{value:g}" for value in dict.fromkeys(bands.scale))
        return np.ones(len(trained)), offsets, f"× {shown}, as in training; the file names no scale"
    gain = np.where(np.isclose(tagged, trained, rtol=1e-9, atol=0), 1.0, tagged / trained)
    return gain, offsets / trained, f"× {tagged[0]:g} + {offsets[0]:g}, as the file says"


def _sample(dataset: Any, path: Path, scene: Scene, bands: Bands) -> NDArray[np.float64]:
    """Values in units from small blocks all over the scene, `(C, n)`, NaN where nothing was measured."""
    height, width = min(_SAMPLE_SIZE, scene.height), min(_SAMPLE_SIZE, scene.width)
    blocks = []
    for top in np.unique(np.linspace(0, scene.height - height, _SAMPLES_A_SIDE).astype(int)):
        for left in np.unique(np.linspace(0, scene.width - width, _SAMPLES_A_SIDE).astype(int)):
            nothing = (np.nan,) * len(bands)
            values, _ = read_block(
                dataset, path, scene, nothing, slice(int(top), int(top) + height), slice(int(left), int(left) + width)
            )
            blocks.append(values.reshape(len(bands), -1))
    values_in_units: NDArray[np.float64] = np.concatenate(blocks, axis=1) * np.asarray(bands.scale)[:, None]
    return values_in_units
