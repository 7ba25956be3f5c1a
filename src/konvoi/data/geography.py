"""Places on the ground: from projected coordinates to degrees, and distances in kilometres.

UTM zones are computed here, so that a store can be packed without further libraries; other reference systems are left
to rasterio. Dividing patches by their places is in `data.blocks`.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from konvoi.errors import DataError

EARTH_RADIUS = 6371.0088
"""Mean radius in kilometres (IUGG)."""

# WGS84, and the transverse Mercator projection of UTM.
_SEMI_MAJOR_AXIS = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_SCALE = 0.9996
_FALSE_EASTING = 500_000.0
_FALSE_NORTHING_SOUTH = 10_000_000.0

_UTM_CODE = re.compile(r"^EPSG:32([67])(\d\d)$", re.IGNORECASE)
_UTM_AUTHORITY = re.compile(
    r"(?:AUTHORITY\[\s*\"EPSG\"\s*,\s*\"?|ID\[\s*\"EPSG\"\s*,\s*)32([67])(\d\d)\"?\s*\]\s*\]\s*$"
)
_UTM_NAME = re.compile(r"WGS[ _]?(?:19)?84[ _]*/?[ _]*UTM[ _]*zone[ _]*(\d{1,2})([NS])", re.IGNORECASE)


def longitude_latitude(centres: NDArray[np.float64], reference_systems: NDArray[np.str_]) -> NDArray[np.float64]:
    """Points in degrees (WGS84), longitudes from -180 to 180.

    Args:
        centres: `(N, 2)` float64, x and y in the units of each point's own reference system; NaN where not known.
        reference_systems: `(N,)`, for example "EPSG:32633", or WKT; "" where not known.

    Returns:
        `(N, 2)` float64, longitude and latitude; NaN where place or system is not known.

    Raises:
        DataError: a system is not understood, a point lies outside of it, or it needs rasterio, which is not installed.
    """
    found = np.full((len(centres), 2), np.nan)
    for system in np.unique(reference_systems).tolist():
        rows = np.flatnonzero(reference_systems == system)
        known = rows[np.isfinite(centres[rows]).all(axis=1)]
        if system and len(known):
            found[known] = _in_degrees(centres[known], system)
    # UTM's zones 1 and 60 reach over the antimeridian.
    found[:, 0] = np.where(np.abs(found[:, 0]) > 180, (found[:, 0] + 180) % 360 - 180, found[:, 0])
    return found


def utm_zone(system: str) -> tuple[int, bool] | None:
    """Zone and whether it is a northern one, of a reference system's code or WKT; None where it is no UTM on WGS84."""
    zone, north = 0, True
    if code := _UTM_CODE.match(system.strip()):
        zone, north = int(code[2]), code[1] == "6"
    elif system.lstrip().upper().startswith(("PROJCS", "PROJCRS")):
        if name := _UTM_NAME.search(system.split(",", 1)[0]):
            zone, north = int(name[1]), name[2].upper() == "N"
        elif code := _UTM_AUTHORITY.search(system):
            zone, north = int(code[2]), code[1] == "6"
    # Beyond 60 the codes go on with other projections: 32661 is the polar one.
    return (zone, north) if 1 <= zone <= 60 else None


def utm_to_degrees(points: NDArray[np.float64], zone: int, north: bool) -> NDArray[np.float64]:
    """Easting and northing `(N, 2)` in metres to longitude and latitude `(N, 2)` in degrees.

    Krüger's series to the third order in the third flattening n, exact to less than a millimetre inside a zone:
    C. F. F. Karney, "Transverse Mercator with an accuracy of a few nanometers", Journal of Geodesy 85 (2011),
    equations 11, 36 and 7.
    """
    n = _FLATTENING / (2 - _FLATTENING)
    rectifying_radius = _SEMI_MAJOR_AXIS / (1 + n) * (1 + n**2 / 4 + n**4 / 64)
    northing = points[:, 1] - (0.0 if north else _FALSE_NORTHING_SOUTH)
    xi = northing / (_SCALE * rectifying_radius)
    eta = (points[:, 0] - _FALSE_EASTING) / (_SCALE * rectifying_radius)
    beta = (
        n / 2 - 2 * n**2 / 3 + 37 * n**3 / 96,
        n**2 / 48 + n**3 / 15,
        17 * n**3 / 480,
    )
    xi_sphere, eta_sphere = xi.copy(), eta.copy()
    for order, coefficient in enumerate(beta, start=1):
        xi_sphere -= coefficient * np.sin(2 * order * xi) * np.cosh(2 * order * eta)
        eta_sphere -= coefficient * np.cos(2 * order * xi) * np.sinh(2 * order * eta)
    longitude = np.arctan2(np.sinh(eta_sphere), np.cos(xi_sphere))
    # The tangent of the conformal latitude; Newton's method leads from it to that of the geographic one.
    conformal = np.sin(xi_sphere) / np.hypot(np.sinh(eta_sphere), np.cos(xi_sphere))
    tangent = conformal.copy()
    eccentricity = np.sqrt(_FLATTENING * (2 - _FLATTENING))
    for _ in range(4):
        root = np.sqrt(1 + tangent**2)
        sigma = np.sinh(eccentricity * np.arctanh(eccentricity * tangent / root))
        reached = tangent * np.sqrt(1 + sigma**2) - sigma * root
        slope = (1 - eccentricity**2) * np.sqrt((1 + reached**2) * (1 + tangent**2))
        slope /= 1 + (1 - eccentricity**2) * tangent**2
        tangent += (conformal - reached) / slope
    central_meridian = 6 * zone - 183
    return np.stack([np.degrees(longitude) + central_meridian, np.degrees(np.arctan(tangent))], axis=1)


def on_the_sphere(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitude and latitude `(N, 2)` as points `(N, 3)` on a sphere, in km: for trees of nearest neighbours.

    Distances on the sphere differ from those on the ellipsoid by 0.6 % at most.
    """
    longitude, latitude = np.radians(degrees[:, 0]), np.radians(degrees[:, 1])
    return EARTH_RADIUS * np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )


def arc_of_chord(chord: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances along the ground, km, of straight distances through the sphere, km."""
    arc: NDArray[np.float64] = 2 * EARTH_RADIUS * np.arcsin(np.minimum(chord / (2 * EARTH_RADIUS), 1.0))
    return arc


def chord_of_arc(arc: float) -> float:
    """Straight distance through the sphere, km, of a distance along the ground, km."""
    return float(2 * EARTH_RADIUS * np.sin(min(arc / (2 * EARTH_RADIUS), np.pi / 2)))


def _in_degrees(points: NDArray[np.float64], system: str) -> NDArray[np.float64]:
    zone = utm_zone(system)
    if zone is not None:
        return utm_to_degrees(points, *zone)
    if system.strip().upper() == "EPSG:4326":
        return points
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
        from rasterio.warp import transform
    except ImportError:
        raise DataError(
            f"The reference system {system[:60]} is no UTM zone of WGS84, and needs rasterio to be understood. Install "
            "it: pip install 'konvoi[scenes]'."
        ) from None
    try:
        longitude, latitude = transform(CRS.from_user_input(system), "EPSG:4326", points[:, 0], points[:, 1])
    except CRSError as error:
        raise DataError(f"The reference system {system[:60]!r} is not understood: {error}.") from error
    except Exception as error:  # GDAL's own errors share no public class.
        raise DataError(
            f"Points in the reference system {system[:60]!r}, the first at x {points[0, 0]:g}, y {points[0, 1]:g}, "
            f"cannot be brought to degrees: {error}. Correct the places, or the system, of these files."
        ) from error
    return np.stack([np.asarray(longitude), np.asarray(latitude)], axis=1)
