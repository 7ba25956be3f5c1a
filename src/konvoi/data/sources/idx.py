"""The IDX format of MNIST and its successors: one file, and the four files that make a data set.

An IDX file is: two zero bytes, a byte for the type of the values, a byte for the number of dimensions, each
dimension as a big-endian 32-bit number, then the values in row-major order. Where the files lie is decided in
`data.locations`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import GREY
from konvoi.data.dataset import Dataset
from konvoi.data.known import IDX_FILES, KNOWN, KnownDataset, spellings
from konvoi.data.locations import find_files
from konvoi.errors import DataError
from konvoi.recipe.source import IdxSource

UINT8_CODE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
MAX_DIMENSIONS = 4
GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of uint8 values, plain or compressed with gzip, of 1 to 4 dimensions.

    Compression is seen from the first bytes, not the name: browsers unpack a .gz and keep its name.

    Raises:
        DataError: the file is not IDX, holds another type, is too short, too long, or damaged.
    """
    try:
        with open_plain_or_gzip(path) as stream:
            shape = _read_shape(stream, path)
            size = math.prod(shape)
            values = _read_up_to(stream, size)
            if len(values) < size:
                raise DataError(
                    f"{path}: {len(values):,} values, but its header announces {_product(shape)} = {size:,}. "
                    "The file was cut off: copy or download it again."
                )
            # Reading past the last value also makes gzip compare its checksum of everything before.
            if stream.read(1):
                raise DataError(
                    f"{path}: more bytes after the {_product(shape)} = {size:,} values that its header "
                    "announces. The header and the content do not belong together: copy or download it again."
                )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip compression is damaged ({error}). Copy or download it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def read_idx_source(source: IdxSource, data_dir: Path | None = None) -> Dataset:
    """The training and the test files of a data set such as MNIST, joined; the t10k files are its test set.

    Returns:
        Images `(N, 1, H, W)`, grey, the training samples first. Where the content of a data set known by name
        is not the published one, `origin` says so.

    Raises:
        DataError: files are missing, damaged, do not fit each other, or are those of another known data set.
    """
    paths = find_files(source.dataset, [spellings(name) for name in IDX_FILES], data_dir)
    train_images, train_labels, test_images, test_labels = arrays = [read_idx(path) for path in paths]
    _require_images_with_labels(train_images, paths[0], train_labels, paths[1])
    _require_images_with_labels(test_images, paths[2], test_labels, paths[3])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{paths[0]} has images of {_product(train_images.shape[1:])} pixels and {paths[2]} of "
            f"{_product(test_images.shape[1:])}. Training and test images of one data set have one size: one "
            "of the files belongs elsewhere."
        )

    folder = paths[0].parent
    origin = f"IDX files in {folder}"
    known = KNOWN.get(source.dataset)
    if known is not None:
        origin += _difference_from_published(known, [_checksum(array) for array in arrays], folder)

    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    if source.classes is not None:
        class_names = source.classes
    elif known is not None:
        class_names = known.class_names
    else:
        class_names = tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
    return Dataset(
        name=source.dataset,
        images=np.concatenate([train_images, test_images])[:, np.newaxis],
        labels=labels,
        class_names=class_names,
        bands=GREY,
        given_test=np.arange(len(train_labels), len(labels), dtype=np.int64),
        origin=origin,
    )


def open_plain_or_gzip(path: Path) -> io.BufferedIOBase:
    """A stream of a file's content, decompressed if its first bytes are those of gzip.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _read_shape(stream: io.BufferedIOBase, path: Path) -> tuple[int, ...]:
    magic = _read_up_to(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(
            f"{path}: not an IDX file. It begins with {bytes(magic)!r}, and an IDX file with two zero bytes, "
            "a type and a number of dimensions. A web page saved in place of the file looks like this: "
            "download it again."
        )
    code, dimensions = magic[2], magic[3]
    if code != UINT8_CODE:
        found = OTHER_TYPES.get(code, f"an unknown type (code 0x{code:02x})")
        raise DataError(
            f"{path}: the values are {found}, and Konvoi reads IDX files of uint8 (code 0x08). Convert the "
            "values to 0 … 255 and write the file anew."
        )
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise DataError(
            f"{path}: the header announces {dimensions} dimensions. Labels have 1 and images 3: this is not "
            "a file of either, or its header is damaged. Copy or download it again."
        )
    sizes = _read_up_to(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path}: ends inside its header, after {4 + len(sizes)} of {4 + 4 * dimensions} bytes. The file "
            "was cut off: copy or download it again."
        )
    return struct.unpack(f">{dimensions}I", sizes)


def _read_up_to(stream: io.BufferedIOBase, size: int) -> bytearray:
    # In pieces: a damaged header may announce terabytes, and a single read would reserve them first.
    content = bytearray()
    while len(content) < size:
        piece = stream.read(min(CHUNK_BYTES, size - len(content)))
        if not piece:
            break
        content += piece
    return content


def _require_images_with_labels(
    images: NDArray[np.uint8], images_path: Path, labels: NDArray[np.uint8], labels_path: Path
) -> None:
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise DataError(
            f"{images_path}: an array of {_product(images.shape)}, where grey images (number × height × "
            "width) were expected. Images and labels may have been interchanged."
        )
    if labels.ndim != 1:
        raise DataError(
            f"{labels_path}: an array of {_product(labels.shape)}, where one label for each image was "
            "expected. Images and labels may have been interchanged."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} has {len(images):,} images, but {labels_path} has {len(labels):,} labels. Each "
            "image needs one label: one of the two files belongs elsewhere."
        )


def _difference_from_published(known: KnownDataset, checksums: list[str], folder: Path) -> str:
    """A remark for `origin`: empty if the content is the published one.

    Raises:
        DataError: the content is that of another data set known by name, which has the same file names.
    """
    if checksums == [file.sha256 for file in known.files]:
        return ""
    for other in KNOWN.values():
        mixed = [file.name for file, found in zip(other.files, checksums, strict=True) if file.sha256 == found]
        if other is not known and mixed:
            raise DataError(
                f"The recipe asks for {known.name}, but in {folder} {', '.join(mixed)} "
                f"{'is that' if len(mixed) == 1 else 'are those'} of {other.name}. Name the folder of "
                f"{known.name}, or set source.dataset={other.name}."
            )
    return f" (content differs from the published {known.name})"


def _checksum(array: NDArray[np.uint8]) -> str:
    # The header follows from the shape, so the file's content can be hashed without reading it a second time.
    digest = hashlib.sha256(struct.pack(f">BBBB{array.ndim}I", 0, 0, UINT8_CODE, array.ndim, *array.shape))
    digest.update(array.data)
    return digest.hexdigest()


def _product(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
