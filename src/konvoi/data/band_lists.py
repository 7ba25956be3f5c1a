"""Which bands of a cube are left out: numbers counted from 1, ranges, and names, as a recipe writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from konvoi.errors import DataError

WATER_ABSORPTION = "water-absorption"
"""Stands for the bands that are usually left out of a well-known scene."""


def positions_to_drop(
    entries: Sequence[int | str], names: Sequence[str], water_absorption: Iterable[str] | None = None
) -> tuple[int, ...]:
    """Positions, from 0 and in order, of the bands that a list names.

    An entry is, in this order: a band's name; `water-absorption`; a number, counted from 1 through the bands of the
    file; or a range such as 104-108, which has both its ends.

    Args:
        entries: of the recipe's `source.drop_bands`.
        names: of the bands in the file.
        water_absorption: names of the bands that the word stands for, of which the file may have none; None where it
            stands for nothing.

    Raises:
        DataError: an entry names no band, or no band is left.
    """
    dropped: set[int] = set()
    for entry in entries:
        text = str(entry).strip()
        match = re.fullmatch(r"(\d+)(?:\s*[-–]\s*(\d+))?", text)
        if text in names:
            dropped.add(list(names).index(text))
        elif text == WATER_ABSORPTION:
            if water_absorption is None:
                raise DataError(
                    f"source.drop_bands: {WATER_ABSORPTION} is known of the well-known scenes alone; name the bands by "
                    "number."
                )
            absent = set(water_absorption)
            dropped |= {position for position, name in enumerate(names) if name in absent}
        elif match:
            first, last = int(match[1]), int(match[2] or match[1])
            if not 1 <= first <= last <= len(names):
                raise DataError(
                    f"source.drop_bands: {text} is not within the {len(names)} bands, which are counted from 1 to "
                    f"{len(names)}."
                )
            dropped |= set(range(first - 1, last))
        else:
            raise DataError(
                f"source.drop_bands: {text!r} is no band. Bands are numbers from 1 to {len(names)}, ranges like "
                f"{max(1, len(names) - 4)}-{len(names)}, or names: {in_short(names)}."
            )
    if len(dropped) == len(names):
        raise DataError(f"source.drop_bands leaves none of the {len(names)} bands.")
    return tuple(sorted(dropped))


def in_short(names: Sequence[str], most: int = 16) -> str:
    """All names, or the first and the last of very many: "b1, b2, …, b224 (224 bands)"."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, …, {names[-1]} ({len(names)} bands)"


def as_ranges(numbers: Sequence[int]) -> str:
    """Numbers as ranges: of (3, 104, 105, 106) that is "3, 104-106"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
