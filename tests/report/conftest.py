"""The fixture of all tests of the report: a run folder in the test's own folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from fake_runs import FakeRun, write_fake_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., FakeRun]:
    """`write_fake_run` into a folder of the test."""
    return partial(write_fake_run, tmp_path / "run")
