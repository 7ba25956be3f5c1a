"""Names, label files, lists and tables of a synthetic archive, with the keys and columns of the real ones.

Version 1: a label file in each patch's folder, and lists of patch names for splits, snow and cloud. Version 2: tables
in Parquet, one of the clear patches and one of those with snow, cloud or shadow. Everything says that it is synthetic:
a key in each label file, an entry in each table's metadata, and the year 2099 in every name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from konvoi.data.nomenclature import to_19
from konvoi.data.synthetic.places import PATCH_METRES
from konvoi.data.synthetic.plan import PlannedPatch
from konvoi.files import write_aside, write_text

_PROJECTION = (
    'PROJCS["WGS 84 / UTM zone {zone}N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
    'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],'
    'AUTHORITY["EPSG","4326"]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
    'PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
    'PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],'
    'AXIS["Northing",NORTH],AUTHORITY["EPSG","{code}"]]'
)


def patch_name(patch: PlannedPatch, version: int) -> str:
    """Of a Sentinel-2 patch: in version 2 with orbit and tile, and with two digits for column and row."""
    if version == 1:
        return f"{patch.acquisition.name}_{patch.column}_{patch.row}"
    return f"{patch.acquisition.tile_name}_{patch.column:02d}_{patch.row:02d}"


def radar_patch_name(patch: PlannedPatch, version: int) -> str:
    """Of the Sentinel-1 patch of the same place."""
    cell = f"{patch.column}_{patch.row}" if version == 1 else f"{patch.column:02d}_{patch.row:02d}"
    return f"{patch.acquisition.radar_name}_{patch.acquisition.site.tile}_{cell}"


def label_file(patch: PlannedPatch) -> dict[str, Any]:
    """Content of a Sentinel-2 patch's `_labels_metadata.json` in version 1."""
    flight = patch.acquisition
    start, orbit = f"{flight.time:%Y%m%dT%H%M%S}", f"R{flight.site.orbit:03d}"
    return _place(patch, "lry") | {
        "tile_source": f"{flight.satellite}_MSIL1C_{start}_N9999_{orbit}_T{flight.site.tile}_{start}.SAFE",
        "acquisition_date": f"{flight.time:%Y-%m-%d %H:%M:%S}",
        "synthetic": True,
    }


def radar_label_file(patch: PlannedPatch) -> dict[str, Any]:
    """Content of a Sentinel-1 patch's `_labels_metadata.json`, where the lower edge is really called "lly"."""
    flight = patch.acquisition
    start = f"{flight.radar_time:%Y%m%dT%H%M%S}"
    return _place(patch, "lly") | {
        "corresponding_s2_patch": patch_name(patch, 1),
        "scene_source": f"{flight.radar_name}_{start}_000000_000000_0000",
        "acquisition_time": f"{flight.radar_time:%Y-%m-%dT%H:%M:%S}",
        "synthetic": True,
    }


def _place(patch: PlannedPatch, lower: str) -> dict[str, Any]:
    zone = patch.acquisition.site.zone
    return {
        "labels": list(patch.labels),
        "coordinates": {
            "ulx": patch.left,
            "uly": patch.top,
            "lrx": patch.left + PATCH_METRES,
            lower: patch.top - PATCH_METRES,
        },
        "projection": _PROJECTION.format(zone=zone, meridian=6 * zone - 183, code=32600 + zone),
    }


def write_lists(folder: Path, plan: Sequence[PlannedPatch]) -> None:
    """Version 1's lists, one name a line without a header: train, val and test hold no patch with snow or cloud."""
    for file, chosen in (
        ("train.csv", [patch for patch in plan if patch.part == "train"]),
        ("val.csv", [patch for patch in plan if patch.part == "validation"]),
        ("test.csv", [patch for patch in plan if patch.part == "test"]),
        ("patches_with_cloud_and_shadow.csv", [patch for patch in plan if patch.flag == "cloud"]),
        ("patches_with_seasonal_snow.csv", [patch for patch in plan if patch.flag == "snow"]),
    ):
        # The real lists end their lines as Windows does.
        write_text(folder / file, "".join(f"{patch_name(patch, 1)}\r\n" for patch in chosen))


def write_tables(folder: Path, plan: Sequence[PlannedPatch]) -> None:
    """Version 2's tables: `metadata.parquet`, and the one of the patches with snow, cloud or shadow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file, flagged in (
        ("metadata.parquet", False),
        ("metadata_for_patches_with_snow_cloud_or_shadow.parquet", True),
    ):
        chosen = [patch for patch in plan if bool(patch.flag) is flagged]
        columns = {
            "patch_id": pa.array([patch_name(patch, 2) for patch in chosen], pa.string()),
            "labels": pa.array([sorted(to_19(patch.labels)) for patch in chosen], pa.list_(pa.string())),
            "split": pa.array([patch.block_part for patch in chosen], pa.string()),
            "country": pa.array([patch.acquisition.site.country for patch in chosen], pa.string()),
            "s1_name": pa.array([radar_patch_name(patch, 2) for patch in chosen], pa.string()),
            "s2v1_name": pa.array([patch_name(patch, 1) for patch in chosen], pa.string()),
            "contains_seasonal_snow": pa.array([patch.flag == "snow" for patch in chosen], pa.bool_()),
            "contains_cloud_or_shadow": pa.array([patch.flag == "cloud" for patch in chosen], pa.bool_()),
        }
        table = pa.table(columns).replace_schema_metadata({"synthetic": "true"})
        write_aside(folder / file, partial(pq.write_table, table))


def as_text(content: dict[str, Any]) -> str:
    """JSON on one line, as the real label files are."""
    return json.dumps(content)
