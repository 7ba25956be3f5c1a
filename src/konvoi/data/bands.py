"""The contract of an image's channels: what they are, and how stored values become the network's input.

It is stored with every store and every checkpoint, so that an image of another kind is refused instead of misread.
Well-known sets of bands stand in `data.sensors`; the statistics that fill the contract are made by `data.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError


@dataclass(frozen=True)
class Bands:
    """The channels of an image, in order. Where a field has one entry a band, it may also be empty: not known.

    Attributes:
        names: one name a band, for example `("grey",)`, `("red", "green", "blue")` or `("B02", "B03", "B04")`.
        scale: one a band; stored value × scale = value in `units`.
        units: one a band; the physical unit, for people. All alike in most images.
        wavelength: centre of the band in nanometres, one a band; None for a band without one (radar).
        ground_sampling_distance: of the band as measured, in metres, one a band. Bands that are coarser than the
            finest are brought to its grid before the network sees them.
        no_data: the stored value that means "not measured", or None.
        normalise: `unit` (the network sees values in `units`) or `standard` (minus mean, divided by deviation).
        mean: over all valid pixels of the training split, in `units`, one a band; empty before `fitted`.
        deviation: the standard deviation, likewise.
    """

    names: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    wavelength: tuple[float | None, ...] = ()
    ground_sampling_distance: tuple[float, ...] = ()
    no_data: float | None = None
    normalise: Literal["unit", "standard"] = "unit"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for field in ("scale", "units", "wavelength", "ground_sampling_distance", "mean", "deviation"):
            entries = len(getattr(self, field))
            if entries != len(self.names) and (entries or field in {"scale", "units"}):
                raise ValueError(f"{len(self.names)} bands, but {entries} entries in {field}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def gain_and_offset(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per band `(gain, offset)` such that the network's input is stored value × gain + offset."""
        if self.normalise == "unit":
            return self.scale, (0.0,) * len(self.names)
        # A band that is constant in training has no deviation to divide by; it is only centred.
        divisors = tuple(deviation or 1.0 for deviation in self.deviation)
        gain = tuple(scale / divisor for scale, divisor in zip(self.scale, divisors, strict=True))
        offset = tuple(-mean / divisor for mean, divisor in zip(self.mean, divisors, strict=True))
        return gain, offset

    @property
    def fill(self) -> tuple[float, ...]:
        """One stored value a band that stands in where nothing was measured: the training mean, 0 before `fitted`."""
        if not self.mean:
            return (0.0,) * len(self.names)
        return tuple(mean / scale for mean, scale in zip(self.mean, self.scale, strict=True))

    def chosen(self, names: Sequence[str]) -> Bands:
        """These bands, in this order.

        Raises:
            DataError: a name is not among the bands, or stands twice.
        """
        missing = [name for name in names if name not in self.names]
        if missing or len(set(names)) < len(names) or not names:
            what = f"no {', '.join(missing)}" if missing else f"{', '.join(names)}: each at most once, at least one"
            raise DataError(f"Bands: {what}. There are {', '.join(self.names)}.")
        order = [self.names.index(name) for name in names]
        entries: dict[str, Any] = {
            field: tuple(getattr(self, field)[position] for position in order) if getattr(self, field) else ()
            for field in ("names", "scale", "units", "wavelength", "ground_sampling_distance", "mean", "deviation")
        }
        return replace(self, **entries)

    def fitted(
        self, normalise: Literal["unit", "standard"], mean: NDArray[np.float64], deviation: NDArray[np.float64]
    ) -> Bands:
        """The same bands with statistics of stored values, `(C,)` each: of the training split and nothing else."""
        scale = np.asarray(self.scale)
        return replace(
            self,
            normalise=normalise,
            mean=tuple((mean * scale).tolist()),
            deviation=tuple((deviation * scale).tolist()),
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


GREY = Bands(names=("grey",), scale=(1 / 255,), units=("brightness, 0 to 1",))
RGB = Bands(names=("red", "green", "blue"), scale=(1 / 255,) * 3, units=("brightness, 0 to 1",) * 3)


def require_same_bands(expected: Bands, found: Bands, expecting: str, having: str) -> None:
    """Refuse images whose channels mean something else than the network learned.

    Compared are names and order, ground sampling distance, units and scale, each where both sides know it.

    Args:
        expected: what the network was trained on.
        found: what the images say.
        expecting: who expects, for the message: "the checkpoint".
        having: who has, for the message: "the scene".

    Raises:
        DataError: the first difference, with both sides and the way on.
    """
    if expected.names != found.names:
        what = "Band order differs" if sorted(expected.names) == sorted(found.names) else "Bands differ"
        raise DataError(
            f"{what}: {expecting} expects {', '.join(expected.names)}; {having} has {', '.join(found.names)}. "
            "Reorder with --bands, or retrain."
        )
    for field, title, unit, way in (
        ("units", "Units differ", "", "Convert the values, or retrain."),
        ("scale", "Scale differs", " per stored step", "Convert the values, give --scale, or retrain."),
        ("ground_sampling_distance", "Ground sampling distance differs", " m", "Resample the images, or retrain."),
    ):
        wanted, given = getattr(expected, field), getattr(found, field)
        if wanted and given and not _equal(wanted, given):
            position = next(i for i in range(len(wanted)) if not _equal(wanted[i : i + 1], given[i : i + 1]))
            raise DataError(
                f"{title} in band {expected.names[position]}: {expecting} expects {_shown(wanted[position])}{unit}; "
                f"{having} has {_shown(given[position])}{unit}. {way}"
            )


def _equal(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(
        a == b if isinstance(a, str) or isinstance(b, str) else abs(a - b) <= 1e-6 * max(abs(a), abs(b))
        for a, b in zip(one, other, strict=True)
    )


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)
