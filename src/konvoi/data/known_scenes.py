"""The hyperspectral scenes known by name: their files, sizes, classes, and the bands that are usually left out.

Facts only, as the Computational Intelligence Group of the University of the Basque Country published them with the
scenes ("Hyperspectral Remote Sensing Scenes", `SCENES_PAGE`).
Pixel counts of the classes are those of the published ground truths; of KSC and Botswana they are not given here, and
sizes and class values alone are compared. Reading the files is in `data.sources.cube`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCENES_PAGE = "https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes"


@dataclass(frozen=True)
class KnownScene:
    """A published scene.

    Attributes:
        name: as recipes write it.
        title: for people.
        cube_files: names under which its cube is found, the preferred one first.
        ground_truth_file: the name of its ground truth.
        size: height and width.
        sensor: that recorded it.
        bands: of the cube before water absorption was taken out.
        water_absorption: numbers, from 1, of the bands that are left out in the "corrected" cube; () where the
            published cube is one without them.
        colour_bands: numbers, from 1, of bands near red, green and blue light in the cube with all bands.
        ground_sampling_distance: metres.
        classes: name and pixel count by the value in the ground truth; None where the count is not given.
    """

    name: str
    title: str
    cube_files: tuple[str, ...]
    ground_truth_file: str
    size: tuple[int, int]
    sensor: str
    bands: int
    water_absorption: tuple[int, ...]
    colour_bands: tuple[int, int, int]
    ground_sampling_distance: float
    classes: dict[int, tuple[str, int | None]]

    def band_numbers(self, bands: int) -> tuple[int, ...] | None:
        """The bands' numbers, from 1, of a cube with all bands or a corrected one; None of a cube with other bands."""
        everything = tuple(range(1, self.bands + 1))
        if bands == self.bands:
            return everything
        if bands == self.bands - len(self.water_absorption):
            return tuple(number for number in everything if number not in self.water_absorption)
        return None


def _numbers(*ranges: tuple[int, int]) -> tuple[int, ...]:
    return tuple(number for first, last in ranges for number in range(first, last + 1))


_SALINAS_WATER = _numbers((108, 112), (154, 167), (224, 224))

INDIAN_PINES = KnownScene(
    name="indian-pines",
    title="Indian Pines",
    cube_files=("Indian_pines_corrected.mat", "Indian_pines.mat"),
    ground_truth_file="Indian_pines_gt.mat",
    size=(145, 145),
    sensor="AVIRIS",
    bands=220,
    water_absorption=_numbers((104, 108), (150, 163), (220, 220)),
    colour_bands=(28, 17, 8),
    ground_sampling_distance=20.0,
    classes={
        1: ("Alfalfa", 46),
        2: ("Corn-notill", 1428),
        3: ("Corn-mintill", 830),
        4: ("Corn", 237),
        5: ("Grass-pasture", 483),
        6: ("Grass-trees", 730),
        7: ("Grass-pasture-mowed", 28),
        8: ("Hay-windrowed", 478),
        9: ("Oats", 20),
        10: ("Soybean-notill", 972),
        11: ("Soybean-mintill", 2455),
        12: ("Soybean-clean", 593),
        13: ("Wheat", 205),
        14: ("Woods", 1265),
        15: ("Buildings-Grass-Trees-Drives", 386),
        16: ("Stone-Steel-Towers", 93),
    },
)

PAVIA_UNIVERSITY = KnownScene(
    name="pavia-university",
    title="Pavia University",
    cube_files=("PaviaU.mat",),
    ground_truth_file="PaviaU_gt.mat",
    size=(610, 340),
    sensor="ROSIS",
    bands=103,
    water_absorption=(),
    colour_bands=(53, 29, 6),
    ground_sampling_distance=1.3,
    classes={
        1: ("Asphalt", 6631),
        2: ("Meadows", 18649),
        3: ("Gravel", 2099),
        4: ("Trees", 3064),
        5: ("Painted metal sheets", 1345),
        6: ("Bare soil", 5029),
        7: ("Bitumen", 1330),
        8: ("Self-blocking bricks", 3682),
        9: ("Shadows", 947),
    },
)

SALINAS = KnownScene(
    name="salinas",
    title="Salinas",
    cube_files=("Salinas_corrected.mat", "Salinas.mat"),
    ground_truth_file="Salinas_gt.mat",
    size=(512, 217),
    sensor="AVIRIS",
    bands=224,
    water_absorption=_SALINAS_WATER,
    colour_bands=(30, 19, 9),
    ground_sampling_distance=3.7,
    classes={
        1: ("Broccoli green weeds 1", 2009),
        2: ("Broccoli green weeds 2", 3726),
        3: ("Fallow", 1976),
        4: ("Fallow rough plow", 1394),
        5: ("Fallow smooth", 2678),
        6: ("Stubble", 3959),
        7: ("Celery", 3579),
        8: ("Grapes untrained", 11271),
        9: ("Soil vineyard develop", 6203),
        10: ("Corn senesced green weeds", 3278),
        11: ("Lettuce romaine 4 weeks", 1068),
        12: ("Lettuce romaine 5 weeks", 1927),
        13: ("Lettuce romaine 6 weeks", 916),
        14: ("Lettuce romaine 7 weeks", 1070),
        15: ("Vineyard untrained", 7268),
        16: ("Vineyard vertical trellis", 1807),
    },
)

SALINAS_A = KnownScene(
    name="salinas-a",
    title="SalinasA",
    cube_files=("SalinasA_corrected.mat", "SalinasA.mat"),
    ground_truth_file="SalinasA_gt.mat",
    size=(83, 86),
    sensor="AVIRIS",
    bands=224,
    water_absorption=_SALINAS_WATER,
    colour_bands=(30, 19, 9),
    ground_sampling_distance=3.7,
    classes={
        1: ("Broccoli green weeds 1", 391),
        10: ("Corn senesced green weeds", 1343),
        11: ("Lettuce romaine 4 weeks", 616),
        12: ("Lettuce romaine 5 weeks", 1525),
        13: ("Lettuce romaine 6 weeks", 674),
        14: ("Lettuce romaine 7 weeks", 799),
    },
)

KSC = KnownScene(
    name="ksc",
    title="Kennedy Space Center",
    cube_files=("KSC.mat",),
    ground_truth_file="KSC_gt.mat",
    size=(512, 614),
    sensor="AVIRIS",
    bands=176,
    water_absorption=(),
    colour_bands=(28, 17, 8),
    ground_sampling_distance=18.0,
    classes={
        value: (name, None)
        for value, name in enumerate(
            (
                "Scrub",
                "Willow swamp",
                "CP hammock",
                "CP/Oak",
                "Slash pine",
                "Oak/Broadleaf",
                "Hardwood swamp",
                "Graminoid marsh",
                "Spartina marsh",
                "Cattail marsh",
                "Salt marsh",
                "Mud flats",
                "Water",
            ),
            start=1,
        )
    },
)

BOTSWANA = KnownScene(
    name="botswana",
    title="Botswana",
    cube_files=("Botswana.mat",),
    ground_truth_file="Botswana_gt.mat",
    size=(1476, 256),
    sensor="Hyperion",
    bands=145,
    water_absorption=(),
    colour_bands=(24, 14, 4),
    ground_sampling_distance=30.0,
    classes={
        value: (name, None)
        for value, name in enumerate(
            (
                "Water",
                "Hippo grass",
                "Floodplain grasses 1",
                "Floodplain grasses 2",
                "Reeds",
                "Riparian",
                "Firescar",
                "Island interior",
                "Acacia woodlands",
                "Acacia shrublands",
                "Acacia grasslands",
                "Short mopane",
                "Mixed mopane",
                "Exposed soils",
            ),
            start=1,
        )
    },
)

KNOWN_SCENES = {scene.name: scene for scene in (INDIAN_PINES, PAVIA_UNIVERSITY, SALINAS, SALINAS_A, KSC, BOTSWANA)}


def scene_of_file(path: Path) -> KnownScene | None:
    """The scene whose cube usually has this file name, in any case; None where none has."""
    for scene in KNOWN_SCENES.values():
        if path.name.lower() in {name.lower() for name in scene.cube_files}:
            return scene
    return None
