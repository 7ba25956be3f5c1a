"""The handwritten digits inside scikit-learn: the source that needs no files.

1,797 images of 8×8 pixels with 16 grey levels; E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten
Digits", UCI Machine Learning Repository, 1998 (its test part).
"""

from __future__ import annotations

import numpy as np

from konvoi.data.bands import Bands
from konvoi.data.dataset import Dataset


def read_digits() -> Dataset:
    """All 1,797 digits, `(1797, 1, 8, 8)`, stored values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(
        name="handwritten digits (scikit-learn)",
        images=np.ascontiguousarray(bunch.images[:, None].astype(np.uint8)),
        labels=bunch.target.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        bands=Bands(names=("grey",), scale=(1 / 16,), units=("brightness, 0 to 1",)),
        given_test=None,
        origin="scikit-learn's embedded digits",
    )
