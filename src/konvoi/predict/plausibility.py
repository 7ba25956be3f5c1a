"""Whether a scene's values can be what the network was trained on: reflectance is not reflectance × 10,000."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.bands import Bands

_FACTOR = 30.0


def plausible_values(values: NDArray[np.float64], bands: Bands, scaling: str) -> str:
    """Compare the magnitude of a scene's values with the training split's.

    A band fits if the median of its absolute values and the root mean square of the training values,
    √(mean² + deviation²), are within a factor of 30. Dark water, snow or cloud move some bands by more; a wrong scale
    moves all of them. So only a scene of which no band fits is called implausible.

    Args:
        values: `(C, n)` in the bands' units, NaN where nothing was measured.
        bands: fitted on the training split.
        scaling: how the values came from those in the file, for the message.

    Returns:
        "", or what is wrong and what to do.
    """
    if not bands.mean:
        return ""
    trained = np.hypot(bands.mean, bands.deviation)
    # Zeros are often an edge without data that the file does not declare.
    magnitudes = [np.abs(band[np.isfinite(band) & (band != 0)]) for band in values]
    if any(len(magnitude) == 0 for magnitude in magnitudes) or np.any(trained == 0):
        return ""
    found = np.array([np.median(magnitude) for magnitude in magnitudes])
    ratios = found / trained
    if np.any((ratios > 1 / _FACTOR) & (ratios < _FACTOR)):
        return ""
    rows = ", ".join(
        f"{name}: {wanted:.3g} and {given:.3g}"
        for name, wanted, given in zip(bands.names[:3], trained, found, strict=False)
    )
    more = ", …" if len(bands) > 3 else ""
    power = 10.0 ** np.round(np.log10(np.median(trained / found)))
    return (
        f"Values of another magnitude: the checkpoint's training values and the scene's ({scaling}) differ more than "
        f"{_FACTOR:g}-fold in every band, in {bands.units[0]} {rows}{more}. The scene's would fit if they were "
        f"{power:g} times what they are. Say with --scale what a value in the file is multiplied by to give "
        f"{bands.units[0]}."
    )
