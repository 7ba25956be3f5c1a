"""What a scene must have in common with the training images; each refusal word by word."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", reason="scenes need rasterio")

from made_scenes import LEFT, TOP, fitted_bands, linear_classifier, reflectances, write_scene  # noqa: E402

from konvoi.errors import DataError  # noqa: E402
from konvoi.predict.georeferenced import Scene, fit_scene, open_raster, read_block  # noqa: E402
from konvoi.predict.plausibility import plausible_values  # noqa: E402
from konvoi.predict.scenes import map_scene  # noqa: E402


def fit(path: Path, **options: Any) -> Scene:
    bands = options.pop("expected", fitted_bands())
    with open_raster(path) as dataset:
        return fit_scene(dataset, path, bands, **options)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        fit(path, **options)
    return str(caught.value).replace(str(path), "SCENE")


def test_another_order_is_refused_with_the_way_on(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20), ("B04", "B03", "B02"))
    assert refusal(scene) == (
        "Band order differs: the checkpoint expects B02, B03, B04; the scene has B04, B03, B02. Reorder with --bands, "
        "or retrain. --bands B04,B03,B02 confirms that they lie so in the file; Konvoi then picks them by name."
    )
    assert fit(scene, names=("B04", "B03", "B02")).indexes == (3, 2, 1)


def test_the_network_s_order_given_as_the_scene_s_is_no_silent_swap(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20), ("B04", "B03", "B02"))
    assert refusal(scene, names=("B02", "B03", "B04")) == (
        "--bands says that band 1 of SCENE is B02; the file itself says B04. --bands names the scene's bands in the "
        "order in which they lie in the file: --bands B04,B03,B02"
    )


def test_missing_bands(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20), ("B02", "B03", "B08"))
    assert refusal(scene) == (
        "Bands differ: the checkpoint expects B02, B03, B04; the scene has B02, B03, B08. Reorder with --bands, "
        "or retrain."
    )


def test_bands_without_names(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20, 4), None)
    assert refusal(scene) == (
        "SCENE has 4 bands and does not say which they are (no band descriptions); the checkpoint expects B02, B03, "
        "B04. Name the scene's bands in the order in which they lie in the file, for example --bands B02,B03,B04"
    )
    assert refusal(scene, names=("B02", "B03", "B04")) == (
        "--bands names 3 bands (B02, B03, B04); SCENE has 4. Name every one, in the order in which they lie in the "
        "file; Konvoi picks those that the network needs."
    )
    assert fit(scene, names=("B08", "B04", "B03", "B02")).indexes == (4, 3, 2)


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20, 4), ("B02", "B03", "B04", "B03"))
    assert refusal(scene).startswith("SCENE has more than one band B03 (B02, B03, B04, B03). Name its bands apart")
    assert fit(write_scene(scene, reflectances(20, 20, 4), None), names=("B02", "B03", "B04", "x")).indexes == (1, 2, 3)


def test_an_alpha_band_is_no_band_and_its_holes_are_no_data(tmp_path: Path) -> None:
    values = reflectances(20, 20, 4)
    values[3] = 65_535
    values[3, :10] = 0
    path = write_scene(tmp_path / "s.tif", values, ("B02", "B03", "B04", None), photometric="RGB", alpha="YES")
    scene = fit(path, names=("B02", "B03", "B04"))
    with open_raster(path) as dataset:
        found, valid = read_block(dataset, path, scene, (1.0, 2.0, 3.0), slice(5, 15), slice(0, 20))
    assert valid.sum() == 100
    np.testing.assert_array_equal(found[:, 0, 0], (1, 2, 3))
    np.testing.assert_array_equal(found[:, 5:], values[:3, 10:15])


def test_reflectance_times_ten_thousand_is_told_from_reflectance(tmp_path: Path) -> None:
    stored = np.full((3, 40, 40), 1200, dtype=np.uint16)
    as_fraction = write_scene(tmp_path / "s.tif", (stored / 1e4).astype(np.float32))
    message = refusal(as_fraction)
    assert message == (
        "SCENE: Values of another magnitude: the checkpoint's training values and the scene's (× 0.0001, as in "
        "training; the file names no scale) differ more than 30-fold in every band, in reflectance B02: 0.112 and "
        "1.2e-05, B03: 0.112 and 1.2e-05, B04: 0.112 and 1.2e-05. The scene's would fit if they were 10000 times what "
        "they are. Say with --scale what a value in the file is multiplied by to give reflectance."
    )
    fitted = fit(as_fraction, scale=1.0)
    np.testing.assert_allclose(fitted.gain, 1e4)
    assert fitted.cautions == ()
    percent = write_scene(tmp_path / "p.tif", (stored / 1e2).astype(np.float32))
    assert "100 times what they are" in refusal(percent)
    # Said explicitly, it is believed, with a caution.
    assert "Values of another magnitude" in fit(percent, scale=1e-4).cautions[0]
    wrong_tag = write_scene(tmp_path / "t.tif", stored, scales=(1e-8,) * 3)
    assert "(× 1e-08 + 0, as the file says)" in refusal(wrong_tag)


def test_magnitudes() -> None:
    bands = fitted_bands(mean=0.1, deviation=0.0)
    dark_infrared = np.array([[0.03], [0.02], [0.001]]) * np.ones((1, 9))
    assert plausible_values(dark_infrared, bands, "") == ""
    assert plausible_values(dark_infrared / 5, bands, "") == ""
    assert plausible_values(dark_infrared / 100, bands, "") != ""
    assert plausible_values(np.full((3, 9), 2.9), bands, "") == ""
    assert plausible_values(np.full((3, 9), 3.1), bands, "") != ""
    assert plausible_values(np.zeros((3, 9)), bands, "") == ""
    assert plausible_values(np.full((3, 9), np.nan), bands, "") == ""
    mostly_empty = np.zeros((3, 9))
    mostly_empty[:, 0] = 0.1
    assert plausible_values(mostly_empty, bands, "") == ""


def test_decibels_are_told_from_linear_backscatter() -> None:
    from konvoi.data.sensors import sentinel1

    bands = sentinel1().fitted("standard", np.array([-12.0, -19.0]), np.array([4.0, 5.0]))
    decibels = np.array([[-10.0] * 5, [-16.0] * 5])
    assert plausible_values(decibels, bands, "") == ""
    assert plausible_values(10 ** (decibels / 10), bands, "") != ""


def test_pixels_of_another_size(tmp_path: Path) -> None:
    coarse = write_scene(tmp_path / "s.tif", reflectances(20, 20), transform=rasterio.Affine(20, 0, LEFT, 0, -20, TOP))
    assert refusal(coarse) == (
        "Ground sampling distance differs: the checkpoint expects 10 m; SCENE has 20 m. Resample the scene, for "
        "example with gdalwarp -tr 10 10 and a projection in metres, or retrain."
    )
    nearly = write_scene(
        tmp_path / "n.tif", reflectances(20, 20), transform=rasterio.Affine(10.9, 0, LEFT, 0, -9.2, TOP)
    )
    assert fit(nearly).indexes == (1, 2, 3)
    twenty = fitted_bands(("B05", "B06", "B07"))
    assert fit(
        write_scene(coarse, reflectances(20, 20), twenty.names, transform=rasterio.Affine(20, 0, LEFT, 0, -20, TOP)),
        expected=twenty,
    ).indexes == (1, 2, 3)


def test_pixels_in_degrees_and_in_feet(tmp_path: Path) -> None:
    # At 60° north a degree of longitude is half as long as one of latitude.
    degree = 10 / 111_320
    square = rasterio.Affine(2 * degree, 0, 15.0, 0, -degree, 60.0)
    assert fit(write_scene(tmp_path / "s.tif", reflectances(20, 20), crs="EPSG:4326", transform=square)).cautions == ()
    skewed = rasterio.Affine(degree, 0, 15.0, 0, -degree, 60.0)
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20), crs="EPSG:4326", transform=skewed)
    assert "expects 10 m; SCENE has 5 × 10 m" in refusal(scene)
    feet = rasterio.Affine(10 / 0.3048006, 0, 1e6, 0, -10 / 0.3048006, 1e6)
    assert fit(write_scene(tmp_path / "f.tif", reflectances(20, 20), crs="EPSG:2263", transform=feet)).cautions == ()


def test_a_scene_that_lies_nowhere_is_mapped_with_a_caution(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20), crs=None, transform=rasterio.Affine.identity())
    result = map_scene(linear_classifier(), scene, tmp_path / "map.tif")
    assert "no reference system" in result.cautions[0]


def test_complex_values(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", np.ones((3, 20, 20), dtype=np.complex64))
    assert refusal(scene) == "SCENE stores complex64; read are whole and floating-point numbers."


def test_no_raster_and_no_file(tmp_path: Path) -> None:
    text = tmp_path / "s.tif"
    text.write_text("not an image")
    assert refusal(text).startswith("SCENE cannot be read as a georeferenced raster: ")
    assert refusal(tmp_path / "missing.tif") == "There is no file SCENE."


def test_a_damaged_scene_is_named_with_the_place_and_the_finished_rows_stay(tmp_path: Path) -> None:
    stored = reflectances(400, 40)
    scene = write_scene(tmp_path / "s.tif", stored, compress="deflate", blockysize=8)
    whole = map_scene(linear_classifier(), scene, tmp_path / "whole.tif", block_bytes=3 * 4 * 20 * 20)
    content = scene.read_bytes()
    changed = scene.stat().st_mtime_ns
    with scene.open("r+b") as file:
        file.seek(len(content) * 5 // 8)
        file.write(b"\xff" * 3000)
    os.utime(scene, ns=(changed, changed))
    out = tmp_path / "map.tif"
    with pytest.raises(DataError, match=r"s\.tif cannot be read at pixel rows \d+ to \d+, .*not copied completely"):
        map_scene(linear_classifier(), scene, out, block_bytes=3 * 4 * 20 * 20)
    assert not out.exists()
    scene.write_bytes(content)
    os.utime(scene, ns=(changed, changed))
    mended = map_scene(linear_classifier(), scene, out, block_bytes=3 * 4 * 20 * 20)
    assert mended.resumed_rows > 10
    assert out.read_bytes() == whole.map.read_bytes()


@pytest.mark.parametrize(
    ("out", "overlap", "message"),
    [
        ("map.png", 0.5, r"must end with \.tif, and not map\.png"),
        ("nowhere/map.tif", 0.5, "There is no folder"),
        ("s.tif", 0.5, "--out is the scene itself"),
        ("map.tif", 1.0, "from 0 to less than 1, and not 1"),
        ("map.tif", -0.1, "from 0 to less than 1, and not -0.1"),
    ],
)
def test_places_and_overlaps(tmp_path: Path, out: str, overlap: float, message: str) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20))
    with pytest.raises(DataError, match=message):
        map_scene(linear_classifier(), scene, tmp_path / out, overlap=overlap)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif"]


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = write_scene(tmp_path / "s.tif", reflectances(20, 20))
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".")[0] == "rasterio":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'konvoi\[scenes\]'"):
        map_scene(linear_classifier(), scene, tmp_path / "map.tif")
