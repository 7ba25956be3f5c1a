"""The IDX format, against files written byte by byte, and the four real files of MNIST."""

from __future__ import annotations

import contextlib
import gzip
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from konvoi.data.bands import GREY
from konvoi.data.known import KNOWN
from konvoi.data.sources.idx import read_idx, read_idx_source
from konvoi.errors import DataError
from konvoi.recipe.source import IdxSource


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_data_set(
    folder: Path, train: int = 3, test: int = 2, size: tuple[int, int] = (2, 3), form: str = "{}-idx{}-ubyte"
) -> tuple[np.ndarray, np.ndarray]:
    """The four files, with counting pixels and labels 0, 1, 2, 0, …; returns all images and labels, joined."""
    count = train + test
    images = np.arange(count * size[0] * size[1], dtype=np.uint8).reshape(count, *size)
    labels = (np.arange(count) % 3).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", slice(0, train)), ("t10k", slice(train, count))):
        for kind, dimensions, array in (("images", 3, images[rows]), ("labels", 1, labels[rows])):
            path = folder / form.format(f"{part}-{kind}", dimensions)
            content = idx_bytes(array)
            path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return images, labels


def source(dataset: str = "counting", classes: tuple[str, ...] | None = None) -> IdxSource:
    return IdxSource(kind="idx", dataset=dataset, classes=classes)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns a refusal that does not name the path into a failure of the test."""
    try:
        yield
    except DataError as error:
        if str(path) not in str(error):
            pytest.fail(f"the message does not name {path}: {error}")
        raise


# ---- one file ---------------------------------------------------------------------------------------------


def test_values_of_a_file_written_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "one-idx3-ubyte"
    path.write_bytes(bytes.fromhex("00000803 00000001 00000002 00000003") + bytes([1, 2, 3, 4, 5, 255]))

    array = read_idx(path)

    assert array.dtype == np.uint8
    assert array.tolist() == [[[1, 2, 3], [4, 5, 255]]]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=numpy_strategies.arrays(
        np.uint8, numpy_strategies.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    ),
    compressed=st.booleans(),
)
def test_what_was_written_is_read(tmp_path: Path, array: np.ndarray, compressed: bool) -> None:
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compressed else idx_bytes(array))

    found = read_idx(path)

    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40), idx_like=st.booleans(), compressed=st.booleans())
def test_any_content_is_read_or_refused_with_its_path(
    tmp_path: Path, content: bytes, idx_like: bool, compressed: bool
) -> None:
    if idx_like:
        content = b"\0\0\x08" + content
    path = tmp_path / "anything"
    path.write_bytes(gzip.compress(content) if compressed else content)
    with contextlib.suppress(DataError), naming(path):
        read_idx(path)


def test_a_plain_file_whose_name_says_gz_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(idx_bytes(np.array([7, 8], dtype=np.uint8)))
    assert read_idx(path).tolist() == [7, 8]


WHOLE = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an IDX file"),
        (b"<!DOCTYPE html>", "not an IDX file.*<!DO.*web page"),
        (bytes.fromhex("00000d01 00000001 00000000"), "the values are float32.*uint8"),
        (bytes.fromhex("00000001 00000001 00"), "unknown type.*0x00"),
        (bytes.fromhex("00000800"), "0 dimensions"),
        (bytes.fromhex("00000809"), "9 dimensions"),
        (bytes.fromhex("00000802 00000001 0000"), "ends inside its header, after 10 of 12 bytes"),
        (WHOLE[:-1], "5 values, but its header announces 2 × 3 = 6.*cut off"),
        (WHOLE + b"\0", "more bytes after the 2 × 3 = 6 values"),
        (bytes.fromhex("00000802 ffffffff ffffffff 01"), "1 values, but its header announces 4294967295"),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, content: bytes, said: str, compress: type) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(compress(content))
    with pytest.raises(DataError, match=said) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_damaged_gzip_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    """Also where only the checksum at the end tells: every single bit counts."""
    path = tmp_path / "damaged.gz"
    values = np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8)
    whole = gzip.compress(idx_bytes(values), mtime=0)
    header = 10  # Its time stamp and operating system may change without harm.
    for position in range(header, len(whole), 97):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged\.gz"):
            read_idx(path)
    path.write_bytes(whole[:-9])
    with pytest.raises(DataError, match="gzip compression is damaged"):
        read_idx(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: cannot be read \(No such file"):
        read_idx(tmp_path / "nothing")


# ---- the four files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}-idx{}-ubyte", "{}-idx{}-ubyte.gz", "{}.idx{}-ubyte", "{}.idx{}-ubyte.gz"])
def test_training_and_test_are_joined_in_order(tmp_path: Path, form: str) -> None:
    images, labels = write_data_set(tmp_path / "counting", form=form)

    dataset = read_idx_source(source(), tmp_path)

    assert dataset.name == "counting"
    assert dataset.images.shape == (5, 1, 2, 3)
    np.testing.assert_array_equal(dataset.images[:, 0], images)
    np.testing.assert_array_equal(dataset.labels, labels)
    assert dataset.labels.dtype == np.int64
    assert dataset.given_test is not None
    assert dataset.given_test.tolist() == [3, 4]
    assert dataset.given_test.dtype == np.int64
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.bands == GREY
    assert dataset.origin == f"IDX files in {tmp_path / 'counting'}"


def test_the_recipe_names_the_classes(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    dataset = read_idx_source(source(classes=("oak", "ash", "elm")), tmp_path)
    assert dataset.class_names == ("oak", "ash", "elm")


def test_too_few_class_names_are_refused(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    with pytest.raises(DataError, match="label 2, outside the 2 classes"):
        read_idx_source(source(classes=("oak", "ash")), tmp_path)


def test_a_variant_of_a_known_data_set_is_read_and_said(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    dataset = read_idx_source(source("fashion-mnist"), tmp_path)
    assert dataset.class_names == KNOWN["fashion-mnist"].class_names
    assert dataset.origin.endswith("(content differs from the published fashion-mnist)")


def test_counts_that_differ_name_both_files(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(7, dtype=np.uint8)))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte has 2 images.*t10k-labels-idx1-ubyte has 7 labels"):
        read_idx_source(source(), tmp_path)


def test_sizes_that_differ_name_both_files(tmp_path: Path) -> None:
    write_data_set(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 3, 2), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte has images of 2 × 3.*t10k-images.* of 3 × 2"):
        read_idx_source(source(), tmp_path)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_interchanged_images_and_labels_are_refused(tmp_path: Path, name: str) -> None:
    write_data_set(tmp_path)
    wrong = np.zeros(3, dtype=np.uint8) if "images" in name else np.zeros((3, 2, 3), dtype=np.uint8)
    (tmp_path / name).write_bytes(idx_bytes(wrong))
    with pytest.raises(DataError, match=f"{name}: .*interchanged"):
        read_idx_source(source(), tmp_path)


def test_files_without_samples_are_refused(tmp_path: Path) -> None:
    write_data_set(tmp_path, train=0, test=0)
    with pytest.raises(DataError, match="no samples"):
        read_idx_source(source(), tmp_path)


# ---- the real files ---------------------------------------------------------------------------------------


def test_mnist(shared_data: Path) -> None:
    started = time.perf_counter()
    dataset = read_idx_source(source("mnist"), shared_data)
    seconds = time.perf_counter() - started

    assert dataset.images.shape == (70_000, 1, 28, 28)
    assert dataset.given_test is not None
    assert dataset.given_test.tolist() == list(range(60_000, 70_000))
    assert dataset.class_names == tuple("0123456789")
    # The counts that the files' publishers give for the training and the test digits.
    assert np.bincount(dataset.labels[:60_000]).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(dataset.labels[60_000:]).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert dataset.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # The mean and deviation that every MNIST tutorial normalises with.
    training = dataset.images[:60_000].astype(np.float32) / 255
    assert training.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert training.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert dataset.origin == f"IDX files in {shared_data / 'mnist'}"
    # Half a second on two slow cores; the bound catches reading value by value, not a busy machine.
    assert seconds < 5


def test_mnist_files_are_not_taken_for_fashion_mnist(shared_data: Path) -> None:
    """Both have the same four file names, shapes and labels: only the content tells them apart."""
    with pytest.raises(DataError, match=r"asks for fashion-mnist.*are those of mnist"):
        read_idx_source(source("fashion-mnist"), shared_data / "mnist")


def test_fashion_mnist_where_the_system_has_it() -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = read_idx_source(source("fashion-mnist"), folder)
    assert dataset.origin == f"IDX files in {folder}"
    assert np.bincount(dataset.labels[:60_000]).tolist() == [6000] * 10
    assert dataset.class_names[9] == "Ankle boot"
    assert dataset.labels[0] == 9
