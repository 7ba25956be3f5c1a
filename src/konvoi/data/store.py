"""The store: a packed copy of a source at native resolution, in NumPy's own array format.

    STORE/manifest.json               what all of it is: bands, grids, classes, shards, checksums, problems
    STORE/shards/00000-10m.npy        (n, bands, h, w): the first n patches, bands of the 10 m grid
    STORE/shards/00000-20m.npy …      the same patches, the other grids
    STORE/patches/names.npy …         a table of N rows, a file a column; see `COLUMNS`

`numpy.load(file, mmap_mode="r")` opens each array. The shards one after the other have the N rows of the table.
Writing is in `data.pack`; gathering batches is in `data.patch_arrays`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from konvoi.data.bands import Bands
from konvoi.data.dataset import Dataset, Labels
from konvoi.data.nomenclature import LABELS_19, LABELS_19_OF_43
from konvoi.data.patch_arrays import GridArrays, PatchArrays, runs
from konvoi.data.patches import PARTS
from konvoi.data.sensors import band_names
from konvoi.errors import DataError
from konvoi.recipe.source import StoreSource
from konvoi.record import Record

MANIFEST = "manifest.json"
FORMAT = "konvoi-store-1"

COLUMNS = {
    "names": "the patch's name",
    "labels": "(N, K) uint8, 1 where the patch has the label; or (N,) int32, the one label's number, -1 for none",
    "places": "(N, 4) float64: left, top, right, bottom in the patch's own reference system; NaN where not known",
    "reference_systems": "the place's coordinate reference system, for example EPSG:32633",
    "longitude_latitude": "(N, 2) float64: the centre in degrees, WGS84; NaN where not known",
    "tiles": "the tile or scene that the patch was cut from",
    "acquired": "ISO time of the acquisition",
    "aspects": "float32: width / height of what a pixel shows, where pictures were squeezed into one shape",
    "parts": "train, validation or test by the source's own lists, else empty",
    "snow": "bool: the source's lists flag the patch so",
    "cloud": "bool, likewise",
    "duplicate": "bool: the same pixels stand in an earlier row; such patches are not used",
    "digests": "(N, 16) uint8: BLAKE2b of the patch's pixels",
    "moments": "(N, C, 3) float64: for each band the valid pixels' count, sum and sum of squares",
}
"""The table's columns, and what they hold."""


class GridRecord(Record):
    """Bands that lie together in one array a shard; see `data.patches.Grid`."""

    name: str
    bands: tuple[str, ...]
    size: tuple[int, int]
    dtype: str


class FileRecord(Record):
    """One array file: its place below the store, its size in bytes, and the SHA-256 of all of it."""

    path: str
    bytes: int
    sha256: str


class ProblemRecord(Record):
    """Something in the source that was not as it should be."""

    where: str
    reason: str


class Manifest(Record):
    """`manifest.json`."""

    format: str
    name: str
    kind: str
    origin: str
    caution: str
    several_labels: bool
    class_names: tuple[str, ...]
    bands: dict[str, Any]
    grids: tuple[GridRecord, ...]
    patches: int
    shards: tuple[int, ...]
    files: tuple[FileRecord, ...]
    problems: tuple[ProblemRecord, ...]
    columns: dict[str, str]
    fingerprint: str


class Store:
    """An opened store: its manifest, and its arrays as memory maps."""

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            DataError: this is no store, its packing has not come to its end, or its manifest is damaged.
        """
        self.folder = folder
        try:
            text = (folder / MANIFEST).read_text(encoding="utf-8")
            self.manifest = Manifest.model_validate_json(text)
        except FileNotFoundError:
            state = (
                "Its packing has not come to its end: run the same `konvoi data pack` again, which goes on."
                if (folder / "shards").is_dir()
                else "Pack a source with `konvoi data pack SOURCE DEST`."
            )
            raise DataError(f"{folder} is not a store: it holds no {MANIFEST}. {state}") from None
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise DataError(f"{folder / MANIFEST} is damaged or of another version: {error}.") from error
        if self.manifest.format != FORMAT:
            raise DataError(f"{folder} has format {self.manifest.format!r}; this version of Konvoi reads {FORMAT}.")
        self.bands = Bands.from_json(self.manifest.bands)

    def __len__(self) -> int:
        return self.manifest.patches

    def column(self, name: str) -> NDArray[Any]:
        """One column of the table of patches; see `COLUMNS`."""
        return self._array(f"patches/{name}.npy")

    def shards(self, grid: str) -> list[NDArray[np.generic]]:
        """The memory-mapped arrays of a grid, `(n, bands, h, w)` each."""
        return [
            self._array(f"shards/{number:05d}-{grid}.npy")
            for number, patches in enumerate(self.manifest.shards)
            if patches
        ]

    def arrays(self, names: tuple[str, ...], rows: NDArray[np.int64]) -> PatchArrays:
        """Some bands, in the order given, of some rows."""
        grids = []
        for grid in self.manifest.grids:
            shards = self.shards(grid.name)
            wanted = [position for position, band in enumerate(grid.bands) if band in names]
            for first, last in runs(wanted):
                rows_of_run = slice(wanted[first], wanted[last] + 1)
                channels = tuple(names.index(band) for band in grid.bands[rows_of_run])
                grids.append(GridArrays(tuple(shard[:, rows_of_run] for shard in shards), channels))
        order = [self.bands.names.index(name) for name in names]
        moments = np.asarray(self.column("moments")[rows])[:, order]
        return PatchArrays(grids, rows, moments, no_data=self.bands.no_data)

    def aspects(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Width / height of what a pixel of these patches shows; None where it is 1 for all."""
        return np.asarray(self.column("aspects")[rows]) if "aspects" in self.manifest.columns else None

    def class_counts(self) -> NDArray[np.int64]:
        """How many patches have each label, `(K,)`."""
        labels = self.column("labels")
        if labels.ndim == 2:
            return np.asarray(labels.sum(axis=0, dtype=np.int64))
        return np.bincount(labels[labels >= 0], minlength=len(self.manifest.class_names))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Read every file and compare sizes and checksums; the complaints, none where all is well."""
        complaints = []
        for number, record in enumerate(self.manifest.files):
            if progress is not None:
                progress(number, len(self.manifest.files))
            path = self.folder / record.path
            if not path.is_file():
                complaints.append(f"{path} is missing.")
            elif path.stat().st_size != record.bytes:
                complaints.append(f"{path} has {path.stat().st_size:,} bytes; {record.bytes:,} were written.")
            elif file_digest(path) != record.sha256:
                complaints.append(f"{path} is not what was written: its SHA-256 differs.")
        return complaints

    def _array(self, path: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{self.folder / path} cannot be read: {error}. `konvoi data info {self.folder} --verify` names all "
                "damaged files; pack the source again."
            ) from error
        return array


def read_store(source: StoreSource, data_dir: Path | None = None) -> Dataset:
    """The patches of a store as a recipe wants them: its bands, labels and exclusions.

    Raises:
        DataError: there is no store, or it lacks what the recipe names.
    """
    store = Store(store_folder(source.folder, data_dir))
    manifest = store.manifest
    names = band_names(source.bands, store.bands)
    labels: NDArray[Any] = np.asarray(store.column("labels"))
    class_names = manifest.class_names
    if source.nomenclature == "bigearthnet-19":
        labels, class_names = _in_19_labels(labels, class_names, store.folder)
    # Copies are among the manifest's problems, each with the patch that it copies.
    kept = ~np.asarray(store.column("duplicate"))
    excluded = []
    for flag in source.exclude:
        flagged = kept & store.column(flag)
        if flagged.any():
            excluded.append(f"{int(flagged.sum()):,} patches that the source's lists flag as {flag}")
            kept &= ~flagged
    unlabelled = kept & ((labels < 0) if labels.ndim == 1 else (labels.sum(axis=1) == 0))
    if unlabelled.any():
        excluded.append(f"{int(unlabelled.sum()):,} patches that have no label in this nomenclature")
        kept &= ~unlabelled
    rows = np.flatnonzero(kept)
    digest = hashlib.sha256(repr((manifest.fingerprint, names, source.nomenclature)).encode())
    digest.update(rows.astype("<i8").tobytes())
    given = _given_parts(np.asarray(store.column("parts"))[rows])
    return Dataset(
        name=manifest.name,
        images=store.arrays(names, rows),
        labels=_for_training(labels[rows], manifest.several_labels),
        class_names=class_names,
        bands=store.bands.chosen(names),
        given_test=given.get("test"),
        given_validation=given.get("validation"),
        given_left_out=given.get(""),
        origin=f"store {store.folder} ({manifest.origin})",
        skipped=tuple(f"{problem.where}: {problem.reason}" for problem in manifest.problems),
        excluded=tuple(excluded),
        sample_names=store.column("names")[rows].tolist(),
        longitude_latitude=np.asarray(store.column("longitude_latitude")[rows]),
        tiles=store.column("tiles")[rows].tolist(),
        aspects=store.aspects(rows),
        known_fingerprint=digest.hexdigest(),
        caution=manifest.caution,
    )


def store_folder(named: str | None, data_dir: Path | None) -> Path:
    """The folder of a store: what the recipe names, below --data-dir where it is relative; or --data-dir itself."""
    if named is None:
        if data_dir is None:
            raise DataError("No store is named. Set source.folder in the recipe, or give --data-dir STORE.")
        return data_dir.expanduser()
    path = Path(named).expanduser()
    if data_dir is not None and path.is_absolute():
        raise DataError(
            f"The recipe names the store {path} and the command line --data-dir {data_dir}. Leave one of the two out."
        )
    return path if data_dir is None else data_dir.expanduser() / path


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in bounded memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_19_labels(
    labels: NDArray[np.uint8], class_names: tuple[str, ...], folder: Path
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if set(class_names) <= set(LABELS_19):
        return labels, class_names
    unknown = [name for name in class_names if name not in LABELS_19_OF_43]
    if unknown:
        raise DataError(
            f"source.nomenclature: {folder} has labels that are not BigEarthNet's 43: {', '.join(unknown[:5])}. Use "
            "as-packed."
        )
    merged = np.zeros((len(labels), len(LABELS_19)), dtype=np.uint8)
    for position, name in enumerate(class_names):
        new = LABELS_19_OF_43[name]
        if new is not None:
            merged[:, LABELS_19.index(new)] |= labels[:, position]
    return merged, tuple(LABELS_19)


def _given_parts(parts: NDArray[np.str_]) -> dict[str, NDArray[np.int64]]:
    """Positions by part, for the parts that occur; nothing where the source has no test part."""
    found = {part: np.flatnonzero(parts == part) for part in ("", *PARTS)}
    if not len(found["test"]):
        return {}
    return {part: positions for part, positions in found.items() if len(positions)}


def _for_training(labels: NDArray[Any], several: bool) -> Labels:
    return labels if several else (labels if labels.ndim == 1 else labels.argmax(axis=1)).astype(np.int64)
