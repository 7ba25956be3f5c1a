"""Data sets, splits and stores."""

from __future__ import annotations

from konvoi.console.terminal import by, plain_table, terminal
from konvoi.data.band_lists import in_short
from konvoi.data.dataset import Dataset
from konvoi.data.pixels.leakage import Leakage, percent
from konvoi.data.pixels.leakage import findings as leakage_in_words
from konvoi.data.spatial_audit import SpatialFindings, findings_in_words
from konvoi.data.split import Split
from konvoi.data.store import Store

_PROBLEMS_SHOWN = 20
_CLASSES_SHOWN = 60


def print_data(
    dataset: Dataset,
    split: Split,
    counts: dict[str, tuple[int, ...]],
    duplicates: dict[str, int],
    findings: SpatialFindings,
) -> None:
    """What a source holds, class by class and part by part."""
    console = terminal()
    console.print(f"{dataset.name}: {len(dataset):,} images of {by(dataset.image_shape)}, from {dataset.origin}")
    if dataset.caution:
        console.print(f"caution: {dataset.caution}")
    console.print(
        f"bands: {in_short(dataset.bands.names)} ({', '.join(dict.fromkeys(dataset.bands.units))}; stored × "
        f"{', '.join(f'{scale:.6g}' for scale in dict.fromkeys(dataset.bands.scale))})"
    )
    console.print(f"split: {split.method}")
    console.print(f"fingerprints: data {dataset.fingerprint[:16]}, split {split.fingerprint[:16]}\n")
    table = plain_table()
    table.add_column("label" if dataset.several_labels else "class")
    for part in counts:
        table.add_column(part, justify="right")
    if len(dataset.class_names) > _CLASSES_SHOWN:
        spans = (f"{min(part):,} to {max(part):,}" for part in counts.values())
        table.add_row(f"each of {len(dataset.class_names):,}", *spans)
    else:
        for index, class_name in enumerate(dataset.class_names):
            table.add_row(class_name, *(f"{part[index]:,}" for part in counts.values()))
    sizes = (len(split.train), len(split.validation), len(split.test))
    table.add_row("all", *(f"{size:,}" for size in sizes), style="bold")
    console.print(table)
    for part, number in duplicates.items():
        console.print(f"\n{part} images that stand in train as well, pixel by pixel: {number:,}", end="")
    console.print()
    found = findings_in_words(findings) if split.leakage is None else leakage_in_words(split.leakage)
    for sentence in (*dataset.excluded, *split.left_out_in_words, *found):
        console.print(sentence)
    if dataset.skipped:
        console.print(f"\nskipped: {len(dataset.skipped)}")
        for reason in dataset.skipped[:_PROBLEMS_SHOWN]:
            console.print(f"  {reason}")


def print_leakage(dataset: Dataset, split: Split, leakage: Leakage) -> None:
    """Where the pixels of a scene are, class by class, and what the windows of one part hold of another."""
    console = terminal()
    console.print(f"{dataset.name}, windows of {leakage.window} × {leakage.window} pixels")
    console.print(f"split: {split.method}\n")
    classes = plain_table()
    classes.add_column("class")
    for part in leakage.counts:
        classes.add_column(part, justify="right")
    for index, class_name in enumerate(dataset.class_names):
        classes.add_row(class_name, *(f"{counts[index]:,}" for counts in leakage.counts.values()))
    classes.add_row("all", *(f"{sum(counts):,}" for counts in leakage.counts.values()), style="bold")
    console.print(classes)
    console.print()
    overlaps = plain_table()
    overlaps.add_column("windows of")
    for column in (
        "containing pixels of",
        "windows",
        "that do",
        "share",
        "of their pixels",
        "nearest",
        "median",
        "sharing any pixel",
    ):
        overlaps.add_column(column, justify="right")
    for overlap in leakage.overlaps:
        overlaps.add_row(
            overlap.of,
            overlap.held,
            f"{overlap.windows:,}",
            f"{overlap.holding:,}",
            percent(overlap.share),
            percent(overlap.pixels),
            f"{overlap.nearest:,} px",
            f"{overlap.median_distance:g} px",
            f"{overlap.touching:,}",
            style="bold" if overlap.holding else "",
        )
    console.print(overlaps)
    console.print()
    for sentence in leakage_in_words(leakage)[len(leakage.overlaps) :]:
        console.print(sentence)
    console.print(
        f"\n{leakage.caution or 'no window of a later part contains a pixel of an earlier one'}", style="bold"
    )


def print_store(store: Store) -> None:
    """What a store holds: its bands with their contract, its arrays, its labels, and what was not packed."""
    console = terminal()
    manifest, bands = store.manifest, store.bands
    size = sum(file.bytes for file in manifest.files) / 2**20
    console.print(f"{manifest.name}: {manifest.patches:,} patches, {size:,.1f} MiB in {len(manifest.files)} files")
    console.print(f"from {manifest.origin}")
    if manifest.caution:
        console.print(f"caution: {manifest.caution}")
    table = plain_table()
    table.add_column("band")
    for column in ("array", "pixels", "stored as", "scale", "units", "wavelength", "measured at"):
        table.add_column(column, justify="right")
    for grid in manifest.grids:
        for name in grid.bands:
            position = bands.names.index(name)
            wavelength = bands.wavelength[position] if bands.wavelength else None
            metres = bands.ground_sampling_distance[position] if bands.ground_sampling_distance else None
            table.add_row(
                name,
                grid.name,
                by(grid.size),
                grid.dtype,
                f"{bands.scale[position]:g}",
                bands.units[position],
                "–" if wavelength is None else f"{wavelength:g} nm",
                "–" if metres is None else f"{metres:g} m",
            )
    console.print()
    console.print(table)
    counts = store.class_counts().tolist()
    console.print()
    if len(counts) > _CLASSES_SHOWN:
        kind = "labels" if manifest.several_labels else "classes"
        console.print(
            f"{len(counts):,} {kind}, {manifest.class_names[0]} … {manifest.class_names[-1]}; patches of each: "
            f"{min(counts):,} to {max(counts):,}"
        )
    else:
        labels = plain_table()
        labels.add_column("label" if manifest.several_labels else "class")
        labels.add_column("patches", justify="right")
        for name, count in zip(manifest.class_names, counts, strict=True):
            labels.add_row(name, f"{count:,}")
        console.print(labels)
    if manifest.problems:
        console.print(f"\nnot usable: {len(manifest.problems):,}, all named in {store.folder / 'manifest.json'}")
        for problem in manifest.problems[:_PROBLEMS_SHOWN]:
            console.print(f"  {problem.where}: {problem.reason}")
