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

    def test_a_name_in_two_lists(self, damaged: tuple[Path, str]) -> None:
        folder, name = damaged
        for stem in ("train", "val", "test"):
            (folder.parent / f"{stem}.csv").write_text(f"{name}\n")
        with pytest.raises(DataError, match=f"{name} stands in two lists"):
            open_patches(folder, None, PatchOptions())


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        open_patches(tmp_path / "nothing", None, PatchOptions())
    with pytest.raises(DataError, match=f"Known: {', '.join(KINDS)}"):
        open_patches(tmp_path, "bigearthnet", PatchOptions())
    with pytest.raises(DataError, match="holds no TIFF files"):
        open_patches(tmp_path, None, PatchOptions())
    with pytest.raises(DataError, match="--bands: not for bigearthnet-v1"):
        open_patches(tmp_path, "bigearthnet-v1", PatchOptions(bands=("B02",)))
