"""`konvoi data`: get, generate, pack, describe and split data sets."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from konvoi.cli.options import DataDirOption, RecipeArgument, SetOption

data_app = typer.Typer(help="Get, generate, pack, describe and split data sets.", no_args_is_help=True)


class Unreadable(StrEnum):
    """What happens to patches that cannot be used."""

    REFUSE = "refuse"
    SKIP = "skip"


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="mnist or fashion-mnist.")],
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="The folder to fill; default: the cache.")] = None,
) -> None:
    """Download a data set from public mirrors, with checksums; goes on where it stopped."""
    from konvoi.console.progress import download_with_progress

    typer.echo(f"{name} is in {download_with_progress(name, data_dir)}")


@data_app.command("generate")
def data_generate(
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to fill.")],
    patches: Annotated[int, typer.Option("--patches", min=1, help="How many.")] = 1000,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    version: Annotated[int, typer.Option("--version", min=1, max=2, help="Layout of BigEarthNet's version.")] = 1,
    sentinel1: Annotated[bool, typer.Option("--sentinel1", help="With radar patches beside them.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; default: one a core.")] = None,
) -> None:
    """Write a synthetic archive in BigEarthNet's layout, for tests, demonstrations and benchmarks."""
    from konvoi.console.progress import progress_bar
    from konvoi.data.synthetic import generate_bigearthnet

    with progress_bar("patches") as progress:
        generate_bigearthnet(folder, patches, seed, 2 if version == 2 else 1, sentinel1, workers or _cores(), progress)
    typer.echo(f"{patches:,} synthetic patches are in {folder}. Pack them: konvoi data pack {folder} STORE")


@data_app.command("generate-cube")
def data_generate_cube(
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to fill.")],
    height: Annotated[int, typer.Option("--height", min=1, help="Pixels.")] = 240,
    width: Annotated[int, typer.Option("--width", min=1, help="Pixels.")] = 240,
    bands: Annotated[int, typer.Option("--bands", min=2, help="From 420 to 2,400 nm.")] = 120,
    seed: Annotated[int, typer.Option("--seed")] = 0,
) -> None:
    """Write a synthetic hyperspectral scene with its ground truth, in ENVI's format."""
    from konvoi.data.synthetic.cube import generate_cube

    scene = generate_cube(folder, height, width, bands, seed)
    truth = scene.with_name("ground_truth.hdr")
    typer.echo(f"A synthetic scene is in {folder}. In a recipe:")
    typer.echo(f"source: {{kind: cube, cube: {scene}, ground_truth: {truth}}}")


@data_app.command("pack")
def data_pack(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder of patches; of ImageNet, also a tar.")],
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="The store to write.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="bigearthnet-v1, bigearthnet-v2, eurosat, geotiff-folder or imagenet; default: by layout."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Table of names and labels: CSV, Parquet or JSON.")
    ] = None,
    lists: Annotated[
        Path | None, typer.Option("--lists", help="Folder with lists of the splits, of snow and of cloud.")
    ] = None,
    bands: Annotated[str | None, typer.Option("--bands", help="Band names in the files' order, B02,B03,…")] = None,
    scale: Annotated[float | None, typer.Option("--scale", help="Stored value × scale = value in units.")] = None,
    units: Annotated[str | None, typer.Option("--units", help="For example reflectance.")] = None,
    no_data: Annotated[float | None, typer.Option("--no-data", help="Stored value of pixels without data.")] = None,
    sentinel1: Annotated[
        Path | None, typer.Option("--sentinel1", help="BigEarthNet: the folder of Sentinel-1 patches, packed too.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="ImageNet: pixels a side of a stored picture; default 256.")
    ] = None,
    unreadable: Annotated[
        Unreadable, typer.Option("--unreadable", help="Patches that cannot be used: refuse the source, or skip them.")
    ] = Unreadable.REFUSE,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; default: one a core.")] = None,
    shard_size: Annotated[int | None, typer.Option("--shard-size", min=1, help="Patches a file; default 4096.")] = None,
) -> None:
    """Pack patches into a store of NumPy arrays. Stopped, it goes on where it was."""
    from konvoi.console.data import print_store
    from konvoi.console.progress import progress_bar
    from konvoi.data.pack import SHARD_SIZE, pack
    from konvoi.data.sources.patch_sources import PatchOptions, open_patches

    options = PatchOptions(
        labels=labels,
        lists=lists,
        bands=tuple(name.strip() for name in bands.split(",")) if bands else None,
        scale=scale,
        units=units,
        no_data=no_data,
        sentinel1=sentinel1,
        size=size,
    )
    patches = open_patches(source, kind, options)
    with progress_bar("patches") as progress:
        store = pack(
            patches,
            folder,
            unreadable=unreadable.value,
            workers=workers or _cores(),
            shard_size=shard_size or SHARD_SIZE,
            progress=progress,
        )
    print_store(store)


@data_app.command("info")
def data_info(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|STORE|CUBE", help="A recipe's name or file, a store's folder, or a cube's file."
        ),
    ],
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    verify: Annotated[bool, typer.Option("--verify", help="A store: read every file and compare checksums.")] = False,
    ground_truth: Annotated[
        Path | None, typer.Option("--ground-truth", help="A cube: its ground truth; default: the well-known scene's.")
    ] = None,
) -> None:
    """Show what a store, a cube or a recipe's source holds, how it is split, and what the audit finds."""
    from konvoi.console.data import print_data, print_store
    from konvoi.console.progress import progress_bar
    from konvoi.data.audit import class_counts, duplicate_counts
    from konvoi.data.sources import read_source
    from konvoi.data.sources.cube_file import is_cube
    from konvoi.data.spatial_audit import spatial_findings
    from konvoi.data.split import make_split
    from konvoi.errors import DataError, RecipeError
    from konvoi.recipe import load_recipe

    if Path(recipe).is_dir():
        from konvoi.data.store import Store

        if overrides or data_dir is not None:
            raise RecipeError("--set and --data-dir go with a recipe; a store is what it is.")
        store = Store(Path(recipe))
        print_store(store)
        if verify:
            with progress_bar("files") as progress:
                complaints = store.verify(progress)
            if complaints:
                raise DataError(f"{len(complaints)} files are damaged:\n  " + "\n  ".join(complaints))
            typer.echo(f"all {len(store.manifest.files)} files are as they were written")
        return
    if verify:
        raise RecipeError(f"--verify goes with a store, and {recipe} is no folder.")
    if is_cube(Path(recipe)):
        from konvoi.console.cubes import print_cube
        from konvoi.data.sources.cube_findings import look_at_cube

        if overrides or data_dir is not None:
            raise RecipeError("--set and --data-dir go with a recipe; a cube's file is what it is.")
        print_cube(look_at_cube(Path(recipe), ground_truth))
        return
    if ground_truth is not None:
        raise RecipeError(f"--ground-truth goes with a cube's file, and {recipe} is none.")
    loaded = load_recipe(recipe, overrides or ())
    dataset = read_source(loaded.source, data_dir)
    split = make_split(dataset, loaded.split)
    print_data(
        dataset,
        split,
        class_counts(dataset, split),
        duplicate_counts(dataset, split),
        spatial_findings(dataset, split),
    )


@data_app.command("audit")
def data_audit(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write a map of the parts: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Show how far windows of a scene's test pixels contain training pixels, under the recipe's split."""
    from konvoi.console.data import print_leakage
    from konvoi.data.sources import read_source
    from konvoi.data.split import make_split
    from konvoi.errors import DataError
    from konvoi.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    dataset = read_source(loaded.source, data_dir)
    split = make_split(dataset, loaded.split)
    if split.leakage is None:
        raise DataError(
            f"{dataset.name} is no scene whose pixels are divided, so no windows overlap. `konvoi data info` shows its "
            "classes, copies and places."
        )
    print_leakage(dataset, split, split.leakage)
    if picture is not None:
        from konvoi.report.parts import write_parts_picture

        write_parts_picture(dataset, split, picture)
        typer.echo(f"picture: {picture}")


@data_app.command("split")
def data_split(
    recipe: RecipeArgument,
    folder: Annotated[Path, typer.Argument(metavar="DEST", help="The folder of lists to write.")],
    overrides: SetOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write a recipe's split as lists of names, with nested training lists of 1 and 10 %; `split.lists` reads them."""
    from konvoi.data.sources import read_source
    from konvoi.data.split import make_split
    from konvoi.data.split_lists import write_split
    from konvoi.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    dataset = read_source(loaded.source, data_dir)
    for path in write_split(dataset, make_split(dataset, loaded.split), loaded.split.labelled_seed, folder):
        typer.echo(str(path))


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
