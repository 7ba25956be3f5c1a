"""BigEarthNet's archives, real and generated; and copies of them with every kind of damage."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from konvoi.data.nomenclature import LABELS_19, LABELS_43, to_19
from konvoi.data.patches import PatchError, Place
from konvoi.data.sources.bigearthnet import patch_folder
from konvoi.data.sources.bigearthnet_tables import read_metadata
from konvoi.data.sources.patch_sources import KINDS, PatchOptions, open_patches
from konvoi.data.synthetic import generate_bigearthnet
from konvoi.errors import DataError


@pytest.fixture(scope="module", params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, version: int) -> Path:
    if version == 2:
        pytest.importorskip("pyarrow", reason="version 2's tables are Parquet")
    folder = tmp_path_factory.mktemp("archive")
    generate_bigearthnet(folder, 12, seed=3, version=version, sentinel1=True)
    return folder


def test_a_generated_archive_is_recognised_and_read(archive: Path, version: int) -> None:
    radar = archive / ("BigEarthNet-S1-v1.0" if version == 1 else "BigEarthNet-S1")
    source = open_patches(archive, None, PatchOptions(sentinel1=radar))
    assert source.kind == f"bigearthnet-v{version}"
    assert source.name.startswith("synthetic ")
    assert len(source.names) == 12
    assert not source.problems
    assert set(source.parts.values()) <= {"train", "validation", "test"}
    assert source.bands.names[-2:] == ("VV", "VH")
    again = pickle.loads(pickle.dumps(source))  # as packing in several processes does
    for name in source.names:
        patch = again.read(name)
        assert {grid: values.shape for grid, values in patch.arrays.items()} == {
            "10m": (4, 120, 120), "20m": (6, 60, 60), "60m": (2, 20, 20), "s1": (2, 120, 120)
        }  # fmt: skip
        assert patch.labels or version == 2  # 11 of the 43 labels have no successor
        assert set(patch.labels) <= set(source.class_names)
        assert patch.place is not None
        assert patch.place.right - patch.place.left == 1200
        assert patch.tile.startswith("T")
        assert patch.acquired.startswith("2099")


class TestRealPatches:
    def test_labels_parts_and_places(self, shared_data: Path) -> None:
        source = open_patches(shared_data / "bigearthnet-v1", None, PatchOptions())
        assert (source.kind, len(source.names), source.class_names) == ("bigearthnet-v1", 14, LABELS_43)
        for name in source.names:
            content = json.loads(
                (shared_data / "bigearthnet-v1/s2" / name / f"{name}_labels_metadata.json").read_text()
            )
            patch = source.read(name)
            assert list(patch.labels) == content["labels"]
            assert set(to_19(patch.labels)) <= set(LABELS_19)
        patch = source.read("S2A_MSIL2A_20170613T101031_87_48")
        assert patch.place == Place("EPSG:32633", 404_400, 5_342_400, 405_600, 5_341_200)
        assert (patch.tile, patch.acquired) == ("T33UUP", "2017-06-13T10:10:31")
        counts = {part: list(source.parts.values()).count(part) for part in ("train", "validation", "test")}
        assert counts == {"train": 7, "validation": 3, "test": 3}
        assert source.flags == {"S2B_MSIL2A_20180204T94161_57_38": ("snow",)}

    def test_radar_belongs_to_its_place(self, shared_data: Path) -> None:
        folder = shared_data / "bigearthnet-v1"
        source = open_patches(folder, None, PatchOptions(sentinel1=folder / "s1"))
        named = [json.loads(path.read_text())["corresponding_s2_patch"] for path in (folder / "s1").glob("*/*.json")]
        assert len(named) == 6
        for name in set(source.names) - set(named):
            with pytest.raises(PatchError, match="has no Sentinel-1 patch"):
                source.read(name)
        for name in named:
            radar = source.read(name).arrays["s1"]
            assert radar.dtype == np.float32
            assert -60 < float(radar.mean()) < 0  # decibels

    def test_all_tiles_of_version_2_are_found_from_their_folder_and_from_the_one_above(self, shared_data: Path) -> None:
        folder = shared_data / "bigearthnet-v2"
        for named in (folder, folder / "BigEarthNet-S2"):
            source = open_patches(named, None, PatchOptions())
            assert (source.kind, len(source.names)) == ("bigearthnet-v2", 2)
        (tile,) = (folder / "BigEarthNet-S2").iterdir()
        with pytest.raises(DataError, match=r"holds patches of version 2.*Give the folder above"):
            open_patches(tile, None, PatchOptions())

    def test_every_band_is_what_rasterio_reads(self, shared_data: Path) -> None:
        rasterio = pytest.importorskip("rasterio", reason="the bands are compared with rasterio's")
        folder = shared_data / "bigearthnet-v1"
        optical = open_patches(folder, None, PatchOptions())
        with_radar = open_patches(folder, None, PatchOptions(sentinel1=folder / "s1"))
        later = open_patches(shared_data / "bigearthnet-v2", None, PatchOptions())
        compared = 0
        for source, names in ((optical, optical.names), (later, later.names), (with_radar, with_radar.radar)):
            for name in names:
                patch = source.read(name)
                for grid in source.grids:
                    for row, band in enumerate(grid.bands):
                        own = (
                            with_radar.radar[name]
                            if grid.name == "s1"
                            else patch_folder(source.folder, name, source.version)
                        )
                        with rasterio.open(own / f"{own.name}_{band}.tif") as file:
                            np.testing.assert_array_equal(patch.arrays[grid.name][row], file.read(1))
                        compared += 1
        assert compared == 14 * 12 + 2 * 12 + 6 * 14

    def test_version_2_names_its_value_without_data(self, shared_data: Path) -> None:
        source = open_patches(shared_data / "bigearthnet-v2", None, PatchOptions())
        assert (source.kind, len(source.names), source.bands.no_data) == ("bigearthnet-v2", 2, 0.0)
        patch = source.read(source.names[0])
        assert patch.labels == ()
        assert patch.place is not None
        assert patch.place.crs == "EPSG:32633"

    def test_eurosats_bands_are_named_in_the_order_of_its_files(self, shared_data: Path) -> None:
        source = open_patches(shared_data / "eurosat", None, PatchOptions())
        assert (source.kind, source.several_labels, len(source.names)) == ("eurosat", False, 3)
        assert source.bands.names[-1] == "B8A"
        assert source.class_names == ("AnnualCrop", "Pasture", "SeaLake")
        patch = source.read("SeaLake/SeaLake_3000")
        assert patch.arrays["bands"].shape == (13, 64, 64)
        # Water is dark in the near infrared, and B8A is much like B08 and nothing like the cirrus band.
        by_band = dict(zip(source.bands.names, patch.arrays["bands"].mean(axis=(1, 2)), strict=True))
        assert by_band["B8A"] < by_band["B02"]
        assert abs(by_band["B8A"] - by_band["B08"]) < 0.5 * by_band["B08"]


class TestDamage:
    @pytest.fixture
    def damaged(self, tmp_path: Path) -> tuple[Path, str]:
        generate_bigearthnet(tmp_path, 2, seed=0)
        folder = tmp_path / "BigEarthNet-v1.0"
        return folder, min(path.name for path in folder.iterdir())

    def read(self, damaged: tuple[Path, str]) -> str:
        folder, name = damaged
        with pytest.raises(PatchError) as caught:
            open_patches(folder, None, PatchOptions()).read(name)
        assert name in str(caught.value)
        return str(caught.value)

    def test_a_missing_band(self, damaged: tuple[Path, str]) -> None:
        folder, name = damaged
        (folder / name / f"{name}_B8A.tif").unlink()
        assert "B8A.tif is missing" in self.read(damaged)

    def test_a_truncated_band(self, damaged: tuple[Path, str]) -> None:
        path = damaged[0] / damaged[1] / f"{damaged[1]}_B02.tif"
        path.write_bytes(path.read_bytes()[:20_000])
        assert "is truncated" in self.read(damaged)

    def test_a_band_of_another_size(self, damaged: tuple[Path, str]) -> None:
        folder, name = damaged
        shutil.copy(folder / name / f"{name}_B05.tif", folder / name / f"{name}_B02.tif")
        assert "1 × 60 × 60 values of uint16; expected are 1 × 120 × 120" in self.read(damaged)

    @pytest.mark.parametrize(("text", "message"), [("{", "no JSON"), ("[]", "no JSON object"), ("{}", "lacks")])
    def test_a_damaged_label_file(self, damaged: tuple[Path, str], text: str, message: str) -> None:
        (damaged[0] / damaged[1] / f"{damaged[1]}_labels_metadata.json").write_text(text)
        assert message in self.read(damaged)

    def test_a_missing_label_file(self, damaged: tuple[Path, str]) -> None:
        (damaged[0] / damaged[1] / f"{damaged[1]}_labels_metadata.json").unlink()
        assert "is missing" in self.read(damaged)

    def test_a_folder_that_is_no_patch_is_a_problem(self, damaged: tuple[Path, str]) -> None:
        (damaged[0] / "thumbnails").mkdir()
        (problem,) = open_patches(damaged[0], None, PatchOptions()).problems
        assert "thumbnails" in problem.where

    def test_so_it_is_in_version_2(self, shared_data: Path, tmp_path: Path) -> None:
        folder = shutil.copytree(shared_data / "bigearthnet-v2", tmp_path / "copy") / "BigEarthNet-S2"
        (tile,) = folder.iterdir()
        (tile / "thumbnails").mkdir()
        (problem,) = open_patches(folder, None, PatchOptions()).problems
        assert problem.where == str(tile / "thumbnails")

    def test_labels_that_are_no_list(self, damaged: tuple[Path, str]) -> None:
        path = damaged[0] / damaged[1] / f"{damaged[1]}_labels_metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"labels": "Pastures"}))
        assert "holds no list of labels: 'Pastures'" in self.read(damaged)

    def test_lists_that_are_not_there(self, damaged: tuple[Path, str]) -> None:
        with pytest.raises(DataError, match="holds no lists of names"):
            open_patches(damaged[0], None, PatchOptions(lists=damaged[0]))

    def test_a_name_in_two_lists(self, damaged: tuple[Path, str]) -> None:
        folder, name = damaged
        for stem in ("train", "val", "test"):
            (folder.parent / f"{stem}.csv").write_text(f"{name}\n")
        with pytest.raises(DataError, match=f"{name} stands in two lists"):
            open_patches(folder, None, PatchOptions())


class TestDamagedRadar:
    @pytest.mark.parametrize(
        ("text", "message"), [(None, "is missing"), ("{}", "names no corresponding_s2_patch"), ("{", "no JSON file")]
    )
    def test_a_label_file_that_names_no_optical_patch_is_a_problem(
        self, tmp_path: Path, text: str | None, message: str
    ) -> None:
        generate_bigearthnet(tmp_path, 3, seed=0, sentinel1=True)
        radar = tmp_path / "BigEarthNet-S1-v1.0"
        path = min(radar.glob("*/*_labels_metadata.json"))
        path.unlink() if text is None else path.write_text(text)
        source = open_patches(tmp_path, None, PatchOptions(sentinel1=radar))
        (problem,) = source.problems
        assert message in problem.reason
        assert path.parent.name in problem.where
        assert len(source.radar) == 2

    def test_two_radar_patches_of_one_optical_patch_are_a_problem(self, tmp_path: Path) -> None:
        generate_bigearthnet(tmp_path, 3, seed=0, sentinel1=True)
        radar = tmp_path / "BigEarthNet-S1-v1.0"
        first, second, _ = sorted(radar.glob("*/*_labels_metadata.json"))
        second.write_text(first.read_text())
        (problem,) = open_patches(tmp_path, None, PatchOptions(sentinel1=radar)).problems
        assert problem.where == str(second)
        assert first.parent.name in problem.reason

    def test_version_2_needs_its_table(self, shared_data: Path) -> None:
        with pytest.raises(DataError, match=r"stands in metadata\.parquet, which is not beside"):
            open_patches(shared_data / "bigearthnet-v2", None, PatchOptions(sentinel1=shared_data))


class TestTables:
    def write(self, folder: Path, **columns: list) -> Path:
        pa = pytest.importorskip("pyarrow", reason="version 2's tables are Parquet")
        from pyarrow import parquet

        rows = {"patch_id": ["a", "b"], "labels": [["x"], ["y"]], "split": ["train", "val"], "s1_name": ["r", "s"]}
        parquet.write_table(pa.table(rows | columns), folder / "metadata.parquet")
        return folder

    def test_cells_may_be_empty(self, tmp_path: Path) -> None:
        self.write(tmp_path, labels=[["x"], None], split=["train", None], s1_name=["r", None])
        labels, parts, flags, radar = read_metadata([tmp_path])
        assert (labels, parts, flags, radar) == ({"a": ("x",), "b": ()}, {"a": "train"}, {}, {"a": "r"})

    def test_a_split_that_nobody_knows_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="puts the patch b into the split 'development'"):
            read_metadata([self.write(tmp_path, split=["train", "development"])])


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        open_patches(tmp_path / "nothing", None, PatchOptions())
    with pytest.raises(DataError, match=f"Known: {', '.join(KINDS)}"):
        open_patches(tmp_path, "bigearthnet", PatchOptions())
    with pytest.raises(DataError, match="holds no TIFF files"):
        open_patches(tmp_path, None, PatchOptions())
    with pytest.raises(DataError, match="--bands: not for bigearthnet-v1"):
        open_patches(tmp_path, "bigearthnet-v1", PatchOptions(bands=("B02",)))
