"""How numbers stand in the text: digits, separators, units. What they mean is in `diagnosis`."""

from __future__ import annotations

import math
from datetime import UTC, datetime

THIN = "\N{NARROW NO-BREAK SPACE}"
UNDEFINED = "–"


def number(count: float) -> str:
    """A whole number with thousands separators."""
    return f"{count:,.0f}"


def fitting_digits(interval: tuple[float, float]) -> int:
    """Decimals of a percentage such that its last digit is one tenth of the uncertainty's first.

    An interval of ±1.3 % gives one decimal, ±0.08 % three, ±20 % none.
    """
    half_width = (interval[1] - interval[0]) / 2 * 100
    if half_width <= 0:
        return 1
    return min(4, max(0, 1 - math.floor(math.log10(half_width))))


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, "98.9 %"."""
    return f"{100 * share:.{digits}f}{THIN}%"


def percent_range(interval: tuple[float, float], digits: int = 1) -> str:
    """An interval of shares, "97.6 – 99.7 %"."""
    return f"{100 * interval[0]:.{digits}f} – {percent(interval[1], digits)}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares, in percentage points and with its sign."""
    rounded = round(100 * difference, digits) + 0.0
    sign = "−" if rounded < 0 else "+" if rounded > 0 else ""
    return f"{sign}{abs(rounded):.{digits}f}"


def score(value: float | None, digits: int = 3) -> str:
    """A figure between 0 and 1; only an exact 1 is shown as 1, only an exact 0 as 0, and none as a dash."""
    if value is None:
        return UNDEFINED
    if value in (0.0, 1.0):
        return f"{value:.{digits}f}"
    smallest = 10.0**-digits
    return f"{min(max(value, smallest), 1 - smallest):.{digits}f}"


def probability(value: float) -> str:
    """A probability as a percentage that never claims certainty, "> 99.9 %"."""
    if value > 0.999:
        return f"> {percent(0.999)}"
    return percent(value)


def duration(seconds: float) -> str:
    """Two units at most, "47.1 s", "4 min 05 s", "2 h 03 min"."""
    if seconds == 0:
        return f"0{THIN}s"
    if seconds < 0.01:
        return f"{1000 * seconds:.1f}{THIN}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}{THIN}s" if seconds >= 1 else f"{seconds:.2f}{THIN}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60:02d}{THIN}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{THIN}h {minutes % 60:02d}{THIN}min"


def moment(time: datetime) -> str:
    """A point in time, in UTC, to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def by(shape: tuple[int, ...]) -> str:
    """A shape, "1 × 28 × 28"."""
    return f"{THIN}×{THIN}".join(number(side) for side in shape)


def times(count: int) -> str:
    """How often, in words where English has one."""
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun, "1 epoch", "40 epochs"."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def shortened(text: str, longest: int) -> str:
    """Text on one line, its middle cut out where it is too long: names often differ at their ends."""
    line = " ".join(text.split())
    line = "".join(glyph if glyph.isprintable() else "\N{REPLACEMENT CHARACTER}" for glyph in line)
    if len(line) <= longest:
        return line
    head = (longest - 1) // 2
    return f"{line[:head]}…{line[len(line) - (longest - 1 - head) :]}"
