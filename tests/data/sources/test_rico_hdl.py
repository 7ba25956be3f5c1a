"""An LMDB as rico-hdl packs it: written here with the safetensors package, read as images that a training takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from konvoi.data.bands import Bands
from konvoi.data.images import statistics
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.data.sources.rico_hdl import read_lmdb
from konvoi.data.synthetic import generate_bigearthnet
from konvoi.errors import DataError
from konvoi.recipe.schema import LmdbSource

lmdb = pytest.importorskip("lmdb", reason="the archive is an LMDB")
pytest.importorskip("pyarrow", reason="its labels are a Parquet table")
from safetensors.numpy import save  # noqa: E402


def pack(folder: Path, patches: dict[str, dict[str, np.ndarray]]) -> None:
    with lmdb.open(str(folder), map_size=1 << 28) as environment, environment.begin(write=True) as transaction:
        for name, bands in patches.items():
            transaction.put(name.encode(), save(bands))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated archive of version 2, and its patches packed as rico-hdl does it, with the tables beside them."""
    folder = tmp_path_factory.mktemp("archive")
    generate_bigearthnet(folder, 30, seed=2, version=2)
    source = open_patches(folder, None, PatchOptions())
    packed = {}
    for name in source.names:
        patch = source.read(name)
        packed[name] = {
            band: patch.arrays[grid.name][row] for grid in source.grids for row, band in enumerate(grid.bands)
        }
    pack(folder / "lmdb", packed)
    return folder


def test_it_holds_the_same_as_the_archive(archive: Path) -> None:
    source = open_patches(archive, None, PatchOptions())
    data = read_lmdb(LmdbSource(kind="lmdb"), archive / "lmdb")
    assert list(data.sample_names or ()) == list(source.names)
    assert data.image_shape == (12, 120, 120)
    assert data.bands.names[:3] == ("B01", "B02", "B03")
    assert isinstance(data.bands, Bands)
    for row in (0, 17, 29):
        patch = source.read(source.names[row])
        assert {data.class_names[k] for k in np.flatnonzero(data.labels[row])} == set(patch.labels)
        np.testing.assert_array_equal(data.images[row][1:4], patch.arrays["10m"][:3].astype(np.float32))
    parts = {"test": data.given_test, "validation": data.given_validation, "": data.given_left_out}
    for part, rows in parts.items():
        expected = [row for row, name in enumerate(source.names) if source.parts.get(name, "") == part]
        assert (rows.tolist() if rows is not None else []) == expected


def test_statistics_are_those_of_the_patches(archive: Path) -> None:
    source = open_patches(archive, None, PatchOptions())
    data = read_lmdb(LmdbSource(kind="lmdb", bands=("B05", "B02")), archive / "lmdb")
    mean, deviation = statistics(data.images, np.array([3, 8]))
    values = np.concatenate([source.read(source.names[row]).arrays["20m"][0].ravel() for row in (3, 8)])
    assert mean[0] == pytest.approx(values.mean(dtype=np.float64))
    assert deviation[0] == pytest.approx(values.std(dtype=np.float64))


def test_the_fingerprint_follows_pixels_and_names(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("name,label\na,x\nb,y\n")
    images = {name: {"VV": np.full((4, 4), number, np.float32)} for number, name in enumerate("ab")}
    prints = []
    for number, changed in enumerate((images, images, images | {"b": {"VV": np.full((4, 4), 9, np.float32)}})):
        pack(tmp_path / str(number), changed)
        source = LmdbSource(kind="lmdb", bands="all", labels=str(table))
        prints.append(read_lmdb(source, tmp_path / str(number)).fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_what_is_wrong_is_said(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no data\.mdb"):
        read_lmdb(LmdbSource(kind="lmdb"), tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text("name,label\na,x\nb,y\nc,y\n")
    source = LmdbSource(kind="lmdb", bands="s1", labels=str(table))
    pack(tmp_path / "bad", {"a": {"VV": np.zeros((4, 4), np.float32), "VH": np.zeros((4, 4), np.float32)}})
    with (
        lmdb.open(str(tmp_path / "bad"), map_size=1 << 28) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"b", save({"VV": np.zeros((4, 4), np.float32)}))
        transaction.put(b"c", b"nothing")
    data = read_lmdb(source, tmp_path / "bad")
    with pytest.raises(DataError, match="The patch b lacks the band VH; it has VV"):
        data.images[1]
    with pytest.raises(DataError, match="The patch c holds no safetensors"):
        data.images[2]
