"""Stand-ins for srun, scancel, scontrol, mpirun and module, which write down how they were called.

They are the cluster, not Konvoi: the scripts that Konvoi writes run for real.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

RECORD = 'printf "%s\\0" "{name}" "$@" END >> "$CALLS"\n'
COMMANDS = {
    "module": "",
    # Signals all steps of the job, as scancel does where a signal is named.
    "scancel": 'kill -TERM "$(cat "$CALLS.srun")"\n',
    "scontrol": "",
    "konvoi": "",
    # A step whose ranks save themselves at a SIGTERM, or that ends with $STEP_ENDS.
    "srun": """
        if [ -n "${STEP_ENDS+set}" ]; then exit "$STEP_ENDS"; fi
        trap 'sleep 0.3; exit "$STEP_SAVES"' TERM
        echo $$ > "$CALLS.new"; mv "$CALLS.new" "$CALLS.srun"
        while :; do sleep 0.05; done
    """,
    "mpirun": "",
}


@dataclass(frozen=True)
class Cluster:
    """A folder with the commands, and a file of what they were called with."""

    folder: Path

    @property
    def calls(self) -> list[list[str]]:
        """Every call so far: the command's name and its arguments."""
        text = (self.folder / "calls").read_text() if (self.folder / "calls").exists() else ""
        return [call.strip("\0").split("\0") for call in text.split("END\0") if call]

    def call(self, name: str) -> list[str]:
        """The arguments of the only call of a command."""
        (found,) = [call[1:] for call in self.calls if call[0] == name]
        return found

    def start(self, script: str, **variables: str) -> subprocess.Popen[str]:
        """Run a script with bash, in the folder."""
        (self.folder / "script.sh").write_text(script)
        environment = {
            **os.environ, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "CALLS": str(self.folder / "calls"),
            "SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "3", **variables,
        }  # fmt: skip
        return subprocess.Popen(
            ["bash", "script.sh"], cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip


def make_cluster(folder: Path) -> Cluster:
    """Write the commands."""
    (folder / "bin").mkdir()
    for name, behaviour in COMMANDS.items():
        file = folder / "bin" / name
        file.write_text("#!/bin/bash\n" + RECORD.format(name=name) + behaviour)
        file.chmod(0o755)
    return Cluster(folder)
