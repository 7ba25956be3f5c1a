"""What Sentinel-1 would store of the same ground: backscatter in decibels, with speckle.

Typical backscatter of each cover at C band and about 40° of incidence, in round figures after Ulaby and Dobson,
"Handbook of Radar Scattering Statistics for Terrain", 1989. Speckle is multiplicative and gamma distributed with the
equivalent number of looks of ground-range-detected images, about 4.4 (ESA, Sentinel-1 product specification).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from konvoi.data.synthetic.mosaic import SIZE, WET
from konvoi.data.synthetic.plan import PlannedPatch
from konvoi.data.synthetic.scene import draw_ground
from konvoi.data.synthetic.spectra import COVERS
from konvoi.randomness import numpy_stream

POLARISATIONS = ("VV", "VH")

LOOKS = 4.4

_BACKSCATTER: dict[str, tuple[float, float]] = {
    "lake": (-21.0, -28.0), "sea": (-17.0, -26.5), "turbid water": (-19.0, -27.0), "conifers": (-9.5, -15.2),
    "broad-leaved trees": (-9.0, -14.8), "evergreen shrubs": (-10.0, -16.0), "winter crop": (-12.5, -18.5),
    "summer crop": (-10.5, -16.5), "rice": (-12.0, -19.0), "meadow": (-11.8, -18.2), "dry meadow": (-12.5, -19.5),
    "dark soil": (-11.5, -19.8), "bright soil": (-13.0, -21.5), "concrete": (-4.5, -12.0), "bright roof": (-3.0, -11.5),
    "clay roof": (-4.0, -11.5), "asphalt": (-14.5, -22.0), "sand": (-17.0, -25.0), "wet mud": (-14.0, -23.5),
    "rock": (-8.5, -16.0),
    "bog": (-11.5, -18.0), "reed": (-9.5, -16.5), "heath": (-11.0, -17.0), "char": (-12.0, -19.5),
    "salt": (-15.0, -24.0), "snow": (-13.0, -20.0),
}  # fmt: skip
"""VV and VH of each of `COVERS`, in decibels."""


def render_radar(seed: int, patch: PlannedPatch) -> dict[str, NDArray[np.float32]]:
    """The patch's two polarisations by name: backscatter in dB, float32, `(120, 120)`."""
    mosaic = draw_ground(seed, patch)
    generator = numpy_stream(seed, "synthetic radar", patch.index)
    table = np.array([_BACKSCATTER[cover] for cover in COVERS]) + generator.normal(0, 0.8, (len(COVERS), 1))
    # Wind roughens all water of a patch alike.
    table[WET] += generator.normal(0, 2.0)
    power = (10 ** (table / 10)).astype(np.float32)
    slopes = 1 + 1.2 * np.gradient(mosaic.relief, axis=1) + 0.08 * mosaic.vigour
    bands = {}
    for column, name in enumerate(POLARISATIONS):
        mean = np.tensordot(power[:, column], mosaic.abundance, axes=1) * np.clip(slopes, 0.4, 2.5)
        bands[name] = (10 * np.log10(np.maximum(mean * _speckle(generator), 1e-5))).astype(np.float32)
    return bands


def _speckle(generator: np.random.Generator) -> NDArray[np.float64]:
    # Pixels of 10 m sample a resolution of about 20 m: neighbours are correlated.
    fine = generator.standard_gamma(1.0, (4, SIZE + 1, SIZE + 1))
    summed = fine[:, 1:, 1:] + fine[:, :-1, 1:] + fine[:, 1:, :-1] + fine[:, :-1, :-1]
    looks = summed.mean(axis=0) / 4
    # The mean of 4 × 4 exponentials has 16 looks; the power brings the spread to that of LOOKS.
    spread: NDArray[np.float64] = looks ** np.sqrt(16 / LOOKS)
    spread /= spread.mean()
    return spread
