"""The reader of plain TIFF files against rasterio, on real files and on files of every kind."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio", reason="the reader is compared with rasterio")

from rasterio.transform import from_origin  # noqa: E402

from konvoi.data.patches import PatchError, Place  # noqa: E402
from konvoi.data.sources import tiff  # noqa: E402
from konvoi.data.sources.tiff import read_header, read_pixels, read_place  # noqa: E402


def write(path: Path, values: np.ndarray, **options: object) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32633", transform=from_origin(404_400, 5_342_400, 10, 10), **options,
    ) as file:  # fmt: skip
        file.write(values)
    return path


def values_of(dtype: str, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (bands, 40, 50)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interleave": "pixel"},
        {"interleave": "band"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "deflate"},
        {"ENDIANNESS": "BIG"},
        {"BIGTIFF": "YES"},
    ],
    ids=str,
)
def test_all_kinds_of_files_are_read_as_they_were_written(tmp_path: Path, dtype: str, options: dict) -> None:
    values = values_of(dtype)
    path = write(tmp_path / "image.tif", values, **options)
    read = read_pixels(path, values.shape, dtype)
    np.testing.assert_array_equal(read, values)
    assert read_place(path) == Place("EPSG:32633", 404_400, 5_342_400, 404_900, 5_342_000)


def test_plain_files_are_read_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16"))
    monkeypatch.setattr(tiff, "_rasterio", lambda path: pytest.fail("rasterio was asked"))
    assert read_pixels(path, (3, 40, 50), "uint16").shape == (3, 40, 50)
    assert read_place(path) is not None


def test_every_real_file_is_read_as_rasterio_reads_it(shared_data: Path) -> None:
    files = [
        path for name in ("bigearthnet-v1", "bigearthnet-v2", "eurosat") for path in (shared_data / name).rglob("*.tif")
    ]
    assert len(files) > 150
    for path in files:
        with rasterio.open(path) as file:
            expected = file.read()
            read = read_pixels(path, expected.shape, expected.dtype)
            place = read_place(path)
            assert place is not None
            assert place.crs == f"EPSG:{file.crs.to_epsg()}"
            assert (place.left, place.bottom, place.right, place.top) == pytest.approx(tuple(file.bounds), abs=1e-6)
        np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("kept", [0, 3, 7, 100, 300, 4000])
def test_a_truncated_file_is_named(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16"))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PatchError, match=r"image\.tif is truncated or no TIFF file"):
        read_pixels(path, (3, 40, 50), "uint16")


def set_tag(path: Path, tag: int, value: int) -> None:
    """Another value, or place of values, for a tag of the first directory."""
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", content, entry)[0] == tag:
            struct.pack_into("<I", content, entry + 8, value)
    path.write_bytes(content)


@pytest.mark.parametrize("side", [8, 120])
def test_strips_that_were_never_written_are_not_read_from_the_files_beginning(tmp_path: Path, side: int) -> None:
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint16", SPARSE_OK=True, nodata=7
    ):
        pass
    np.testing.assert_array_equal(read_pixels(path, (1, side, side), "uint16"), np.full((1, side, side), 7))


def test_strips_that_hold_less_than_the_image_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16"))
    set_tag(path, 257, 41)
    with pytest.raises(PatchError, match=r"image\.tif is truncated"):
        read_pixels(path, (3, 41, 50), "uint16")


def test_a_place_that_stands_outside_the_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16"))
    set_tag(path, 33550, 10**8)
    with pytest.raises(PatchError, match=r"image\.tif does not say where it lies"):
        read_place(path)


def test_whatever_bytes_are_damaged_the_file_is_read_or_named(tmp_path: Path) -> None:
    good = write(tmp_path / "image.tif", values_of("uint16")).read_bytes()
    damaged, rng, messages = tmp_path / "damaged.tif", np.random.default_rng(0), []
    for _ in range(500):
        content = bytearray(good)
        for place in rng.integers(0, 450, 3):  # header, directory and the values of its tags
            content[place] = rng.integers(0, 256)
        damaged.write_bytes(content)
        for read in (lambda: read_pixels(damaged, (3, 40, 50), "uint16"), lambda: read_place(damaged)):
            try:
                read()
            except PatchError as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert all("damaged.tif" in message for message in messages)


def test_another_shape_or_type_is_said_with_both_sides(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16"))
    with pytest.raises(PatchError, match=r"3 × 40 × 50 values of uint16; expected are 1 × 120 × 120 of uint16"):
        read_pixels(path, (1, 120, 120), "uint16")
    with pytest.raises(PatchError, match=r"values of uint16; expected are .* of float32"):
        read_pixels(path, (3, 40, 50), "float32")
    with pytest.raises(PatchError, match=r"nothing\.tif is missing"):
        read_pixels(tmp_path / "nothing.tif", (1, 1, 1), "uint8")


def test_the_header_tells_descriptions_and_no_data(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", values_of("uint16", 2), nodata=0)
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("B02", "B03")
    header = read_header(path)
    assert (header.shape, header.dtype, header.descriptions, header.no_data) == (
        (2, 40, 50),
        "uint16",
        ("B02", "B03"),
        0,
    )


def test_a_file_that_lies_nowhere_has_no_place(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", count=1, height=4, width=4, dtype="uint8") as file:
        file.write(np.zeros((1, 4, 4), np.uint8))
    assert read_place(tmp_path / "a.tif") is None
