"""Maps against a map computed pixel by pixel; what lies on the disk; what memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

rasterio = pytest.importorskip("rasterio", reason="scenes need rasterio")

from made_scenes import (  # noqa: E402
    LEFT,
    TOP,
    LinearNetwork,
    brute_force_map,
    fitted_bands,
    linear_classifier,
    reflectances,
    write_scene,
)

from konvoi.predict.scenes import map_scene  # noqa: E402

TINY_BLOCKS = 3 * 4 * 20 * 20


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
@pytest.mark.parametrize("size", [(40, 36), (43, 41), (8, 6), (9, 50)])
@pytest.mark.parametrize("several", [False, True])
def test_probabilities_are_those_computed_pixel_by_pixel(
    tmp_path: Path, overlap: float, size: tuple[int, int], several: bool
) -> None:
    classifier = linear_classifier(several=several)
    stored = reflectances(*size)
    scene = write_scene(tmp_path / "scene.tif", stored)
    result = map_scene(classifier, scene, tmp_path / "map.tif", overlap=overlap, batch_size=3, block_bytes=TINY_BLOCKS)
    expected = brute_force_map(classifier, stored, result.cell)
    assert (result.rows, result.columns) == expected.shape[1:]
    assert result.cell == (round(8 * (1 - overlap)), round(6 * (1 - overlap)))
    np.testing.assert_allclose(read(result.map), expected, atol=2e-6)


def test_blocks_and_batches_do_not_change_the_map(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", reflectances(61, 47))
    maps = [
        read(map_scene(linear_classifier(), scene, tmp_path / f"{n}.tif", batch_size=n, block_bytes=size).map)
        for n, size in ((1, 1), (7, TINY_BLOCKS), (500, 1 << 30))
    ]
    np.testing.assert_allclose(maps[0], maps[2], atol=1e-6)
    np.testing.assert_allclose(maps[1], maps[2], atol=1e-6)


@pytest.mark.parametrize("size", [(5, 4), (1, 30), (40, 3)])
def test_a_scene_smaller_than_a_window_is_reflected(tmp_path: Path, size: tuple[int, int]) -> None:
    stored = reflectances(*size)
    result = map_scene(linear_classifier(), write_scene(tmp_path / "scene.tif", stored), tmp_path / "map.tif")
    expected = brute_force_map(linear_classifier(), stored, result.cell)
    np.testing.assert_allclose(read(result.map), expected, atol=2e-6)
    assert "smaller than the 8 × 6" in result.cautions[0]


def test_missing_pixels_are_filled_and_empty_cells_stay_empty(tmp_path: Path) -> None:
    stored = reflectances(40, 36)
    stored[:, :17, :20] = 0
    stored[1, 30:, 25:] = 0
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=0)
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif", block_bytes=TINY_BLOCKS)
    expected = brute_force_map(linear_classifier(), stored, result.cell, missing=stored == 0)
    assert np.isnan(expected[0, :4, :6]).all()
    assert np.isnan(expected).sum() == 3 * 4 * 6
    np.testing.assert_allclose(read(result.map), expected, atol=2e-6)


def test_no_data_of_training_counts_where_the_scene_names_none(tmp_path: Path) -> None:
    stored = reflectances(24, 24)
    stored[:, :8] = 7
    classifier = linear_classifier(bands=fitted_bands(no_data=7))
    result = map_scene(classifier, write_scene(tmp_path / "scene.tif", stored), tmp_path / "map.tif")
    np.testing.assert_array_equal(np.isnan(read(result.map)[0, :2]), True)
    np.testing.assert_allclose(
        read(result.map), brute_force_map(classifier, stored, result.cell, missing=stored == 7), atol=2e-6
    )


def test_not_a_number_is_no_data_and_a_scene_of_it_is_an_empty_map(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.full((3, 20, 20), np.nan, dtype=np.float32))
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif", output="class")
    assert (read(result.map) == 255).all()
    assert set(result.shares.values()) == {0.0}


def test_bands_are_picked_by_name_and_units_are_honoured(tmp_path: Path) -> None:
    stored = reflectances(30, 30)
    expected = read(map_scene(linear_classifier(), write_scene(tmp_path / "a.tif", stored), tmp_path / "a_map.tif").map)
    more = np.stack([stored[2], reflectances(30, 30, 1, seed=5)[0], stored[0], stored[1]])
    names = ("B04", "B08", "B02", "B03")
    described = write_scene(tmp_path / "b.tif", more, names)
    unnamed = write_scene(tmp_path / "c.tif", more, None)
    reversed_scene = write_scene(tmp_path / "d.tif", stored[::-1].copy(), ("B04", "B03", "B02"))
    wordy = write_scene(tmp_path / "e.tif", stored, tuple(f"B{n}, central wavelength {n} nm" for n in (2, 3, 4)))
    reflectance = (stored / np.float32(1e4)).astype(np.float32)
    tagged = write_scene(tmp_path / "f.tif", stored * 2 + 2000, scales=(5e-5,) * 3, offsets=(-0.1,) * 3)
    for name, scene, options in (
        ("b", described, {}),
        ("c", unnamed, {"bands": names}),
        ("d", reversed_scene, {"bands": ("B04", "B03", "B02")}),
        ("e", wordy, {}),
        ("f", tagged, {}),
        ("g", write_scene(tmp_path / "g.tif", reflectance), {"scale": 1.0}),
    ):
        result = map_scene(linear_classifier(), scene, tmp_path / f"{name}_map.tif", **options)
        np.testing.assert_allclose(read(result.map), expected, atol=1e-5, err_msg=name)


def test_the_map_lies_where_the_scene_lies(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", reflectances(43, 41))
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif")
    with rasterio.open(result.map) as made, rasterio.open(scene) as seen:
        assert made.crs == seen.crs
        assert made.res == (30.0, 40.0)
        assert (made.bounds.left, made.bounds.top) == (LEFT, TOP)
        assert 0 <= made.bounds.right - seen.bounds.right < 30
        assert 0 <= seen.bounds.bottom - made.bounds.bottom < 40
        row, column = made.index(LEFT + 95, TOP - 165)
        assert (row, column) == (4, 3)


def test_a_scene_that_is_turned(tmp_path: Path) -> None:
    turned = rasterio.Affine.translation(LEFT, TOP) @ rasterio.Affine.rotation(30) @ rasterio.Affine.scale(10, -10)
    scene = write_scene(tmp_path / "scene.tif", reflectances(40, 36), transform=turned)
    with rasterio.open(map_scene(linear_classifier(), scene, tmp_path / "map.tif").map) as made:
        for row, column in ((0, 0), (10, 12), (3, 7)):
            assert made.xy(row, column, offset="ul") == pytest.approx(turned @ (column * 3, row * 4))


def test_classes_of_one_label(tmp_path: Path) -> None:
    stored = reflectances(40, 36)
    stored[:, :16, :20] = 0
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=0)
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif", output="class")
    probabilities = brute_force_map(linear_classifier(), stored, result.cell, missing=stored == 0)
    nowhere = np.isnan(probabilities[0])
    expected = np.where(nowhere, 255, np.nan_to_num(probabilities).argmax(axis=0))
    assert {0, 1, 2, 255} == set(np.unique(expected))
    with rasterio.open(result.map) as made:
        np.testing.assert_array_equal(made.read(1), expected)
        assert (made.count, made.dtypes, made.nodata) == (1, ("uint8",), 255)
        assert made.colormap(1)[0] == (0, 114, 178, 255)
        assert json.loads(made.tags()["KONVOI_CLASSES"]) == ["water", "forest", "town"]
        assert made.tags(1)["CLASS_1"] == "forest"
    for number, name in enumerate(("water", "forest", "town")):
        assert result.shares[name] == pytest.approx((expected == number).sum() / (~nowhere).sum())


def test_classes_of_several_labels(tmp_path: Path) -> None:
    stored = reflectances(40, 36)
    classifier = linear_classifier(several=True)
    scene = write_scene(tmp_path / "scene.tif", stored)
    result = map_scene(classifier, scene, tmp_path / "map.tif", output="class")
    probabilities = brute_force_map(classifier, stored, result.cell)
    expected = probabilities > np.array([0.3, 0.5, 0.7])[:, None, None]
    with rasterio.open(result.map) as made:
        np.testing.assert_array_equal(made.read(), expected)
        assert made.descriptions == ("water", "forest", "town")
        assert [made.tags(band)["THRESHOLD"] for band in (1, 2, 3)] == ["0.3", "0.5", "0.7"]
    assert result.shares["town"] == pytest.approx(expected[2].mean())


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    names = tuple(f"class {number}" for number in range(300))
    classifier = linear_classifier(class_names=names, network=LinearNetwork(3, 8, 6, 300))
    scene = write_scene(tmp_path / "scene.tif", reflectances(24, 24))
    with rasterio.open(map_scene(classifier, scene, tmp_path / "map.tif", output="class").map) as made:
        assert (made.dtypes, made.nodata) == (("uint16",), 65_535)
        assert made.read().max() > 255


def test_nothing_else_is_left_beside_the_map(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", reflectances(40, 36))
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.tif", "scene.tif"]
    assert result.quicklook == tmp_path / "map.png"
    assert not result.cautions


def test_progress_ends_with_all_rows(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    scene = write_scene(tmp_path / "scene.tif", reflectances(200, 36))
    map_scene(
        linear_classifier(),
        scene,
        tmp_path / "map.tif",
        block_bytes=TINY_BLOCKS,
        progress=lambda done, rows: seen.append((done, rows)),
    )
    assert seen[0] == (0, 50)
    assert seen[-1] == (50, 50)
    assert len(seen) > 5
    assert seen == sorted(set(seen))


def test_the_quicklook_shows_each_cell_in_its_colour(tmp_path: Path) -> None:
    stored = reflectances(200, 300)
    stored[:, 100:, 150:] = 0
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=0)
    classifier = linear_classifier(window=(20, 20), class_names=("$5 note", "forest [2]", "town"))
    result = map_scene(classifier, scene, tmp_path / "map.tif", overlap=0)
    picture = np.asarray(Image.open(result.quicklook).convert("RGB"))
    assert max(picture.shape) <= 1500
    best = np.nan_to_num(read(result.map)).argmax(axis=0)
    colours = np.array([(0, 114, 178), (230, 159, 0), (0, 158, 115)])
    # The map is 1000 pixels wide (15 cells) and starts at 30, 80.
    for row in range(10):
        for column in range(15):
            pixel = picture[80 + int((row + 0.5) * 1000 / 15), 30 + int((column + 0.5) * 1000 / 15)]
            empty = row >= 5 and column >= 8
            if not empty and not (row >= 5 and column == 7):
                assert np.abs(pixel - colours[best[row, column]]).max() <= 1, (row, column)
            elif empty:
                assert pixel.tolist() == [236, 238, 240]


MEASURE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_scenes import linear_classifier
from konvoi.predict.scenes import map_scene
map_scene(linear_classifier(window=(60, 60)), Path({scene!r}), Path({out!r}), block_bytes=1 << 20)
# Not getrusage: what it says of a child includes its parent's memory at the time of the fork.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_scene_ten_times_taller_costs_the_same_memory(tmp_path: Path) -> None:
    peaks = []
    for height in (1500, 15_000):
        scene = tmp_path / f"{height}.tif"
        tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "lzw"}
        write_scene(scene, np.broadcast_to(reflectances(1, 1200), (3, height, 1200)), **tiles)
        code = MEASURE.format(
            tests=str(Path(__file__).parent), scene=str(scene), out=str(tmp_path / f"{height}_map.tif")
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    # The taller scene is 108 MB of stored values, and twice that as the network takes them. GDAL's cache of 64 MiB is
    # filled by it and not by the other one, whose quick-look is the larger picture; so some difference is due.
    assert peaks[1] - peaks[0] < 60, peaks


def test_a_wide_scene_in_strips_is_mapped_with_a_word_on_speed(tmp_path: Path) -> None:
    classifier, stored = linear_classifier(), reflectances(16, 300)
    strips = write_scene(tmp_path / "strips.tif", stored, blockysize=1)
    tiled = write_scene(tmp_path / "tiled.tif", stored, tiled=True, blockxsize=16, blockysize=16)
    maps = [map_scene(classifier, scene, tmp_path / "map.tif", block_bytes=TINY_BLOCKS) for scene in (strips, tiled)]
    assert "stored in strips of all its 300 columns" in maps[0].cautions[0]
    assert maps[1].cautions == ()
