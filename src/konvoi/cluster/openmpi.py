"""A commented script for a site where programs are started by Open MPI's mpirun.

No MPI is used for the training itself: mpirun starts the ranks, and tells each who it is. Options are those of mpirun's
manual page (Open MPI 4.1).
"""

from __future__ import annotations

from konvoi.cluster.job import Job
from konvoi.cluster.shell import comment, continued, network_hints, surroundings, title, train_command


def mpirun_script(job: Job) -> str:
    """The text of a script that calls mpirun; it holds no lines of any scheduler."""
    lines = [
        "#!/bin/bash",
        *title(job),
        "#",
        *comment(
            "Run it on the first node of an allocation, from the folder in which the paths below are valid; or submit "
            "it to the site's scheduler, with the scheduler's own lines here:"
        ),
        f"#     {job.nodes} node(s), {job.ranks_per_node} process(es) a node, {job.cpus_per_rank} core(s) a process"
        + (f", {job.gpus_per_node} GPU(s) a node" if job.gpus_per_node else ""),
        *comment(
            "Started again, it goes on where the run stands: mpirun gives ranks no time to save when it is stopped, so "
            "what is lost is the time since the last checkpoint (budget.checkpoint_seconds). Another experiment needs "
            "another --run-dir."
        ),
        "",
        *surroundings(job),
        "",
        *comment("Threads of a rank: as many as it has cores."),
        f"export OMP_NUM_THREADS={job.cpus_per_rank}",
        *comment("Where the ranks meet: at this host, where mpirun puts the first of them, and a port of this job."),
        'export MASTER_ADDR="${MASTER_ADDR:-$HOSTNAME}"',
        'export MASTER_PORT="${MASTER_PORT:-$((15000 + $$ % 15000))}"',
        *network_hints(job),
        "",
        *comment(
            "Under Slurm, PBS, LSF or Grid Engine, mpirun knows the hosts by itself. Elsewhere they stand in a file, "
            f"this host first, each on a line as `node1 slots={job.ranks_per_node}`:"
        ),
        "hosts=()",
        "# hosts=(--hostfile hosts.txt)",
        "",
        *comment("Variables that are to reach the other hosts; those that are not set are left out."),
        "variables=()",
        "for name in PATH LD_LIBRARY_PATH VIRTUAL_ENV OMP_NUM_THREADS MASTER_ADDR MASTER_PORT \\",
        "    GLOO_SOCKET_IFNAME NCCL_SOCKET_IFNAME NCCL_DEBUG; do",
        '    if [ -n "${!name+set}" ]; then variables+=(-x "$name"); fi',
        "done",
        "",
        *comment(
            "Each rank is bound to cores of its own. One rank that fails ends the others, which mpirun does by itself."
        ),
        "exec "
        + "\n".join(
            continued(
                [
                    f'mpirun "${{hosts[@]}}" -np {job.ranks}',
                    f"--map-by ppr:{job.ranks_per_node}:node:PE={job.cpus_per_rank} --bind-to core",
                    '"${variables[@]}"',
                    *train_command(job),
                ]
            )
        ),
    ]
    return "\n".join(lines) + "\n"
