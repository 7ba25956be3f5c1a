"""The contract of an image's channels: what they are, and how stored values become the network's input.

It is stored with every checkpoint, so that an image of another kind is refused instead of misread.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bands:
    """The channels of an image, in order.

    Attributes:
        names: one name a channel, for example `("grey",)` or `("red", "green", "blue")`.
        scale: stored value × scale = value in `units`.
        units: the physical unit, for people.
        normalise: `unit` (the network sees values in `units`) or `standard` (minus mean, divided by deviation).
        mean: over all pixels of the training split, in `units`, one a channel; empty before `fitted`.
        deviation: the standard deviation, likewise.
    """

    names: tuple[str, ...]
    scale: float
    units: str
    normalise: str = "unit"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def gain_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per channel `(gain, offset)` such that the network's input is stored value × gain + offset."""
        if self.normalise == "unit":
            return (self.scale,) * len(self.names), (0.0,) * len(self.names)
        # A channel that is constant in training has no deviation to divide by; it is only centred.
        divisors = tuple(deviation or 1.0 for deviation in self.deviation)
        gain = tuple(self.scale / divisor for divisor in divisors)
        offset = tuple(-mean / divisor for mean, divisor in zip(self.mean, divisors, strict=True))
        return gain, offset

    def fitted(self, normalise: str, images: NDArray[np.uint8]) -> Bands:
        """The same bands with the statistics of these images, `(N, C, H, W)`: the training split and nothing else."""
        mean, deviation = _pixel_statistics(images)
        return replace(
            self,
            normalise=normalise,
            mean=tuple((mean * self.scale).tolist()),
            deviation=tuple((deviation * self.scale).tolist()),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` is the inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Bands:
        """The bands that `to_json` wrote."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**values)


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
