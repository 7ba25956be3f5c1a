"""The GeoTIFF's inner order, which is what makes it cloud-optimised, and what is on the disk at every moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", reason="scenes need rasterio")
tifffile = pytest.importorskip("tifffile")

from konvoi.colours import class_colours  # noqa: E402
from konvoi.errors import DataError  # noqa: E402
from konvoi.predict.georeferenced import Scene  # noqa: E402
from konvoi.predict.maps import MapFacts, write_map  # noqa: E402
from konvoi.predict.unfinished import UnfinishedMap  # noqa: E402

ROWS, COLUMNS = 652, 624
NAMES = ("water", "forest", "town")
SCENE = Scene(
    height=6520,
    width=6240,
    crs=rasterio.CRS.from_epsg(32633),
    transform=rasterio.Affine(10, 0, 399_960, 0, -10, 5_600_040),
    indexes=(1,),
    gain=np.ones(1, dtype=np.float32),
    offset=np.zeros(1, dtype=np.float32),
    no_data=None,
    cautions=(),
)


def facts(output: str, thresholds: tuple[float, ...] = ()) -> MapFacts:
    return MapFacts(ROWS, COLUMNS, (10, 10), NAMES, thresholds, output, {"KONVOI_NETWORK": "tests"})


def finished(out: Path) -> tuple[UnfinishedMap, np.ndarray]:
    """Rows in several pieces, of which some cells are without data."""
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), (ROWS, COLUMNS)).astype(np.float32).swapaxes(1, 2)
    probabilities[:100, :, :200] = np.nan
    unfinished = UnfinishedMap(out, probabilities.shape, "a")
    for start in range(0, ROWS, 90):
        unfinished.append(probabilities[start : start + 90])
    return unfinished, probabilities.swapaxes(0, 1)


@pytest.mark.parametrize("output", ["probabilities", "class"])
def test_the_map_is_a_cloud_optimised_geotiff(tmp_path: Path, output: str) -> None:
    out = tmp_path / "map.tif"
    unfinished, probabilities = finished(out)
    write_map(out, unfinished, facts(output), SCENE)
    with rasterio.open(out) as made:
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert made.block_shapes[0] == (256, 256)
        assert made.compression.name == "deflate"
        assert made.overviews(1) == [2, 4]
        assert made.bounds == (399_960, 5_600_040 - 65_200, 399_960 + 62_400, 5_600_040)
        assert made.tags()["KONVOI_NETWORK"] == "tests"
        if output == "probabilities":
            np.testing.assert_array_equal(made.read(), probabilities)
            coarse = made.read(out_shape=(3, 326, 312))
            np.testing.assert_allclose(
                coarse[:, 100:, 120:300],
                probabilities[:, 200:, 240:600].reshape(3, 226, 2, 180, 2).mean((2, 4)),
                atol=1e-6,
            )
        else:
            expected = np.where(np.isnan(probabilities[0]), 255, np.nan_to_num(probabilities).argmax(axis=0))
            np.testing.assert_array_equal(made.read(1), expected)
            assert set(np.unique(made.read(1, out_shape=(163, 156)))) == {0, 1, 2, 255}
    with tifffile.TiffFile(out) as tiff:
        offsets = [page.offset for page in tiff.pages]
        data = [min(filter(None, page.dataoffsets)) for page in tiff.pages]
        assert len(tiff.pages) == 3
        # All directories stand at the front, and a smaller overview's pixels before a larger one's.
        assert offsets == sorted(offsets)
        assert max(offsets) < min(data)
        assert data == sorted(data, reverse=True)
        assert tiff.pages[0].predictor == (3 if output == "probabilities" else 1)


def test_the_same_map_has_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a.tif", "b.tif"):
        unfinished, _ = finished(tmp_path / name)
        write_map(tmp_path / name, unfinished, facts("probabilities"), SCENE)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_a_map_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    out.mkdir()
    unfinished, _ = finished(out)
    with pytest.raises(DataError, match=r"map\.tif cannot be written: .*The same command goes on from here"):
        write_map(out, unfinished, facts("class"), SCENE)
    assert out.is_dir()
    assert unfinished.rows_done == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == [".map.tif.part.json", ".map.tif.part.npy", "map.tif"]


def test_finished_rows_are_a_numpy_file(tmp_path: Path) -> None:
    unfinished, probabilities = finished(tmp_path / "map.tif")
    np.testing.assert_array_equal(np.load(tmp_path / ".map.tif.part.npy").swapaxes(0, 1), probabilities)
    whole = np.empty_like(probabilities)
    for down, across, block in unfinished.blocks(100):
        assert block.shape[0] <= 100
        assert block.shape[2] <= 100
        whole[:, down, across] = block.swapaxes(0, 1)
    np.testing.assert_array_equal(whole, probabilities)


def test_rows_written_by_a_killed_process_and_not_counted_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    rows = np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3)
    first = UnfinishedMap(out, (4, 2, 3), "a")
    first.append(rows[:2])
    with (tmp_path / ".map.tif.part.npy").open("ab") as file:
        file.write(b"a row and a half of something else")
    second = UnfinishedMap(out, (4, 2, 3), "a")
    assert (second.rows_done, second.replaced_another) == (2, False)
    second.append(rows[2:])
    np.testing.assert_array_equal(np.load(tmp_path / ".map.tif.part.npy"), rows)


def test_other_settings_and_damaged_facts_begin_anew(tmp_path: Path) -> None:
    out = tmp_path / "map.tif"
    rows = np.zeros((4, 2, 3), dtype=np.float32)
    UnfinishedMap(out, (4, 2, 3), "a").append(rows[:2])
    other = UnfinishedMap(out, (4, 2, 3), "b")
    assert (other.rows_done, other.replaced_another) == (0, True)
    other.append(rows[:3])
    (tmp_path / ".map.tif.part.npy").write_bytes(b"cut off")
    assert UnfinishedMap(out, (4, 2, 3), "b").rows_done == 0
    UnfinishedMap(out, (4, 2, 3), "b").append(rows)
    (tmp_path / ".map.tif.part.json").write_text('{"fingerprint": "b", "rows_d')
    assert UnfinishedMap(out, (4, 2, 3), "b").rows_done == 0


def test_48_classes_have_48_colours() -> None:
    assert len(set(class_colours(48))) == 48
    assert class_colours(60)[:48] == class_colours(48)
