"""What each of the 43 labels looks like on the ground: its covers, their shares, and the scale at which they change.

Written after the definitions of the classes in the CORINE Land Cover nomenclature guidelines (Kosztra et al., European
Environment Agency, 2019); the shares are our own round figures. Classes overlap as they do in the world: a coniferous
forest has clearings, a pasture has trees, and a small town is half garden. Reflectance is in `spectra`, the drawing in
`scene`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from konvoi.data.nomenclature import LABELS_43

Shape = Literal["area", "band", "shore"]


@dataclass(frozen=True)
class Cover:
    """How the area of one label is filled.

    Attributes:
        mixture: covers with their shares, in the order in which they pass into each other.
        fields, plots, patches, grain, currents: weights of the scales at which the mixture varies: agricultural fields
            (100 to 400 m), small plots and town blocks (40 to 120 m), natural patches (50 to 160 m), single pixels, and
            gradients through the whole patch, as in water.
        softness: how gradually covers pass into each other, 0 (sharp) to 1.
        rough: relative standard deviation of brightness between neighbouring pixels.
        edges: what lines the borders between fields or plots, with the share of the border that it covers.
        farms: scattered buildings, per pixel.
        shape: `area`; `band`, a line through the patch; `shore`, a strip along the water.
    """

    mixture: tuple[tuple[str, float], ...]
    fields: float = 0.0
    plots: float = 0.0
    patches: float = 0.0
    grain: float = 0.0
    currents: float = 0.0
    softness: float = 0.05
    rough: float = 0.05
    edges: tuple[str, float] = ("", 0.0)
    farms: float = 0.0
    shape: Shape = "area"


def _town(mixture: tuple[tuple[str, float], ...], streets: float = 0.55) -> Cover:
    return Cover(mixture, plots=0.55, grain=0.8, softness=0.5, rough=0.13, edges=("asphalt", streets))


def _open_ground(mixture: tuple[tuple[str, float], ...], rough: float = 0.1) -> Cover:
    return Cover(mixture, patches=0.8, grain=0.5, softness=0.15, rough=rough)


def _arable(mixture: tuple[tuple[str, float], ...], farms: float = 0.0015) -> Cover:
    return Cover(mixture, fields=1.0, patches=0.12, softness=0.12, rough=0.035, edges=("meadow", 0.3), farms=farms)


def _forest(mixture: tuple[tuple[str, float], ...], stands: float = 0.5) -> Cover:
    return Cover(mixture, fields=stands, patches=0.7, grain=0.55, softness=0.5, rough=0.11)


def _orchard(mixture: tuple[tuple[str, float], ...], grain: float = 0.6) -> Cover:
    return Cover(mixture, plots=0.75, grain=grain, softness=0.3, rough=0.09, edges=("bright soil", 0.3), farms=0.003)


COVER_OF_LABEL: dict[str, Cover] = {
    "Continuous urban fabric": _town(
        (("concrete", 0.3), ("bright roof", 0.05), ("clay roof", 0.3), ("asphalt", 0.2), ("broad-leaved trees", 0.15))
    ),
    "Discontinuous urban fabric": _town(
        (("concrete", 0.16), ("clay roof", 0.16), ("asphalt", 0.1), ("meadow", 0.33), ("broad-leaved trees", 0.25)), 0.4
    ),
    "Industrial or commercial units": Cover(
        (("bright roof", 0.2), ("concrete", 0.33), ("asphalt", 0.27), ("meadow", 0.2)),
        fields=0.35, plots=0.8, grain=0.35, rough=0.1, edges=("asphalt", 0.4),
    ),
    "Road and rail networks and associated land": Cover(
        (("asphalt", 0.5), ("concrete", 0.15), ("meadow", 0.35)),
        patches=0.3, grain=0.8, softness=0.3, rough=0.1, shape="band",
    ),
    "Port areas": Cover(
        (("turbid water", 0.2), ("asphalt", 0.3), ("concrete", 0.35), ("bright roof", 0.15)),
        plots=0.9, grain=0.3, rough=0.12,
    ),
    "Airports": Cover(
        (("meadow", 0.66), ("asphalt", 0.2), ("concrete", 0.14)), fields=0.7, patches=0.5, rough=0.06,
        edges=("asphalt", 0.9),
    ),
    "Mineral extraction sites": _open_ground(
        (("lake", 0.06), ("rock", 0.3), ("bright soil", 0.5), ("meadow", 0.14)), 0.14
    ),
    "Dump sites": _open_ground(
        (("concrete", 0.12), ("bright soil", 0.33), ("dark soil", 0.35), ("dry meadow", 0.2)), 0.14
    ),
    "Construction sites": Cover(
        (("bright soil", 0.55), ("concrete", 0.2), ("dark soil", 0.15), ("meadow", 0.1)),
        plots=0.7, grain=0.5, softness=0.1, rough=0.12,
    ),
    "Green urban areas": _open_ground((("meadow", 0.45), ("broad-leaved trees", 0.45), ("asphalt", 0.1))),
    "Sport and leisure facilities": Cover(
        (("broad-leaved trees", 0.2), ("meadow", 0.62), ("clay roof", 0.08), ("concrete", 0.1)),
        plots=0.75, patches=0.5, grain=0.2, softness=0.08, rough=0.05,
    ),
    "Non-irrigated arable land": _arable(
        (("winter crop", 0.52), ("dark soil", 0.1), ("summer crop", 0.28), ("meadow", 0.1))
    ),
    "Permanently irrigated land": _arable((("summer crop", 0.66), ("bright soil", 0.19), ("winter crop", 0.15))),
    "Rice fields": Cover(
        (("rice", 0.93), ("dark soil", 0.07)), fields=0.4, plots=0.9, rough=0.03, edges=("dry meadow", 0.45)
    ),
    "Vineyards": _orchard((("bright soil", 0.42), ("broad-leaved trees", 0.4), ("dry meadow", 0.18))),
    "Fruit trees and berry plantations": _orchard(
        (("broad-leaved trees", 0.5), ("meadow", 0.35), ("bright soil", 0.15))
    ),
    "Olive groves": _orchard((("evergreen shrubs", 0.42), ("dry meadow", 0.23), ("bright soil", 0.35)), 0.8),
    "Pastures": Cover(
        (("meadow", 0.88), ("dry meadow", 0.06), ("broad-leaved trees", 0.06)),
        fields=0.9, patches=0.35, grain=0.1, softness=0.25, rough=0.04, edges=("broad-leaved trees", 0.45), farms=0.003,
    ),
    "Annual crops associated with permanent crops": Cover(
        (("winter crop", 0.28), ("dry meadow", 0.24), ("bright soil", 0.2), ("evergreen shrubs", 0.28)),
        plots=0.7, grain=0.65, softness=0.25, rough=0.08, farms=0.003,
    ),
    "Complex cultivation patterns": Cover(
        (
            ("broad-leaved trees", 0.1), ("meadow", 0.25), ("winter crop", 0.28), ("dark soil", 0.09),
            ("summer crop", 0.28),
        ),
        plots=0.95, patches=0.25, rough=0.06, edges=("meadow", 0.25), farms=0.007,
    ),
    "Land principally occupied by agriculture, with significant areas of natural vegetation": Cover(
        (("broad-leaved trees", 0.3), ("evergreen shrubs", 0.08), ("meadow", 0.27), ("winter crop", 0.2),
         ("summer crop", 0.15)),
        plots=0.55, patches=0.8, grain=0.15, softness=0.1, rough=0.07, edges=("broad-leaved trees", 0.3), farms=0.003,
    ),
    "Agro-forestry areas": Cover(
        (("dry meadow", 0.62), ("evergreen shrubs", 0.38)), fields=0.3, patches=0.4, grain=0.85, softness=0.4, rough=0.1
    ),
    "Broad-leaved forest": _forest((("broad-leaved trees", 0.9), ("meadow", 0.05), ("conifers", 0.05)), 0.3),
    "Coniferous forest": _forest(
        (("conifers", 0.84), ("broad-leaved trees", 0.07), ("heath", 0.05), ("dry meadow", 0.04))
    ),
    "Mixed forest": _forest((("conifers", 0.5), ("broad-leaved trees", 0.46), ("dry meadow", 0.04))),
    "Natural grassland": _open_ground((("meadow", 0.4), ("dry meadow", 0.44), ("heath", 0.1), ("rock", 0.06)), 0.07),
    "Moors and heathland": _open_ground((("bog", 0.1), ("heath", 0.74), ("dry meadow", 0.16)), 0.07),
    "Sclerophyllous vegetation": Cover(
        (("evergreen shrubs", 0.62), ("dry meadow", 0.25), ("bright soil", 0.13)),
        patches=0.6, grain=0.75, softness=0.4, rough=0.1,
    ),
    "Transitional woodland/shrub": Cover(
        (("conifers", 0.22), ("broad-leaved trees", 0.28), ("heath", 0.24), ("dry meadow", 0.26)),
        fields=0.5, patches=0.5, grain=0.65, softness=0.35, rough=0.1,
    ),
    "Beaches, dunes, sands": Cover(
        (("sand", 0.86), ("dry meadow", 0.14)), patches=0.7, grain=0.4, softness=0.2, rough=0.05, shape="shore"
    ),
    "Bare rock": _open_ground((("rock", 0.88), ("meadow", 0.12)), 0.16),
    "Sparsely vegetated areas": _open_ground((("rock", 0.46), ("dry meadow", 0.38), ("heath", 0.16)), 0.12),
    "Burnt areas": _open_ground((("char", 0.74), ("bright soil", 0.1), ("evergreen shrubs", 0.16))),
    "Inland marshes": _open_ground((("lake", 0.12), ("reed", 0.62), ("meadow", 0.26)), 0.06),
    "Peatbogs": _open_ground((("lake", 0.03), ("bog", 0.74), ("heath", 0.13), ("conifers", 0.1)), 0.06),
    "Salt marshes": Cover(
        (("turbid water", 0.14), ("wet mud", 0.28), ("reed", 0.58)),
        patches=0.8, grain=0.4, softness=0.2, rough=0.06, shape="shore",
    ),
    "Salines": Cover(
        (("turbid water", 0.52), ("wet mud", 0.22), ("salt", 0.26)), fields=0.4, plots=0.9, rough=0.03,
        edges=("bright soil", 0.5),
    ),
    "Intertidal flats": Cover(
        (("turbid water", 0.22), ("wet mud", 0.66), ("sand", 0.12)),
        patches=0.95, grain=0.15, softness=0.3, rough=0.04, shape="shore",
    ),
    "Water courses": Cover(
        (("turbid water", 0.5), ("lake", 0.5)), currents=1.0, softness=1.5, rough=0.03, shape="band"
    ),
    "Water bodies": Cover((("lake", 0.93), ("turbid water", 0.07)), currents=1.0, softness=1.0, rough=0.02),
    "Coastal lagoons": Cover(
        (("sea", 0.25), ("turbid water", 0.75)), currents=1.0, softness=1.5, rough=0.02, shape="shore"
    ),
    "Estuaries": Cover(
        (("turbid water", 0.86), ("wet mud", 0.14)), currents=0.8, patches=0.6, softness=0.5, rough=0.02, shape="shore"
    ),
    "Sea and ocean": Cover(
        (("sea", 0.95), ("turbid water", 0.05)), currents=1.0, softness=1.2, rough=0.02, shape="shore"
    ),
}  # fmt: skip
"""One cover for each of `LABELS_43`."""

SHORE_ORDER: tuple[str, ...] = (
    "Sea and ocean", "Estuaries", "Intertidal flats", "Beaches, dunes, sands", "Coastal lagoons", "Salt marshes",
)  # fmt: skip
"""From the open water inland: the order in which strips along a shore follow each other."""

assert set(COVER_OF_LABEL) == set(LABELS_43), "every label has a cover"
