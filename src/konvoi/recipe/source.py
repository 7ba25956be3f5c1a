"""Where the samples of an experiment come from: one section a kind of file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from konvoi.recipe.section import PositiveInt, Section


class DigitsSource(Section):
    """The 1,797 handwritten digits (8×8, 16 grey levels) that ship inside scikit-learn."""

    kind: Literal["digits"]


class IdxSource(Section):
    """The four IDX files of MNIST and of the data sets that took over its format."""

    kind: Literal["idx"]
    dataset: str = Field(
        default="mnist", description="mnist and fashion-mnist are known by checksum; other names are free"
    )
    classes: tuple[str, ...] | None = Field(
        default=None,
        description="class names in label order; default: those of a known data set, else 0, 1, …",
    )


class ImageFolderSource(Section):
    """A folder with one sub-folder of PNG, JPEG, PPM or TIFF images for each class."""

    kind: Literal["image-folder"]
    folder: str | None = Field(
        default=None,
        description="default: --data-dir; with sub-folders train/ and test/, test/ is the sealed test set",
    )
    channels: Literal["grey", "rgb"] = "rgb"
    size: tuple[PositiveInt, PositiveInt] = Field(
        default=(32, 32), description="height and width in pixels to which every image is resized"
    )


class StoreSource(Section):
    """A store that `konvoi data pack` wrote: patches with many bands, at native resolution."""

    kind: Literal["store"]
    folder: str | None = Field(default=None, description="default: --data-dir")
    bands: str | tuple[str, ...] = Field(
        default="all", description="a named sub-set (all, rgb, 10m, all12, s1, …), or the names in the order wanted"
    )
    nomenclature: Literal["as-packed", "bigearthnet-19"] = Field(
        default="as-packed", description="bigearthnet-19: 43 CORINE labels become the 19 of Sumbul et al. (2021)"
    )
    exclude: tuple[Literal["snow", "cloud"], ...] = Field(
        default=(), description="patches that the source's lists flag so are left out, and counted"
    )
    hierarchy: str | None = Field(
        default=None,
        description="folder with ImageNet's wordnet.is_a.txt and words.txt, or its meta.mat, for scores by category; "
        "default: the store",
    )


class LmdbSource(Section):
    """Patches that rico-hdl packed: an LMDB whose values are safetensors, with a table of labels beside it."""

    kind: Literal["lmdb"]
    folder: str | None = Field(default=None, description="default: --data-dir")
    labels: str | None = Field(
        default=None, description="CSV, Parquet or JSON table of names and labels; default: metadata.parquet"
    )
    bands: str | tuple[str, ...] = "all12"


CubeAxes = Literal[
    "rows-columns-bands", "bands-rows-columns", "rows-bands-columns", "columns-rows-bands", "bands-columns-rows"
]
SceneName = Literal["indian-pines", "pavia-university", "salinas", "salinas-a", "ksc", "botswana"]


class CubeSource(Section):
    """The labelled pixels of one hyperspectral scene, each with the window around it."""

    kind: Literal["cube"]
    scene: SceneName | None = Field(
        default=None, description="a well-known scene, found by its usual file names; its classes and size are checked"
    )
    cube: str | None = Field(default=None, description="file: .mat, ENVI (.hdr) or GeoTIFF; default: the scene's")
    ground_truth: str | None = Field(
        default=None, description="file: .mat, PNG or TIFF, ENVI, or polygons (.geojson, .shp); default: the scene's"
    )
    cube_variable: str | None = Field(default=None, description="in a .mat file; default: the only one that can be it")
    axes: CubeAxes | None = Field(default=None, description="of a .mat file's array; default: rows-columns-bands")
    ground_truth_variable: str | None = Field(
        default=None, description="in a .mat file; of polygons, the column with the class"
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="class names in the order of the ground truth's values; default: what the files say"
    )
    unlabelled: tuple[int, ...] = Field(default=(0,), description="values of the ground truth that are no class")
    drop_bands: tuple[int | str, ...] = Field(
        default=(),
        description="numbers counted from 1, ranges like 104-108 with both ends, or band names; of a well-known scene "
        "also water-absorption",
    )
    constant_bands: Literal["refuse", "drop", "keep"] = Field(
        default="refuse", description="bands with the same value in all of the scene"
    )
    window: PositiveInt = Field(default=9, description="side in pixels, odd; reflected at the border of the scene")

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window is {self.window}, and an even window has no centre pixel; use {self.window + 1}")
        if self.scene is None and (self.cube is None or self.ground_truth is None):
            raise ValueError("name a well-known scene, or both cube and ground_truth")
        return self


SourceSection = Annotated[
    DigitsSource | IdxSource | ImageFolderSource | StoreSource | LmdbSource | CubeSource, Field(discriminator="kind")
]
