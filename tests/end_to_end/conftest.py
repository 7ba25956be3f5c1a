import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = """
name: small
source: {kind: digits}
input: {normalise: unit}
network:
  kind: cnn
  blocks: [{maps: 8, norm: batch, pool: max, dropout: 0.1}, {maps: 16, norm: batch}]
optim: {kind: sgd, lr: 0.1, momentum: 0.9}
schedule: {kind: one-cycle}
budget: {epochs: 4, batch: 64}
compute: {precision: float32}
"""

Konvoi = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def konvoi(tmp_path: Path) -> Konvoi:
    """Run the command line in a process of its own, in a folder of the test; see `Konvoi`."""
    (tmp_path / "small.yaml").write_text(SMALL)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "KONVOI_DATA"}
        environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        return subprocess.run(
            [sys.executable, "-m", "konvoi", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call
