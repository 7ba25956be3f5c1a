"""Lines of shell that both kinds of script share: the environment, the network's hints, and the command itself.

Whatever the user named goes through `shlex.quote`; nothing of it stands in a comment.
"""

from __future__ import annotations

import shlex
import textwrap

from konvoi.cluster.job import Job

WIDTH = 100
"""Characters of a comment's line."""


def comment(text: str) -> list[str]:
    """A paragraph as lines of a comment."""
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def title(job: Job) -> list[str]:
    """What the script is for, as a comment."""
    ranks = "1 rank" if job.ranks_per_node == 1 else f"{job.ranks_per_node} ranks"
    each = f"{ranks}, one a GPU," if job.gpus_per_node else f"{ranks} on CPUs,"
    lines = comment(f"Trains {job.name}: {each} on each of {job.nodes} node(s), so {job.ranks} in all.")
    for note in job.notes:
        lines += comment(note)
    return lines


def surroundings(job: Job) -> list[str]:
    """Load the modules, enter the virtual environment, and stop where there is no `konvoi` then."""
    lines = [f"module load {shlex.quote(module)}" for module in job.modules]
    if not job.modules:
        needed = "Python or CUDA needs" if job.gpus_per_node else "Python needs"
        lines.append(f"# module load NAME                 # what the site's {needed}, if anything")
    if job.venv is None:
        lines.append(
            "# source FOLDER/bin/activate       # the virtual environment, if it is not active when you submit"
        )
    else:
        lines.append(f"source {shlex.quote(str(job.venv / 'bin' / 'activate'))}")
    lines += [
        "if ! command -v konvoi > /dev/null; then",
        '    echo "There is no konvoi on $HOSTNAME: load the modules and the environment it was installed with." >&2',
        "    exit 2",
        "fi",
    ]
    return lines


def network_hints(job: Job) -> list[str]:
    """What to try when ranks do not find each other, as comments; nothing where there is one rank."""
    if job.ranks == 1:
        return []
    say = ", and let NCCL say what it does" if job.gpus_per_node else ""
    lines = comment(
        "If ranks wait for each other without end, or are slow: name the fast network's interface, which "
        f"`ip -br address` lists on a node (ib0 or hsn0, say){say}."
    )
    lines.append("# export GLOO_SOCKET_IFNAME=ib0")
    if job.gpus_per_node:
        lines += ["# export NCCL_SOCKET_IFNAME=ib0", "# export NCCL_DEBUG=INFO"]
    return lines


def train_command(job: Job) -> list[str]:
    """`konvoi train …`, quoted, in groups of words that belong on a line."""
    groups = [["konvoi", "train", job.recipe]]
    if job.data_dir is not None:
        groups.append(["--data-dir", str(job.data_dir)])
    groups.append(["--run-dir", str(job.run_dir), "--restartable"])
    groups += [["--set", override] for override in job.overrides]
    return [shlex.join(group) for group in groups]


def continued(lines: list[str]) -> list[str]:
    """One command over several lines."""
    return [("    " if number else "") + line + (" \\" if number < len(lines) - 1 else "")
            for number, line in enumerate(lines)]  # fmt: skip
