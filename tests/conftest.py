"""What tests of every kind share: the way to the real data, which are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data: `$KONVOI_TEST_DATA`, by default `../shared/data` seen from the project."""
    named = os.environ.get("KONVOI_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist (set KONVOI_TEST_DATA)")
    return folder
