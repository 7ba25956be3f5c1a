"""The contract of an image's channels: what they are, and how stored values become the network's input.

It is stored with every checkpoint, so that an image of another kind is refused instead of misread.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError


@dataclass(frozen=True)
class Bands:
    """The channels of an image, in order.

    Attributes:
        names: one name a channel, for example `("grey",)` or `("red", "green", "blue")`.
        scale: stored value × scale = value in `units`.
        units: the physical unit, for people.
        shift: subtracted from the scaled value, one number a channel.
        divisor: then divided by, one number a channel.
    """

    names: tuple[str, ...]
    scale: float
    units: str
    shift: tuple[float, ...] = ()
    divisor: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.shift:
            object.__setattr__(self, "shift", (0.0,) * len(self.names))
        if not self.divisor:
            object.__setattr__(self, "divisor", (1.0,) * len(self.names))

    @property
    def gain_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per channel `(gain, offset)` such that the network's input is stored value × gain + offset."""
        gain = tuple(self.scale / divisor for divisor in self.divisor)
        offset = tuple(-shift / divisor for shift, divisor in zip(self.shift, self.divisor, strict=True))
        return gain, offset

    def fitted(self, normalise: str, images: NDArray[np.uint8]) -> Bands:
        """The same bands, normalised as the recipe says with the statistics of these images alone.

        Args:
            normalise: `none` (stored values), `unit` (scaled values) or `standard` (per channel, mean 0 and
                standard deviation 1 over all pixels of `images`; a constant channel keeps divisor 1).
            images: `(N, C, H, W)`, the training split.
        """
        if normalise == "none":
            return replace(self, shift=(), divisor=(self.scale,) * len(self.names))
        if normalise == "unit":
            return replace(self, shift=(), divisor=())
        mean, deviation = _pixel_statistics(images)
        divisor = np.where(deviation > 0, deviation * self.scale, 1.0)
        return replace(self, shift=tuple((mean * self.scale).tolist()), divisor=tuple(divisor.tolist()))

    def require_same(self, found: Bands, where: str) -> None:
        """Refuse bands that differ in name, order or scale from these.

        Raises:
            DataError: with both sides named.
        """
        if found.names != self.names:
            raise DataError(
                f"Bands differ: the network expects {', '.join(self.names)}; {where} has {', '.join(found.names)}."
            )
        if found.scale != self.scale:
            raise DataError(
                f"The scale of the bands differs: the network expects stored values × {self.scale:g}; {where} has "
                f"× {found.scale:g}."
            )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` is the inverse."""
        return {
            "names": list(self.names),
            "scale": self.scale,
            "units": self.units,
            "shift": list(self.shift),
            "divisor": list(self.divisor),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Bands:
        """The bands that `to_json` wrote."""
        return cls(
            names=tuple(content["names"]),
            scale=float(content["scale"]),
            units=str(content["units"]),
            shift=tuple(content["shift"]),
            divisor=tuple(content["divisor"]),
        )


GREY = Bands(names=("grey",), scale=1 / 255, units="brightness, 0 to 1")
RGB = Bands(names=("red", "green", "blue"), scale=1 / 255, units="brightness, 0 to 1")


def _pixel_statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per channel, exact, from the counts of the 256 possible values."""
    values = np.arange(256, dtype=np.float64)
    mean = np.empty(images.shape[1])
    deviation = np.empty(images.shape[1])
    for channel in range(images.shape[1]):
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 4096):
            counts += np.bincount(images[start : start + 4096, channel].ravel(), minlength=256)
        share = counts / counts.sum()
        mean[channel] = (share * values).sum()
        deviation[channel] = np.sqrt((share * (values - mean[channel]) ** 2).sum())
    return mean, deviation
