"""How the labelled pixels of one scene are divided: one section a method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from konvoi.recipe.section import PositiveFloat, PositiveInt, Section

Guard = Literal["none", "half-window", "window"] | Annotated[int, Field(ge=0)]
"""Of a window of w pixels a side, half is (w − 1) / 2 pixels and the whole w − 1; a number is in pixels."""


class RandomPixels(Section):
    """Labelled pixels at random, for comparison: test windows hold training pixels, so this split leaks."""

    method: Literal["random"]
    guard: Guard = Field(
        default="none", description="half-window would take nearly all training pixels out: they lie everywhere"
    )


class StratifiedPixels(Section):
    """Labelled pixels at random, of each class its share: leaks as `random` does."""

    method: Literal["stratified"]
    guard: Guard = "none"


class PixelBlocks(Section):
    """Square blocks of the scene, stratified: a block's labelled pixels go to one part."""

    method: Literal["blocks"]
    size: PositiveInt = Field(default=24, description="side of a block in pixels")
    guard: Guard = "half-window"


class PixelRegions(Section):
    """Contiguous regions of each class, found by DBSCAN and ranked, train until the share is reached (Lange et al.)."""

    method: Literal["regions"]
    rank: Literal["area", "variance"] = Field(
        default="area", description="the largest first, or the one whose spectra vary most"
    )
    reach: PositiveFloat = Field(default=1.5, description="DBSCAN's ε in pixels; 1.5 connects diagonals")
    neighbours: PositiveInt = Field(default=5, description="pixels within reach that make a pixel part of a core")
    guard: Guard = "half-window"


class GrownPixels(Section):
    """In each field, regions that grow from a seed (Liang et al.)."""

    method: Literal["growing"]
    guard: Guard = "half-window"


class WholeFields(Section):
    """Fields, the connected pixels of a class, go to one part each; no field is cut."""

    method: Literal["fields"]
    guard: Guard = "half-window"


class PixelMap(Section):
    """A map of your own: an image, a .mat or a .npy of the scene's size with a code for each part."""

    method: Literal["map"]
    file: str
    variable: str | None = Field(default=None, description="of a .mat; default: the only one of the scene's size")
    train: int = 1
    validation: int = Field(default=2, description="where no pixel has it, a share of the training pixels validates")
    test: int = 3
    guard: Guard = "half-window"


PixelsSection = Annotated[
    RandomPixels | StratifiedPixels | PixelBlocks | PixelRegions | GrownPixels | WholeFields | PixelMap,
    Field(discriminator="method"),
]
