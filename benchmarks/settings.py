"""Recipes and processes that the benchmarks share: the peers' networks in Konvoi's words, and running a peer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent / "peers"

RECIPE = """
name: {name}
about: The network of a peer's example, for comparison.
source: {{kind: idx, dataset: mnist}}
split: {{validation: 0.01}}
input: {{normalise: standard}}
network: {network}
optim: {{kind: adam, lr: 0.001}}
budget: {{epochs: 2, batch: {batch}, keep: last}}
compute: {{precision: {precision}}}
"""

PYTORCH_NETWORK = (
    "{kind: cnn, hidden: [128], dropout: 0.5, blocks: [{maps: 32, padding: valid}, "
    "{maps: 64, padding: valid, pool: max, dropout: 0.25}]}"
)
KERAS_NETWORK = (
    "{kind: cnn, dropout: 0.5, blocks: [{maps: 32, padding: valid, pool: max}, {maps: 64, padding: valid, pool: max}]}"
)


def peer_recipe(peer: str, precision: str) -> str:
    """YAML of a recipe with a peer's network and batch size."""
    network, batch = {"pytorch": (PYTORCH_NETWORK, 64), "keras": (KERAS_NETWORK, 128)}[peer]
    return RECIPE.format(name=f"{peer}-network", network=network, batch=batch, precision=precision)


def run_json(command: list[str]) -> dict[str, Any]:
    """The JSON object in the last line that a process prints; each measurement starts from a fresh process."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def run_peer(python: str, peer: str, question: str, data_dir: Path, seed: int = 0) -> dict[str, Any]:
    """Run a peer's example; `python` is an interpreter that has its packages."""
    script = {"pytorch": "pytorch_example.py", "keras": "keras_convnet.py"}[peer]
    return run_json([python, str(PEERS / script), question, "--data-dir", str(data_dir), "--seed", str(seed)])
