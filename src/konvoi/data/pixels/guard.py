"""The guard band: pixels between the parts that belong to none of them, so that windows of one do not hold another's.

A window of w × w pixels reaches r = (w − 1) / 2 pixels from its centre. At a distance of more than r pixels, no test
window holds a training pixel, and no training window a test pixel; at more than 2 r, the two windows share no pixel.
"""

from __future__ import annotations

import numpy as np

from konvoi.data.pixels.neighbourhood import near
from konvoi.data.pixels.parts import GUARD, IN_ORDER, PartsMap
from konvoi.recipe.pixel_split import Guard


def guard_width(guard: Guard, window: int) -> int:
    """Pixels that a guard band is wide, for windows of so many pixels a side.

    `half-window` is (w − 1) / 2, `window` is w − 1, and a number is itself.
    """
    radius = window // 2
    match guard:
        case "none":
            return 0
        case "half-window":
            return radius
        case "window":
            return 2 * radius
        case _:
            return guard


def with_guard(parts: PartsMap, width: int) -> PartsMap:
    """Put into the guard what is no farther than `width` from a pixel of a later part.

    The test keeps all its pixels, validation gives some up for it, and training for both. A pixel in the guard itself
    costs the earlier parts nothing.

    Args:
        parts: `(H, W)`.
        width: in pixels, Chebyshev; 0 changes nothing.
    """
    guarded = parts.copy()
    if width == 0:
        return guarded
    later = np.zeros(parts.shape, dtype=bool)
    for part in reversed(IN_ORDER):
        own = parts == part
        lost = own & near(later, width)
        guarded[lost] = GUARD
        later |= own & ~lost
    return guarded
