"""One image file as an array: decoding, grey or colour, 8 bits, one size.

Shared by the image folder and by prediction, so that a network sees a picture the same way in both. Knows
nothing of classes and labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".bmp"})
"""The endings, in lower case, of the files that are taken for images."""

# Closed on purpose: whatever a file's name, Pillow would run Ghostscript on it if it looked like PostScript.
FORMATS = ("PNG", "JPEG", "PPM", "TIFF", "BMP")

MAX_PIXELS = 89_478_485
"""The largest image that is decoded; a quarter of a gibibyte in RGB, and Pillow's own limit for a warning."""

BILINEAR = 2
"""Pillow's `Resampling.BILINEAR`, without reading Pillow: a triangle that widens where the picture shrinks."""

SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


def read_image(
    path: Path, channels: Literal["grey", "rgb"], size: tuple[int, int], centre: float | None = None
) -> NDArray[np.uint8]:
    """An image of PNG, JPEG, PPM/PGM, TIFF or BMP format as an array.

    The camera's orientation (EXIF) is applied. Alpha is dropped. Colour becomes grey by the luma of ITU-R 601
    (0.299 red + 0.587 green + 0.114 blue), grey becomes colour by repetition. 16-bit grey is divided by 257
    and rounded, so 0 … 65535 becomes 0 … 255 and nothing is clipped; 16-bit colour keeps its upper 8 bits.
    An image of another size is resized bilinearly with antialiasing: where it shrinks, every pixel counts.

    Args:
        path: the file.
        channels: grey gives C = 1, rgb gives C = 3.
        size: height and width of the result, in pixels.
        centre: show the square in the middle alone, whose side is this share of the image's short side; see
            `data.crops.centre_crops`.

    Returns:
        `(C, H, W)`, uint8.

    Raises:
        DataError: the file is missing, damaged, too large, or of a kind whose values do not fit 8 bits. The
            message is the path, a colon and the reason.
    """
    picture = decode(path, str(path)).convert("L" if channels == "grey" else "RGB")
    height, width = size
    if centre is not None:
        side = centre * min(picture.size)
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        picture = picture.resize((width, height), BILINEAR, box=(left, top, left + side, top + side))
    elif picture.size != (width, height):
        picture = picture.resize((width, height), BILINEAR)
    pixels = np.asarray(picture, dtype=np.uint8)
    if channels == "grey":
        return pixels[np.newaxis]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode(file: Path | BinaryIO, where: str, enough: int | None = None) -> Image.Image:
    """A picture, upright and with 8 bits a value, in whatever mode it has (grey, RGB, CMYK, …).

    Pillow takes CMYK in a JPEG for inverted, as Adobe's programs write it and readers expect; `convert("RGB")` of the
    result is right then.

    Args:
        file: a path, or an open file.
        where: what the message of an error begins with.
        enough: pixels a side that are wanted at least. A JPEG of more than four times as many is decoded at a half,
            quarter or eighth of its size, which leaves out the fine end of its frequencies (Pillow's draft mode).

    Raises:
        DataError: as `read_image`.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as opened:
            _require_single_image_of_reasonable_size(opened, where)
            if enough is not None:
                # Twice as many as are needed, so that the filter of the resize has the last word.
                opened.draft("RGB", (2 * enough, 2 * enough))
            opened.load()
            upright = ImageOps.exif_transpose(opened)
        return _to_eight_bits(upright, where)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{where}: not an image of a format that is read here (PNG, JPEG, PPM, TIFF, BMP), or its "
            "beginning is damaged. Convert it to PNG, or copy it again."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(where) from error
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no such file.") from error
    # Pillow's decoders answer damaged files with almost any exception: OSError, SyntaxError, struct.error, …
    except Exception as error:
        raise DataError(f"{where}: cannot be decoded ({error}). Copy the file again, or remove it.") from error


def _require_single_image_of_reasonable_size(image: Image.Image, where: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(where, f"{image.height} × {image.width} pixels is")
    pages = getattr(image, "n_frames", 1)
    # JPEGs from telephones also hold several pictures, but there the first one is the photograph.
    if image.format == "TIFF" and pages > 1:
        raise DataError(
            f"{where}: a stack of {pages} pages, where a single image was expected. Save each page as an "
            "image of its own."
        )


def _too_large(where: str, found: str = "it is") -> DataError:
    return DataError(
        f"{where}: {found} more than the {MAX_PIXELS / 1e6:.0f} million pixels that are decoded. Either the "
        "file is damaged, or it is a scene: cut it into patches first."
    )


def _to_eight_bits(image: Image.Image, where: str) -> Image.Image:
    from PIL import Image

    if image.mode == "F":
        raise DataError(
            f"{where}: floating-point values, whose range is not known, and an image here has 8 or 16 bits. "
            "Scale the values to 0 … 65535 and save them as 16-bit TIFF or PNG."
        )
    if image.mode in SIXTEEN_BIT_MODES or image.mode == "I":
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise DataError(
                f"{where}: grey values from {low} to {high}, and an image here has 8 or 16 bits (0 … 65535). "
                "Scale the values to that range and save them as 16-bit TIFF or PNG."
            )
        # Round half up: 257 is odd, so no value lies exactly half way.
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in {"P", "PA"}:
        return image.convert("RGB")
    return image
