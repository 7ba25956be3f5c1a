"""What a look at a cube's file finds, printed."""

from __future__ import annotations

from konvoi.console.terminal import plain_table, terminal
from konvoi.data.band_lists import as_ranges, in_short
from konvoi.data.cube import Cube
from konvoi.data.sources.cube_findings import CubeFindings

_CLASSES_SHOWN = 100


def print_cube(found: CubeFindings) -> None:
    """Size, bands, wavelengths, classes with their pixels, and what a recipe has to say about them."""
    console = terminal()
    cube, bands = found.cube, found.cube.bands
    height, width = cube.size
    known = "" if found.known is None else f"{found.known.title} ({found.known.sensor}): "
    console.print(
        f"{known}{height:,} × {width:,} pixels, {len(bands)} bands of {cube.values.dtype.name}, {cube.origin}"
    )
    if cube.caution:
        console.print(f"caution: {cube.caution}")
    units, scales = dict.fromkeys(bands.units), dict.fromkeys(bands.scale)
    console.print(
        f"bands: {in_short(bands.names)} ({', '.join(units)}; stored × {', '.join(f'{scale:.6g}' for scale in scales)})"
    )
    console.print(f"wavelengths: {_wavelengths(cube)}")
    console.print(f"place: {_place(cube)}")
    for sentence in (*cube.remarks, *(found.truth.remarks if found.truth else ()), *_problems(found)):
        console.print(sentence)
    if found.truth is None:
        console.print("no ground truth: name one with --ground-truth")
        return
    console.print(f"\nground truth: {found.truth.origin}\n")
    table = plain_table()
    table.add_column("value", justify="right")
    table.add_column("class")
    table.add_column("pixels", justify="right")
    for value, name, pixels in found.classes[:_CLASSES_SHOWN]:
        table.add_row(str(value), name, f"{pixels:,}")
    console.print(table)
    if len(found.classes) > _CLASSES_SHOWN:
        console.print(f"… and {len(found.classes) - _CLASSES_SHOWN} more values")


def _wavelengths(cube: Cube) -> str:
    waves = [wave for wave in cube.bands.wavelength if wave is not None]
    return f"{min(waves):g} to {max(waves):g} nm" if waves else "the file has none"


def _place(cube: Cube) -> str:
    if cube.transform is None:
        return "the file has none"
    across, _, left, _, down, top = cube.transform
    system = cube.crs if cube.crs.startswith("EPSG:") else cube.crs.split(",")[0] or "an unnamed reference system"
    return f"{system}, upper left corner {left:.10g}, {top:.10g}, pixels of {across:.6g} × {abs(down):.6g}"


def _problems(found: CubeFindings) -> list[str]:
    names = found.cube.bands.names
    sentences = []
    if found.cube.bad_bands:
        numbers = as_ranges([names.index(name) + 1 for name in found.cube.bad_bands])
        sentences.append(f"marked as bad, and left out of a training: bands {numbers}")
    if found.examination.constant:
        numbers = as_ranges([names.index(name) + 1 for name in found.examination.constant])
        sentences.append(f"one value everywhere, or none: bands {numbers}. Drop them: source.drop_bands=[{numbers}]")
    if found.examination.gaps is not None:
        sentences.append(f"{int(found.examination.gaps.sum()):,} pixels lack a value in some band")
    absorption = () if found.known is None else found.known.water_absorption
    if absorption and len(names) == (0 if found.known is None else found.known.bands):
        sentences.append(
            f"water absorption, usually left out: bands {as_ranges(absorption)}; source.drop_bands=[water-absorption]"
        )
    negative = [str(value) for value, _, _ in found.classes if value < 0]
    if negative:
        sentences.append(f"negative values in the ground truth: source.unlabelled=[0, {', '.join(negative)}]")
    return sentences
