"""A whole hyperspectral scene, classified pixel by pixel: what `konvoi predict` does with a run trained on a cube.

Reading a cube so that its bands are the network's, running the network over it, and nothing of how the map looks on
disk; that is in `cube_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import require_same_bands
from konvoi.data.cube import Cube, Transform, fill_gaps
from konvoi.data.pixels.parts import TRAIN, UNLABELLED
from konvoi.data.sources import read_source
from konvoi.data.sources.cube_file import read_cube, read_cube_for
from konvoi.data.windows import CubeWindows
from konvoi.errors import DataError, RunError
from konvoi.evaluation.inference import softmax
from konvoi.predict.dense import Progress, dense_logits
from konvoi.recipe.source import CubeSource
from konvoi.run import Run
from konvoi.training.precision import choose_device


@dataclass(frozen=True)
class CubeMap:
    """A classified scene.

    Attributes:
        title: what the scene is called.
        class_names: the K classes.
        probabilities: `(K, H, W)` float32.
        ground_truth: `(H, W)`, 0 … K-1, and -1 where there is no label or none that may be seen; None without any.
        trained: `(H, W)`, which pixels trained the network; None where it is another scene.
        crs, transform: where the scene lies; see `data.cube.Cube`.
        how: in which form the network ran.
        caution: what a reader of the map must know; else "".
    """

    title: str
    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    ground_truth: NDArray[np.int64] | None
    trained: NDArray[np.bool_] | None
    crs: str
    transform: Transform | None
    how: str
    caution: str = ""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each pixel, `(H, W)`."""
        classes: NDArray[np.int64] = self.probabilities.argmax(axis=0)
        return classes

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """1 − probability of that class, `(H, W)`."""
        doubt: NDArray[np.float32] = 1 - self.probabilities.max(axis=0)
        return doubt

    @property
    def entropy(self) -> NDArray[np.float32]:
        """−Σ p log p over the classes, in nats, `(H, W)`."""
        terms = self.probabilities * np.log(np.maximum(self.probabilities, 1e-37))
        entropy: NDArray[np.float32] = -terms.sum(axis=0)
        return entropy


def map_own_cube(run: Run, data_dir: Path | None = None, progress: Progress | None = None) -> CubeMap:
    """The scene that the run was trained on, with its ground truth and its training pixels.

    Args:
        run: a finished training on a cube.
        data_dir: where the scene's files are, if they have moved.
        progress: called with finished pixels and pixels in all.

    Raises:
        DataError: the files are missing, or no longer the same.
        RunError: the training has not come to its end, or was not evaluated.
    """
    facts = run.facts.data
    folder = data_dir or (None if facts.data_dir is None else Path(facts.data_dir))
    dataset = read_source(run.recipe.source, folder)
    stored = run.scene_map
    if stored is None:
        raise RunError(f"{run.folder} was not evaluated. Run `konvoi evaluate {run.folder}` first.")
    if dataset.fingerprint != facts.fingerprint:
        raise DataError(
            f"{dataset.origin} is not the scene that {run.folder} was trained on: fingerprint "
            f"{dataset.fingerprint[:12]}, expected {facts.fingerprint[:12]}. Give the same files with --data-dir, or "
            "name the cube that is to be mapped."
        )
    assert isinstance(dataset.images, CubeWindows)
    assert dataset.scene is not None
    cube = fill_gaps(dataset.images.cube, dataset.bands.no_data, run.bands.fill)
    probabilities, how = _probabilities(run, cube, progress)
    return CubeMap(
        title=dataset.name,
        class_names=facts.class_names,
        probabilities=probabilities,
        ground_truth=stored.ground_truth.astype(np.int64),
        trained=stored.parts == TRAIN,
        crs=dataset.scene.crs,
        transform=dataset.scene.transform,
        how=how,
        caution=facts.caution,
    )


def map_other_cube(
    run: Run,
    path: Path,
    *,
    ground_truth: Path | None = None,
    bands: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> CubeMap:
    """A cube that the network has not seen.

    Args:
        run: a finished training on a cube.
        path: the cube's file.
        ground_truth: of the cube, with the classes of the run in the order of their values.
        bands: names of the cube's bands in the order in which they lie in the file; by default what the file says.
        progress: called with finished pixels and pixels in all.

    Raises:
        DataError: the cube lacks bands of the network, or has them in another order or with other units or scale; or a
            file cannot be read.
        RunError: the training has not come to its end.
    """
    source = run.recipe.source
    assert isinstance(source, CubeSource)
    truth = None
    if ground_truth is not None:
        if bands is not None:
            raise DataError("--ground-truth and --bands are both given; map the scene without its ground truth.")
        named = source.model_copy(
            update={
                "scene": None,
                "cube": str(path),
                "ground_truth": str(ground_truth),
                "classes": run.facts.data.class_names,
                "drop_bands": (),
                "constant_bands": "keep",
            }
        )
        scene = read_source(named, None).scene
        assert scene is not None
        truth = scene.ground_truth
    if bands is None:
        cube = read_cube_for(run.bands, path, source.cube_variable, source.axes)
    else:
        cube = _named(run, read_cube(path, source.cube_variable, source.axes), bands)
    trained, known = None, ""
    stored = run.scene_map
    if truth is not None and stored is not None and np.array_equal(truth >= 0, stored.parts != UNLABELLED):
        trained = stored.parts == TRAIN
        known = "these labels are those of the scene on which the network was trained"
    values = fill_gaps(cube.values, cube.bands.no_data, run.bands.fill)
    probabilities, how = _probabilities(run, values, progress)
    return CubeMap(
        title=path.stem,
        class_names=run.facts.data.class_names,
        probabilities=probabilities,
        ground_truth=truth,
        trained=trained,
        crs=cube.crs,
        transform=cube.transform,
        how=how,
        caution="; ".join(filter(None, (cube.caution, known))),
    )


def _named(run: Run, cube: Cube, names: Sequence[str]) -> Cube:
    """The cube with the names that its bands are said to have, and of these the ones that the network knows."""
    if len(names) != len(cube.bands):
        raise DataError(
            f"--bands names {len(names)} bands, and {cube.origin} has {len(cube.bands)}. Name every one, in the order "
            "in which they lie in the file; Konvoi picks those that the network needs."
        )
    cube = replace(cube, bands=replace(cube.bands, names=tuple(names)))
    if set(run.bands.names) <= set(names):
        cube = cube.with_bands(run.bands.names)
    require_same_bands(run.bands, cube.bands, "the checkpoint", cube.origin)
    return cube


def _probabilities(run: Run, cube: NDArray[np.generic], progress: Progress | None) -> tuple[NDArray[np.float32], str]:
    network = run.network().to(choose_device("auto"))
    found = dense_logits(network, cube, run.bands, run.facts.data.image_shape[1], progress=progress)
    shape = found.logits.shape
    return softmax(found.logits.reshape(shape[0], -1).T).T.reshape(shape), found.how
