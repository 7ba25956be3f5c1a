"""A commented batch script for Slurm: one task a rank, saved before the time is over, requeued, and going on.

Options are those of the manual pages of sbatch, srun, scancel and scontrol (Slurm 22.05; the ones used are older, and
still there). What decides the script's shape:

- srun kills its tasks when it gets a SIGTERM itself. So Slurm warns the batch shell alone (`--signal=B:USR1@…`), and
  the shell lets scancel send SIGTERM to the ranks, which then save and end with 128 + 15.
- `--requeue` only allows a requeue; after a warning the script asks for it with `scontrol requeue`. A job that the user
  cancels gets no warning, and so is not requeued.
- Since Slurm 22.05, srun no longer takes `--cpus-per-task` over from sbatch.
"""

from __future__ import annotations

import re

from konvoi.cluster.job import Job
from konvoi.cluster.shell import comment, continued, network_hints, surroundings, title, train_command
from konvoi.errors import LaunchError

_WARNING_SECONDS = 120
"""Before the time limit; Slurm may send a signal up to a minute earlier than that."""

_SHORTEST_SECONDS = 300

_MOST_RESTARTS = 50

_TIME = re.compile(r"(?:(\d{1,3})-)?(\d{1,4}):([0-5]\d):([0-5]\d)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@+-]*")


def sbatch_script(job: Job, *, time: str = "01:00:00", partition: str | None = None, account: str | None = None) -> str:
    """The text of a script for `sbatch`.

    Args:
        job: what to start.
        time: limit of the job, HH:MM:SS or D-HH:MM:SS.
        partition: of the cluster; None: the site's default.
        account: or project, that the time is charged to.

    Raises:
        LaunchError: the time, the partition or the account are not of the form that Slurm reads.
    """
    _check_time(time)
    for option, name in (("--partition", partition), ("--account", account)):
        if name is not None and not _NAME.fullmatch(name):
            raise LaunchError(f"{option} is {name!r}; a name of letters, digits and -_.,:@+ was expected.")
    lines = [
        "#!/bin/bash",
        *title(job),
        "#",
        *comment("Submit it from the folder in which the paths below are valid, and look after it with"),
        "#     sbatch THIS-FILE          squeue -u $USER          scancel JOB",
        f"#     tail -f {job.name}-JOB.out",
        *comment(
            "Submitted again, it goes on where the run stands; another experiment needs another --run-dir. Lines that "
            "begin with ##SBATCH are off: take one # away to use them."
        ),
        "",
        *_requests(job, time, partition, account),
        "",
        *surroundings(job),
        "",
        *comment("Threads of a rank: as many as it has cores."),
        'export OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK"',
        *network_hints(job),
        "",
        *_step(job),
        "",
        *_ending(),
    ]
    return "\n".join(lines) + "\n"


def _check_time(time: str) -> None:
    match = _TIME.fullmatch(time)
    if match is None or (match[1] is not None and int(match[2]) > 23):
        raise LaunchError(
            f"--time is {time!r}; HH:MM:SS or D-HH:MM:SS was expected, for example 02:30:00 or 1-12:00:00."
        )
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total < _SHORTEST_SECONDS:
        raise LaunchError(
            f"--time is {time}; {_SHORTEST_SECONDS // 60} minutes or more were expected, since the last three are for "
            "saving the run."
        )


def _requests(job: Job, time: str, partition: str | None, account: str | None) -> list[str]:
    lines = [
        f"#SBATCH --job-name={job.name}",
        f"#SBATCH --nodes={job.nodes}",
        f"#SBATCH --ntasks-per-node={job.ranks_per_node}",
    ]
    if job.gpus_per_node:
        lines += [
            f"#SBATCH --gpus-per-node={job.gpus_per_node}",
            "# Some sites want the GPUs in these words instead, or with a type, as gpu:a100:4:",
            f"##SBATCH --gres=gpu:{job.gpus_per_node}",
        ]
    lines += [
        "# Cores of a rank: those of a node divided by the ranks of a node.",
        f"#SBATCH --cpus-per-task={job.cpus_per_rank}",
        f"#SBATCH --time={time}",
        f"#SBATCH --partition={partition}" if partition else "##SBATCH --partition=NAME",
        f"#SBATCH --account={account}" if account else "##SBATCH --account=NAME",
        f"#SBATCH --output={job.name}-%j.out",
        *comment(
            f"A warning {_WARNING_SECONDS // 60} to {_WARNING_SECONDS // 60 + 1} minutes before the time is over; a "
            "job that goes on then appends to its output."
        ),
        f"#SBATCH --signal=B:USR1@{_WARNING_SECONDS}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "# One thread a core, which is often faster; whole nodes, for timings; all memory of a node:",
        "##SBATCH --hint=nomultithread",
        "##SBATCH --exclusive",
        "##SBATCH --mem=0",
    ]
    return lines


def _step(job: Job) -> list[str]:
    srun = 'srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK"'
    command = continued([srun, *train_command(job)])
    command[-1] += " &"
    return [
        *comment(
            "At the warning, the ranks get a SIGTERM, at which they save the run. Not by a signal to srun, which "
            "would kill them. srun runs in the background, because a shell hears signals only while it waits."
        ),
        "out_of_time=no",
        "trap 'out_of_time=yes; scancel --signal=TERM \"$SLURM_JOB_ID\"' USR1",
        "",
        *comment("One rank that fails ends the others."),
        *command,
        "step=$!",
        'wait "$step"',
        "code=$?",
        'if [ "$out_of_time" = yes ]; then',
        "    # The signal ended the waiting, and the ranks are still saving.",
        '    wait "$step"',
        "    code=$?",
        "fi",
    ]


def _ending() -> list[str]:
    return [
        *comment(
            "Ranks that were stopped by the signal end with 128 or more: there is something left to do, and the same "
            "job goes into the queue again. An error of the recipe or the data ends the job for good."
        ),
        'if [ "$out_of_time" = yes ] && [ "$code" -gt 128 ]; then',
        f'    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {_MOST_RESTARTS} ]; then',
        '        scontrol requeue "$SLURM_JOB_ID"',
        "    else",
        f'        echo "Restarted {_MOST_RESTARTS} times: submit the script again if the run makes progress." >&2',
        "    fi",
        "fi",
        'exit "$code"',
    ]
