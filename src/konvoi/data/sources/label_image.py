"""A map of classes in an image file, PNG or TIFF: the indices themselves, whatever colours a palette gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from konvoi.data.sources.image_file import MAX_PIXELS
from konvoi.errors import DataError

LABEL_IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".pgm")

_FORMATS = ("PNG", "TIFF", "BMP", "PPM")
_SINGLE_VALUES = frozenset({"1", "L", "P", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


def read_label_image(path: Path) -> NDArray[np.generic]:
    """The values of an image with one value a pixel, `(H, W)`.

    Raises:
        DataError: the file is damaged or too large, or has colours instead of indices.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{path} has {image.height} × {image.width} pixels, more than the {MAX_PIXELS / 1e6:.0f} million "
                    "that are decoded. Save it in ENVI's format."
                )
            if image.mode not in _SINGLE_VALUES:
                raise DataError(
                    f"{path} has {len(image.getbands())} values a pixel ({image.mode}): colours, and not classes. Save "
                    "it with a palette, or as grey values that are the classes' numbers."
                )
            image.load()
            return np.array(image)
    except DataError:
        raise
    # Pillow's decoders answer damaged files with almost any exception: OSError, SyntaxError, struct.error, …
    except Exception as error:
        raise DataError(f"{path}: cannot be decoded ({error}). Copy the file again.") from error
