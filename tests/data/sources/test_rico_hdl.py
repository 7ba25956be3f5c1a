"""An LMDB as rico-hdl packs it: written here with the safetensors package, read as images that a training takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from konvoi.data.bands import Bands
from konvoi.data.images import statistics
from konvoi.data.pack import pack
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.data.sources.rico_hdl import read_lmdb
from konvoi.data.store import read_store
from konvoi.data.synthetic import generate_bigearthnet
from konvoi.errors import DataError
from konvoi.recipe.source import LmdbSource, StoreSource

lmdb = pytest.importorskip("lmdb", reason="the archive is an LMDB")
pytest.importorskip("pyarrow", reason="its labels are a Parquet table")
from safetensors.numpy import save  # noqa: E402


def pack_lmdb(folder: Path, patches: dict[str, dict[str, np.ndarray]]) -> None:
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
    pack_lmdb(folder / "lmdb", packed)
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
        pack_lmdb(tmp_path / str(number), changed)
        source = LmdbSource(kind="lmdb", bands="all", labels=str(table))
        prints.append(read_lmdb(source, tmp_path / str(number)).fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    generate_bigearthnet(folder, 12, seed=4, version=2, sentinel1=True)
    source = open_patches(folder, None, PatchOptions(sentinel1=folder / "BigEarthNet-S1"))
    optical: dict[str, dict[str, np.ndarray]] = {}
    radar: dict[str, dict[str, np.ndarray]] = {}
    for name in source.names:
        patch = source.read(name)
        optical[name] = {
            band: patch.arrays[grid.name][row] for grid in source.grids[:3] for row, band in enumerate(grid.bands)
        }
        radar[source.radar[name].name] = dict(zip(("VV", "VH"), patch.arrays["s1"], strict=True))
    pack_lmdb(folder / "lmdb", optical | radar)
    pack_lmdb(folder / "radar", radar)
    del radar[source.radar[next(name for name in source.names if source.read(name).labels)].name]
    pack_lmdb(folder / "gap", optical | radar)
    return folder


class TestRadar:
    """Both sensors in one LMDB, as rico-hdl writes them when it is given both: a key for each."""

    def test_it_gives_what_a_store_of_the_same_archive_gives(self, both: Path, tmp_path: Path) -> None:
        pack(open_patches(both, None, PatchOptions(sentinel1=both / "BigEarthNet-S1")), tmp_path / "store")
        store = read_store(StoreSource(kind="store", bands="s2+s1"), tmp_path / "store")
        data = read_lmdb(LmdbSource(kind="lmdb", bands="s2+s1"), both / "lmdb")
        kept = [row for row, name in enumerate(data.sample_names or ()) if name in (store.sample_names or ())]
        assert len(kept) == len(store.images) == len(data.images)
        assert (data.class_names, data.bands) == (store.class_names, store.bands)
        np.testing.assert_array_equal(data.labels[kept], store.labels)
        np.testing.assert_array_equal(data.images[:], store.images[:])
        rows = np.arange(len(kept))
        for ours, theirs in zip(statistics(data.images, rows), statistics(store.images, rows), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)

    def test_optical_bands_alone_and_radar_alone(self, both: Path) -> None:
        optical = read_lmdb(LmdbSource(kind="lmdb", bands="rgb"), both / "lmdb")
        radar = read_lmdb(LmdbSource(kind="lmdb", bands="s1"), both / "radar")
        assert optical.sample_names == radar.sample_names
        assert (optical.image_shape, radar.image_shape) == ((3, 120, 120), (2, 120, 120))
        assert radar.bands.units == ("dB", "dB")
        everything = read_lmdb(LmdbSource(kind="lmdb", bands="s2+s1"), both / "lmdb")
        np.testing.assert_array_equal(everything.images[5][-2:], radar.images[5])

    def test_a_patch_without_its_radar_is_counted_where_radar_is_asked_for(self, both: Path) -> None:
        whole = read_lmdb(LmdbSource(kind="lmdb", bands="all12"), both / "gap")
        partial = read_lmdb(LmdbSource(kind="lmdb", bands="s2+s1"), both / "gap")
        assert len(partial.images) == len(whole.images) - 1
        assert any("1 rows of the table of labels name no patch" in reason for reason in partial.excluded)


def test_it_is_read_twice_at_the_same_time(archive: Path) -> None:
    first = read_lmdb(LmdbSource(kind="lmdb"), archive / "lmdb")
    second = read_lmdb(LmdbSource(kind="lmdb", bands="rgb"), archive / "lmdb")
    np.testing.assert_array_equal(
        first.images[0][list(map(first.bands.names.index, second.bands.names))], second.images[0]
    )


def test_a_row_without_a_label_is_counted_and_no_class(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("name,label\na,x\nb,\nc,y\n")
    pack_lmdb(tmp_path / "lmdb", {name: {"B02": np.ones((4, 4), np.uint16)} for name in "abcd"})
    data = read_lmdb(LmdbSource(kind="lmdb", bands="all", labels=str(table)), tmp_path / "lmdb")
    assert data.sample_names == ["a", "c"]
    assert data.labels.tolist() == [0, 1]
    assert [reason.split(" ", 1)[0] for reason in data.excluded] == ["1", "1"]
    assert "stand in no row" in data.excluded[0]
    assert "have no label" in data.excluded[1]


def test_what_was_not_measured_is_not_in_the_statistics(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="version 2's tables are Parquet")
    from pyarrow import parquet

    names = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_{k}_0" for k in range(2)]
    columns = {"patch_id": names, "labels": [["Pastures"]] * 2, "split": ["train", "test"], "s1_name": ["r", "s"]}
    parquet.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    pixels = np.full((4, 4), 3000, np.uint16)
    pixels[0] = 0
    pack_lmdb(tmp_path / "lmdb", {name: {"B02": pixels} for name in names})
    data = read_lmdb(LmdbSource(kind="lmdb", bands="all"), tmp_path / "lmdb")
    assert data.bands.no_data == 0
    mean, deviation = statistics(data.images, np.arange(2))
    assert (mean.tolist(), deviation.tolist()) == ([3000.0], [0.0])


def test_the_fingerprint_follows_labels(tmp_path: Path) -> None:
    pack_lmdb(tmp_path / "lmdb", {name: {"VV": np.zeros((4, 4), np.float32)} for name in "ab"})
    prints = []
    for rows in ("a,x\nb,y\n", "a,y\nb,x\n"):
        (tmp_path / "labels.csv").write_text(f"name,label\n{rows}")
        source = LmdbSource(kind="lmdb", bands="all", labels=str(tmp_path / "labels.csv"))
        prints.append(read_lmdb(source, tmp_path / "lmdb").fingerprint)
    assert prints[0] != prints[1]


def test_what_is_wrong_is_said(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no data\.mdb"):
        read_lmdb(LmdbSource(kind="lmdb"), tmp_path)
    table = tmp_path / "labels.csv"
    table.write_text("name,label\na,x\nb,y\nc,y\n")
    source = LmdbSource(kind="lmdb", bands="s1", labels=str(table))
    pack_lmdb(tmp_path / "bad", {"a": {"VV": np.zeros((4, 4), np.float32), "VH": np.zeros((4, 4), np.float32)}})
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
