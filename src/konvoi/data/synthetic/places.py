"""Where and when the synthetic patches are: tiles in several UTM zones, their landscapes, and acquisitions in a year.

The tiles are real ones of the MGRS grid in BigEarthNet's countries, with their real corners, so that coordinates are
consistent; what is shown there is not. All acquisitions are in the year 2099, which no archive of real images has: a
name says that it is synthetic, and still parses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from konvoi.randomness import numpy_stream

YEAR = 2099

PATCH_METRES = 1200
CELLS = 91
"""Patches across a tile: 109.8 km hold 91 whole ones."""


@dataclass(frozen=True)
class Site:
    """A tile and what it is like.

    Attributes:
        tile: the tile's MGRS name, without the leading T.
        left, top: outer corner of its pixels, in metres of its UTM zone (north).
        country: as version 2's table names it.
        orbit: relative orbit, for names.
        latitude: of its middle, in degrees north.
        cold: how much of the winter has snow, 0 (none) to 1.
        landscapes: with their shares of the tile.
    """

    tile: str
    left: int
    top: int
    country: str
    orbit: int
    latitude: float
    cold: float
    landscapes: dict[str, float]

    @property
    def zone(self) -> int:
        """The number of the UTM zone."""
        return int(self.tile[:2])


SITES: tuple[Site, ...] = (
    Site("35VPK", 600000, 7000020, "Finland", 36, 62.6, 1.0,
         {"boreal forest": 0.7, "lakes and bogs": 0.2, "boreal farmland": 0.1}),
    Site("33UUP", 300000, 5400000, "Austria", 22, 48.3, 0.35,
         {"temperate farmland": 0.45, "hills": 0.15, "mixed woods": 0.25, "town": 0.15}),
    Site("29SND", 499980, 4400040, "Portugal", 37, 39.3, 0.0,
         {"agro-forestry": 0.45, "Mediterranean crops": 0.25, "Mediterranean shrubs": 0.3}),
    Site("29UPU", 600000, 5900040, "Ireland", 80, 52.7, 0.05,
         {"Atlantic pastures": 0.75, "Atlantic bogs": 0.15, "town": 0.1}),
    Site("35VNH", 499980, 6800040, "Finland", 136, 60.8, 0.95,
         {"boreal forest": 0.6, "boreal farmland": 0.2, "lakes and bogs": 0.15, "town": 0.05}),
    Site("29SMC", 399960, 4300020, "Portugal", 137, 38.4, 0.0,
         {"open sea": 0.55, "southern coast": 0.15, "wet plain": 0.1, "Mediterranean crops": 0.1, "city": 0.1}),
    Site("34TEP", 499980, 4900020, "Serbia", 136, 43.8, 0.3,
         {"hills": 0.6, "temperate farmland": 0.25, "town": 0.05, "mixed woods": 0.1}),
    Site("35VLC", 300000, 6300000, "Lithuania", 36, 56.4, 0.7,
         {"Baltic farmland": 0.6, "mixed woods": 0.35, "town": 0.05}),
    Site("34VEM", 499980, 6700020, "Finland", 136, 60.0, 0.8,
         {"open sea": 0.5, "northern coast": 0.2, "boreal forest": 0.2, "boreal farmland": 0.1}),
    Site("32TPT", 600000, 5300040, "Austria", 65, 47.4, 0.9,
         {"mountains": 0.6, "mixed woods": 0.25, "Atlantic pastures": 0.1, "town": 0.05}),
    Site("29TNE", 499980, 4500000, "Portugal", 37, 40.2, 0.05,
         {"Mediterranean shrubs": 0.35, "Mediterranean crops": 0.35, "mixed woods": 0.2, "town": 0.1}),
    Site("31UFS", 600000, 5700000, "Belgium", 8, 50.9, 0.1,
         {"temperate farmland": 0.5, "city": 0.15, "town": 0.2, "mixed woods": 0.15}),
    Site("35WPN", 600000, 7300020, "Finland", 36, 65.3, 1.0,
         {"boreal forest": 0.65, "lakes and bogs": 0.35}),
    Site("34TEQ", 499980, 5000040, "Serbia", 136, 44.7, 0.3,
         {"temperate farmland": 0.7, "hills": 0.2, "city": 0.1}),
    Site("29UMT", 399960, 5800020, "Ireland", 23, 51.8, 0.0,
         {"open sea": 0.6, "northern coast": 0.1, "Atlantic pastures": 0.2, "Atlantic bogs": 0.1}),
    Site("32TMT", 399960, 5300040, "Switzerland", 108, 47.4, 0.5,
         {"Atlantic pastures": 0.2, "temperate farmland": 0.25, "mixed woods": 0.3, "town": 0.25}),
)  # fmt: skip

_IMAGES_OF_MONTH = (833, 79_190, 13_312, 55_585, 120_370, 18_110, 35_544, 75_276, 80_930, 37_606, 36_398, 37_117)
"""January to December: how many patches of BigEarthNet were acquired, counted in the names of its published lists."""

_PATCHES_OF_ACQUISITION = 1500


@dataclass(frozen=True)
class Acquisition:
    """One overflight of one tile: what its patches have in common.

    Attributes:
        site: the tile.
        satellite: "S2A" or "S2B".
        time: of the start, in UTC.
        radar_time: when the Sentinel-1 image was taken.
        coldness: 0 (no snow) to 1 (surely snow).
    """

    site: Site
    satellite: str
    time: datetime
    radar_time: datetime
    coldness: float

    @property
    def day(self) -> int:
        """Of the year, from 1."""
        return self.time.timetuple().tm_yday

    @property
    def name(self) -> str:
        """The first part of the names of its patches, as in version 1."""
        return f"{self.satellite}_MSIL2A_{self.time:%Y%m%dT%H%M%S}"

    @property
    def tile_name(self) -> str:
        """The name of its folder, as in version 2."""
        return f"{self.name}_N9999_R{self.site.orbit:03d}_T{self.site.tile}"

    @property
    def radar_name(self) -> str:
        """The first part of the names of its Sentinel-1 patches."""
        return f"S1A_IW_GRDH_1SDV_{self.radar_time:%Y%m%dT%H%M%S}"


def acquisitions(seed: int, patches: int) -> tuple[Acquisition, ...]:
    """The overflights that an archive of so many patches is cut from: at most one for each four patches.

    Months have the shares that they have in BigEarthNet, as far as so few overflights can; cold months go to cold
    places first, as most of its winter images are from Finland.
    """
    number = max(1, min(patches // 4, max(len(SITES), -(-patches // _PATCHES_OF_ACQUISITION))))
    generator = numpy_stream(seed, "synthetic acquisitions")
    sites = [SITES[position % len(SITES)] for position in range(number)]
    days = _days(generator, number)
    snow = _snow_season(days)
    order = np.argsort([-site.cold - 0.35 * generator.random() for site in sites], kind="stable")
    # The coldest place takes the day with the most snow; the days without snow are dealt out at random.
    by_snow = np.lexsort((generator.random(number), -snow))
    first_second = int(generator.integers(10_800))
    radar_earlier = timedelta(seconds=int(generator.integers(14_000, 20_000)))
    made: list[Acquisition | None] = [None] * number
    for place, day in zip(order, by_snow, strict=True):
        site = sites[place]
        # Between 9 and 12 o'clock; no two at the same second, because patches of version 1 are told apart by it.
        seconds = 9 * 3600 + (int(place) * 7919 + first_second) % 10_800
        time = datetime(YEAR, 1, 1) + timedelta(days=int(days[day]) - 1, seconds=seconds)
        made[place] = Acquisition(
            site=site,
            satellite=str(generator.choice(["S2A", "S2B"])),
            time=time,
            radar_time=time - radar_earlier,
            coldness=float(snow[day]) * site.cold,
        )
    return tuple(acquisition for acquisition in made if acquisition is not None)


def _days(generator: np.random.Generator, number: int) -> NDArray[np.int64]:
    # Equally spaced quantiles of the year's distribution: a few overflights still cover its seasons.
    shares = np.cumsum([0, *_IMAGES_OF_MONTH]) / sum(_IMAGES_OF_MONTH)
    quantiles = (np.arange(number) + generator.random()) / number
    months = np.interp(quantiles, shares, np.arange(13))
    return np.clip(1 + months * 365 / 12, 1, 365).astype(np.int64)


def _snow_season(days: NDArray[np.int64]) -> NDArray[np.float64]:
    """How likely a cold place is white at these days, 0 to 1: most in February, some into May."""
    from_february = (days - 45 + 182) % 365 - 182
    after, before = np.clip(from_february, 0, None) / 62, np.clip(-from_february, 0, None) / 58
    seasonal: NDArray[np.float64] = np.exp(-0.5 * (after**2 + before**2))
    return np.where(seasonal > 0.05, seasonal, 0.0)
