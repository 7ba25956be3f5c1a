"""Folders of GeoTIFFs of a user's own: all bands in a file, or a file a band; classes by folder or by table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", reason="the files are written with rasterio")

from rasterio.transform import from_origin  # noqa: E402

from konvoi.data.patches import PatchError  # noqa: E402
from konvoi.data.sources.geotiff_folder import GeotiffFolder  # noqa: E402
from konvoi.data.sources.patch_sources import PatchOptions, open_patches  # noqa: E402
from konvoi.errors import DataError  # noqa: E402


def write(path: Path, values: np.ndarray, descriptions: tuple[str, ...] = (), **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32631", transform=from_origin(500_000, 5_000_000, 10, 10), **options,
    ) as file:  # fmt: skip
        file.write(values)
        if descriptions:
            file.descriptions = descriptions


def pixels(bands: int, seed: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 5000, (bands, side, side), dtype=np.uint16)


def test_classes_by_folder(tmp_path: Path) -> None:
    for number, name in enumerate(("water/1", "water/2", "wood/1")):
        write(tmp_path / f"{name}.tif", pixels(2, number), ("near", "far"), compress="deflate", nodata=7)
    source = open_patches(tmp_path, None, PatchOptions(scale=0.01, units="radiance"))
    assert source.kind == "geotiff-folder"
    assert source.names == ("water/1", "water/2", "wood/1")
    assert (source.class_names, source.several_labels) == (("water", "wood"), False)
    assert (source.bands.names, source.bands.scale, source.bands.units) == (
        ("near", "far"),
        (0.01, 0.01),
        ("radiance",) * 2,
    )
    assert source.bands.no_data == 7
    patch = source.read("wood/1")
    np.testing.assert_array_equal(patch.arrays["bands"], pixels(2, 2))
    assert patch.labels == ("wood",)
    assert patch.place is not None
    assert patch.place.right == 500_080


def test_a_table_beside_flat_files_names_what_does_not_fit(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        write(tmp_path / f"{name}.tif", pixels(3, number))
    table = tmp_path / "labels.csv"
    table.write_text("file,labels\na.tif,x;y\nb.tif,y\nd.tif,x\n")
    source = open_patches(tmp_path, None, PatchOptions(labels=table, bands=("B04", "B03", "B02")))
    assert source.names == ("a", "b")
    assert source.read("a").labels == ("x", "y")
    assert source.several_labels
    assert [problem.reason for problem in source.problems] == ["no file of this name", f"no row in {table}"]
    # Bands of Sentinel-2 bring their contract along.
    assert source.bands.wavelength == (665, 560, 490)
    assert source.bands.scale == (1e-4,) * 3


def test_a_file_a_band_at_two_sizes(tmp_path: Path) -> None:
    sides = {"B02": 8, "B05": 4, "B03": 8}
    for number, name in enumerate(("p1", "p2")):
        for band, side in sides.items():
            write(tmp_path / name / f"scene_{name}_{band}.tif", pixels(1, number + side + ord(band[-1]), side))
    table = tmp_path / "labels.csv"
    table.write_text("name,class\np1,x\np2,y\n")
    source = open_patches(tmp_path, None, PatchOptions(labels=table))
    assert [(grid.bands, grid.size) for grid in source.grids] == [(("B02", "B03"), (8, 8)), (("B05",), (4, 4))]
    patch = source.read("p2")
    np.testing.assert_array_equal(patch.arrays[source.grids[1].name], pixels(1, 1 + 4 + ord("5"), 4))
    np.testing.assert_array_equal(patch.arrays[source.grids[0].name][1], pixels(1, 1 + 8 + ord("3"))[0])


def labelled(folder: Path, rows: str) -> Path:
    table = folder / "labels.csv"
    table.write_text(f"name,label\n{rows}")
    return table


BANDS = ("near", "far")


def test_files_of_one_name_in_two_folders_keep_their_labels_apart(tmp_path: Path) -> None:
    write(tmp_path / "s/t1/0001.tif", pixels(2, 1))
    write(tmp_path / "s/t2/0001.tif", pixels(2, 2))
    table = labelled(tmp_path, "t2/0001.tif,y\nt1/0001.tif,x\n")
    source = open_patches(tmp_path / "s", None, PatchOptions(labels=table, bands=BANDS))
    assert source.names == ("t1/0001", "t2/0001")
    for name, label, seed in (("t1/0001", "x", 1), ("t2/0001", "y", 2)):
        patch = source.read(name)
        assert patch.labels == (label,)
        np.testing.assert_array_equal(patch.arrays["bands"], pixels(2, seed))
    # A name without its folder may be either of the two, and is none of them.
    table = labelled(tmp_path, "t2/0001.tif,y\n0001.tif,x\n")
    problems = open_patches(tmp_path / "s", None, PatchOptions(labels=table, bands=BANDS)).problems
    assert [problem.reason for problem in problems] == ["means any of t1/0001, t2/0001", f"no row in {table}"]


def test_a_name_finds_its_file_in_any_folder_but_never_in_another_than_its_own(tmp_path: Path) -> None:
    for number, name in enumerate(("t1/a", "t2/b", "t2/c")):
        write(tmp_path / f"s/{name}.tif", pixels(2, number))
    table = labelled(tmp_path, "a,x\nimages\\t2\\b.TIF,y\nt1/c.tif,x\n")
    source = open_patches(tmp_path / "s", None, PatchOptions(labels=table, bands=BANDS))
    assert source.labels == {"t1/a": ("x",), "t2/b": ("y",)}
    assert [problem.reason for problem in source.problems] == ["no file of this name", f"no row in {table}"]


def test_two_rows_for_one_file_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"s/{name}.tif", pixels(2, 0))
    table = labelled(tmp_path, "a.tif,x\nb,y\na.tiff,y\n")
    with pytest.raises(DataError, match=r"the rows a\.tif and a\.tiff mean the same file"):
        open_patches(tmp_path / "s", None, PatchOptions(labels=table, bands=BANDS))


def test_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    for name in ("a.tif", "a.tiff", "b.tif", "more/c.tif"):
        write(tmp_path / "s" / name, pixels(2, 0))
    source = open_patches(tmp_path / "s", None, PatchOptions(labels=labelled(tmp_path, "a,x\nb,y\n"), bands=BANDS))
    assert {Path(problem.where).name: problem.reason.split(",")[0] for problem in source.problems} == {
        "a.tiff": "has the same name as a.tif",
        "more": "is not read",
    }
    assert source.files["a"] == (tmp_path / "s/a.tif",)
    for name in ("x/1", "y/1", "y/deep/2"):
        write(tmp_path / f"classes/{name}.tif", pixels(2, 0))
    (problem,) = open_patches(tmp_path / "classes", None, PatchOptions(bands=BANDS)).problems
    assert problem.where == str(tmp_path / "classes/y/deep")


class TestAFileABand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for number, patch in enumerate(("p1", "p2", "p3")):
            for band in ("B02", "B03", "B04"):
                write(tmp_path / "s" / patch / f"{patch}_{band}.tif", pixels(1, 10 * number + int(band[1:])))
        labelled(tmp_path, "p1,x\np2,y\np3,y\n")
        return tmp_path / "s"

    def open(self, folder: Path, bands: tuple[str, ...] | None = None) -> GeotiffFolder:
        source = open_patches(folder, None, PatchOptions(labels=folder.parent / "labels.csv", bands=bands))
        assert isinstance(source, GeotiffFolder)
        return source

    def test_a_band_that_the_first_patch_lacks_is_no_less_a_band(self, folder: Path) -> None:
        (folder / "p1/p1_B04.tif").unlink()
        source = self.open(folder)
        assert source.bands.names == ("B02", "B03", "B04")
        assert source.names == ("p1", "p2", "p3")
        with pytest.raises(PatchError, match=r"p1_B04\.tif is missing"):
            source.read("p1")
        np.testing.assert_array_equal(source.read("p3").arrays[source.grids[0].name][2], pixels(1, 24)[0])

    def test_a_second_file_of_a_band_leaves_the_patch_out_by_name(self, folder: Path) -> None:
        write(folder / "p2/other_B03.tif", pixels(1, 99))
        source = self.open(folder)
        assert source.names == ("p1", "p3")
        (problem,) = source.problems
        assert problem.reason == "is a second file of band B03"

    def test_a_band_whose_name_ends_as_anothers(self, folder: Path) -> None:
        for number, patch in enumerate(("p1", "p2", "p3")):
            write(folder / patch / f"{patch}_swir_B03.tif", pixels(1, 50 + number))
        source = self.open(folder, ("B03", "swir_B03"))
        found = source.read("p2").arrays[source.grids[0].name]
        np.testing.assert_array_equal(found[0], pixels(1, 13)[0])
        np.testing.assert_array_equal(found[1], pixels(1, 51)[0])

    def test_values_without_data_that_differ_by_band(self, folder: Path) -> None:
        write(folder / "p1/p1_B03.tif", pixels(1, 0), nodata=9)
        with pytest.raises(DataError, match=r"differ \(p1_B02.tif None, p1_B03.tif 9.0, p1_B04.tif None\).*--no-data"):
            self.open(folder)
        options = PatchOptions(labels=folder.parent / "labels.csv", no_data=9)
        assert open_patches(folder, None, options).bands.no_data == 9


class TestLists:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("x/1", "x/2", "y/3", "y/1"):
            write(tmp_path / f"s/{name}.tif", pixels(2, 0))
        return tmp_path

    def parts(self, folder: Path, train: str, test: str) -> dict[str, str]:
        (folder / "train.csv").write_text(train)
        (folder / "test.csv").write_text(test)
        return dict(open_patches(folder / "s", None, PatchOptions(lists=folder, bands=BANDS)).parts)

    def test_names_may_have_folders_and_suffixes(self, folder: Path) -> None:
        assert self.parts(folder, "2.tif\nx/1\n", "images/y/3.tif\nelsewhere\n") == {
            "x/2": "train", "x/1": "train", "y/3": "test",
        }  # fmt: skip

    def test_what_is_not_clear_is_said(self, folder: Path) -> None:
        with pytest.raises(DataError, match="name 1, which may be any of x/1, y/1"):
            self.parts(folder, "1\n", "2\n")
        with pytest.raises(DataError, match="put x/2 into two parts, train and test"):
            self.parts(folder, "2\n", "x/2\n")
        with pytest.raises(DataError, match="None of the 2 names in the lists, such as 7, is a patch"):
            self.parts(folder, "7\n", "8\n")
        with pytest.raises(DataError, match="holds no lists of names"):
            open_patches(folder / "s", None, PatchOptions(lists=folder / "s", bands=BANDS))


def test_what_cannot_be_known_is_asked_for(tmp_path: Path) -> None:
    for name in ("x/1", "y/1"):
        write(tmp_path / f"{name}.tif", pixels(2, 0))
    with pytest.raises(DataError, match=r"has 2 bands, and describes them not at all.*Name each with --bands"):
        open_patches(tmp_path, None, PatchOptions())
    with pytest.raises(DataError, match="has 2 bands, and --bands names 3"):
        open_patches(tmp_path, None, PatchOptions(bands=("a", "b", "c")))
    with pytest.raises(DataError, match="found the one class x"):
        open_patches(tmp_path, None, PatchOptions(bands=("a", "b"))) if (
            tmp_path / "y/1.tif"
        ).unlink() is None else None
