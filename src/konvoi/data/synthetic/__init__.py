"""Synthetic archives in exactly BigEarthNet's layout, for tests, benchmarks and demonstrations.

They are called synthetic wherever they appear. `plan` decides places, labels and flags; `mosaic` draws the ground;
`scene` and `radar` make images of it; `archive` writes them.
"""

from konvoi.data.synthetic.archive import MARKER, generate_bigearthnet, is_synthetic

__all__ = ["MARKER", "generate_bigearthnet", "is_synthetic"]
