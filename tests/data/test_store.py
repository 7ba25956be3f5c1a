"""Packing and the store: bit for bit, resumable after a kill, checked, and open to NumPy alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from konvoi.data.enlarge import enlarge_bilinearly
from konvoi.data.nomenclature import LABELS_19
from konvoi.data.pack import pack
from konvoi.data.patches import PatchSource
from konvoi.data.sources.patch_sources import PatchOptions, open_patches
from konvoi.data.store import Store, read_store
from konvoi.data.synthetic import generate_bigearthnet
from konvoi.errors import DataError
from konvoi.recipe.source import StoreSource

PATCHES = 40


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    generate_bigearthnet(folder, PATCHES, seed=5)
    return folder


@pytest.fixture
def source(archive: Path) -> PatchSource:
    return open_patches(archive, None, PatchOptions())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.npy"))}


def test_the_14_real_patches_are_stored_bit_for_bit(shared_data: Path, tmp_path: Path) -> None:
    source = open_patches(shared_data / "bigearthnet-v1", None, PatchOptions())
    store = pack(source, tmp_path / "store", shard_size=5)
    assert store.manifest.shards == (5, 5, 4)
    names = np.load(tmp_path / "store/patches/names.npy").tolist()
    assert names == list(source.names)
    labels = np.load(tmp_path / "store/patches/labels.npy")
    for grid in source.grids:
        # NumPy alone opens it.
        arrays = [np.load(tmp_path / f"store/shards/{shard:05d}-{grid.name}.npy", mmap_mode="r") for shard in range(3)]
        stored = np.concatenate(arrays)
        assert stored.dtype == np.uint16
        for row, name in enumerate(names):
            patch = source.read(name)
            np.testing.assert_array_equal(stored[row], patch.arrays[grid.name])
            assert {source.class_names[k] for k in np.flatnonzero(labels[row])} == set(patch.labels)
    places = np.load(tmp_path / "store/patches/longitude_latitude.npy")
    # The patch's corner in zone 33 north; PROJ puts its centre at 13.7103° E, 48.2231° N.
    assert places[names.index("S2A_MSIL2A_20170613T101031_87_48")] == pytest.approx([13.7204, 48.2253], abs=0.02)


def test_the_real_patches_in_19_labels(shared_data: Path, tmp_path: Path) -> None:
    pack(open_patches(shared_data / "bigearthnet-v1", None, PatchOptions()), tmp_path)
    section = StoreSource(kind="store", folder=str(tmp_path), nomenclature="bigearthnet-19", exclude=("snow",))
    dataset = read_store(section)
    assert dataset.class_names == LABELS_19
    assert len(dataset) == 13
    assert dataset.excluded == ("1 patches that the source's lists flag as snow",)
    row = list(dataset.sample_names or ()).index("S2B_MSIL2A_20170924T93020_69_24")
    assert [LABELS_19[k] for k in np.flatnonzero(dataset.labels[row])] == [
        "Coniferous forest", "Mixed forest", "Transitional woodland, shrub", "Inland wetlands", "Inland waters"
    ]  # fmt: skip


def test_several_processes_write_what_one_writes(source: PatchSource, tmp_path: Path) -> None:
    one = pack(source, tmp_path / "one", shard_size=16)
    two = pack(source, tmp_path / "two", shard_size=16, workers=2)
    assert contents(one.folder) == contents(two.folder)
    assert one.manifest.fingerprint == two.manifest.fingerprint


def test_a_killed_packing_goes_on(archive: Path, source: PatchSource, tmp_path: Path) -> None:
    whole = pack(source, tmp_path / "whole", shard_size=4)
    script = (
        "from pathlib import Path\nfrom konvoi.data.pack import pack\n"
        "from konvoi.data.sources.patch_sources import PatchOptions, open_patches\n"
        f"source = open_patches(Path({str(archive)!r}), None, PatchOptions())\n"
        f"pack(source, Path({str(tmp_path / 'killed')!r}), shard_size=4)"
    )
    killed_early = 0
    for records in (1, 3, 7):
        process = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "killed" / "shards").glob("0*.json"))) < records and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        killed_early += process.wait() == -signal.SIGKILL
        if not (tmp_path / "killed" / "manifest.json").exists():
            with pytest.raises(DataError, match="Its packing has not come to its end"):
                Store(tmp_path / "killed")
    assert killed_early
    finished = pack(source, tmp_path / "killed", shard_size=4)
    assert contents(finished.folder) == contents(whole.folder)
    assert finished.manifest.fingerprint == whole.manifest.fingerprint
    assert not list((tmp_path / "killed").rglob("*.part"))


class TestProblems:
    @pytest.fixture
    def damaged(self, archive: Path, tmp_path: Path) -> tuple[Path, list[str]]:
        """The first patch lacks a band, the second one has an unknown label, the fourth is a copy of the third."""
        folder = tmp_path / "archive" / "BigEarthNet-v1.0"
        shutil.copytree(archive / "BigEarthNet-v1.0", folder)
        names = sorted(path.name for path in folder.iterdir())
        (folder / names[0] / f"{names[0]}_B11.tif").unlink()
        path = folder / names[1] / f"{names[1]}_labels_metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": ["Moon"]}))
        for band in (folder / names[2]).glob("*.tif"):
            shutil.copy(band, folder / names[3] / band.name.replace(names[2], names[3]))
        return folder, names

    def test_they_are_all_named_and_refused(self, damaged: tuple[Path, list[str]], tmp_path: Path) -> None:
        folder, names = damaged
        source = open_patches(folder, None, PatchOptions())
        with pytest.raises(DataError, match=r"3 of 40 patches cannot be used") as caught:
            pack(source, tmp_path / "store")
        message = str(caught.value)
        assert f"{names[0]}_B11.tif is missing" in message
        assert "'Moon' is not among the 43" in message
        assert f"the same pixels as {names[2]}" in message
        assert "--unreadable skip" in message

    def test_or_skipped_counted_and_kept_apart(self, damaged: tuple[Path, list[str]], tmp_path: Path) -> None:
        folder, names = damaged
        source = open_patches(folder, None, PatchOptions())
        store = pack(source, tmp_path / "store", unreadable="skip", shard_size=16)
        assert len(store) == 38
        assert len(store.manifest.problems) == 3
        dataset = read_store(StoreSource(kind="store", folder=str(tmp_path / "store")))
        assert len(dataset) == 37  # the copy is stored, and not used
        assert names[3] not in (dataset.sample_names or ())
        assert len(dataset.skipped) == 3

    def test_nothing_to_pack_is_an_error(self, archive: Path, tmp_path: Path) -> None:
        shutil.copytree(archive / "BigEarthNet-v1.0", tmp_path / "archive")
        for path in (tmp_path / "archive").glob("*/*_B02.tif"):
            path.unlink()
        with pytest.raises(DataError, match="none of the 40 patches can be packed"):
            pack(open_patches(tmp_path / "archive", None, PatchOptions()), tmp_path / "store", unreadable="skip")


def test_another_source_is_not_packed_on_top(source: PatchSource, shared_data: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "store")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="was begun with another source or other settings"):
        pack(open_patches(shared_data / "bigearthnet-v1", None, PatchOptions()), tmp_path / "store")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    with pytest.raises(DataError, match="is not empty and holds no packing"):
        pack(source, tmp_path / "mine")
    assert contents(tmp_path) == before
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "important"


def test_verifying_finds_every_changed_byte(source: PatchSource, tmp_path: Path) -> None:
    store = pack(source, tmp_path)
    assert store.verify() == []
    path = tmp_path / "shards" / "00000-20m.npy"
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    os.truncate(tmp_path / "patches" / "moments.npy", 200)
    (tmp_path / "patches" / "tiles.npy").unlink()
    complaints = "\n".join(Store(tmp_path).verify())
    assert "00000-20m.npy is not what was written: its SHA-256 differs" in complaints
    assert "moments.npy has 200 bytes" in complaints
    assert "tiles.npy is missing" in complaints
    with pytest.raises(DataError, match="--verify` names all"):
        Store(tmp_path).column("tiles")


@pytest.fixture(scope="module")
def store(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pack(open_patches(archive, None, PatchOptions()), tmp_path_factory.mktemp("store"), shard_size=16)


def test_version_2_has_the_19_labels_already(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="version 2's tables are Parquet")
    generate_bigearthnet(tmp_path / "archive", 8, seed=1, version=2)
    pack(open_patches(tmp_path / "archive", None, PatchOptions()), tmp_path / "store")
    packed, merged = (
        read_store(StoreSource(kind="store", folder=str(tmp_path / "store"), nomenclature=nomenclature))
        for nomenclature in ("as-packed", "bigearthnet-19")
    )
    assert packed.class_names == merged.class_names == LABELS_19
    np.testing.assert_array_equal(packed.labels, merged.labels)


class TestReading:
    def test_images_are_the_patches_on_one_grid(self, store: Store, source: PatchSource) -> None:
        names = ("B12", "B02", "B01", "B8A", "B03")
        rows = np.array([39, 3, 17, 16])
        images = store.arrays(names, rows)
        assert images.shape == (4, 5, 120, 120)
        found = images[np.array([2, 0])]
        for image, row in zip(found, (17, 39), strict=True):
            patch = source.read(source.names[row])
            for channel, name in enumerate(names):
                grid = next(grid for grid in source.grids if name in grid.bands)
                native = torch.from_numpy(patch.arrays[grid.name][grid.bands.index(name)].astype(np.float32))
                expected = torch.nn.functional.interpolate(native[None, None], (120, 120), mode="bilinear")[0, 0]
                # Two roundings in another order.
                np.testing.assert_allclose(image[channel], expected.numpy(), rtol=1e-6, atol=2e-3)
        np.testing.assert_array_equal(images[1], images[np.array([1])][0])

    @pytest.mark.parametrize("factors", [(2, 2), (6, 6), (3, 2), (1, 4), (5, 1)])
    def test_enlarging_is_what_torch_does(self, factors: tuple[int, int]) -> None:
        values = torch.rand((3, 2, 7, 9), generator=torch.Generator().manual_seed(0))
        target = torch.empty((3, 5, 7 * factors[0], 9 * factors[1]))
        enlarge_bilinearly(values, target[:, 1:3])
        expected = torch.nn.functional.interpolate(values, scale_factor=factors, mode="bilinear", align_corners=False)
        torch.testing.assert_close(target[:, 1:3], expected, rtol=1e-6, atol=1e-6)

    def test_pixels_without_data_are_filled_before_they_are_enlarged(self, store: Store) -> None:
        images = store.arrays(("B02", "B05"), np.arange(3))
        first = images[0]
        missing = float(first[0, 5, 5])
        images._no_data = missing
        filled = images.filled_with((-1.0, -2.0))[0]
        assert (filled[0][first[0] == missing] == -1.0).all()
        assert (filled[0][first[0] != missing] == first[0][first[0] != missing]).all()

    def test_statistics_are_those_of_the_chosen_patches_alone(self, store: Store, source: PatchSource) -> None:
        from konvoi.data.images import statistics

        images = store.arrays(("B05", "B04"), np.arange(PATCHES))
        chosen = np.array([4, 30, 11])
        mean, deviation = statistics(images, chosen)
        for channel, (grid, band) in enumerate((("20m", 0), ("10m", 2))):
            values = np.concatenate([source.read(source.names[row]).arrays[grid][band].ravel() for row in chosen])
            assert mean[channel] == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
            assert deviation[channel] == pytest.approx(values.std(dtype=np.float64), rel=1e-10)

    def test_bands_labels_and_parts(self, store: Store) -> None:
        dataset = read_store(StoreSource(kind="store", folder=str(store.folder), bands="rgb"))
        assert dataset.bands.names == ("B04", "B03", "B02")
        assert dataset.image_shape == (3, 120, 120)
        assert dataset.several_labels
        assert dataset.given_test is not None
        assert dataset.caution.startswith("The patches of synthetic")
        parts = [dataset.given_test, dataset.given_validation, dataset.given_left_out]
        assert len(np.unique(np.concatenate([part for part in parts if part is not None]))) < len(dataset)

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"bands": "s1"}, "no VV, VH. There are B02"),
            ({"bands": "visible"}, "'visible' names no sub-set"),
            ({"bands": ["B02", "B02"]}, "each at most once"),
            ({"folder": None}, "No store is named"),
            ({"folder": "/nowhere/at/all"}, "is not a store"),
        ],
    )
    def test_what_a_store_lacks_is_said(self, store: Store, section: dict, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_store(StoreSource.model_validate({"kind": "store", "folder": str(store.folder)} | section))
