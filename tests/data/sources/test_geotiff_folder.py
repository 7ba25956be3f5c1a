"""Folders of GeoTIFFs of a user's own: all bands in a file, or a file a band; classes by folder or by table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", reason="the files are written with rasterio")

from rasterio.transform import from_origin  # noqa: E402

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
