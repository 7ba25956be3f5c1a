"""From environment variables to rank and size, whoever started the process.

Tried in this order: torchrun, Slurm, LSF, Open MPI and PMI, a single process. Nothing is opened here. An MPI within a
Slurm job may start its daemons with srun, and the ranks then inherit the daemons' variables; so Slurm's count only
where MPI does not name another number of ranks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from konvoi.errors import LaunchError

Variables = Mapping[str, str]

OUTCOME = "KONVOI_OUTCOME"
"""Names the file for the exit code, in the environment of ranks that `konvoi train --ranks` has started."""

_FIRST_PORT, _PORTS = 15_000, 15_000
"""Ports that are derived from a job's number: below those that systems hand out by themselves (from 32,768)."""


@dataclass(frozen=True)
class RankEnvironment:
    """One process among those of a training, as its launcher describes it.

    Attributes:
        rank: 0 to size − 1.
        size: number of processes.
        local_rank: number among the processes of this host.
        address: host of rank 0; None for a single process.
        port: at which rank 0 is met; None for a single process.
        launcher: who started the processes, in words.
        local_size: how many of them are on this host, if the launcher says so. Not from torchrun: two agents may well
            share a host.
    """

    rank: int
    size: int
    local_rank: int
    address: str | None
    port: int | None
    launcher: str
    local_size: int | None = None


SINGLE = RankEnvironment(rank=0, size=1, local_rank=0, address=None, port=None, launcher="a single process")


def read_environment(variables: Variables | None = None) -> RankEnvironment:
    """Who this process is.

    Args:
        variables: the environment; default: this process's own.

    Raises:
        LaunchError: the variables contradict each other, or do not say where rank 0 is.
    """
    variables = os.environ if variables is None else variables
    for read in _LAUNCHERS:
        found = read(variables)
        if found is not None:
            return _checked(found)
    return SINGLE


def _torchrun(variables: Variables) -> RankEnvironment | None:
    if not {"RANK", "WORLD_SIZE"} <= variables.keys():
        return None
    size = _number(variables, "WORLD_SIZE")
    alone = size == 1 and "MASTER_ADDR" not in variables
    return RankEnvironment(
        rank=_number(variables, "RANK"),
        size=size,
        local_rank=_number(variables, "LOCAL_RANK", 0),
        address=None if alone else _required(variables, "MASTER_ADDR", "torchrun"),
        port=None if alone else _number(variables, "MASTER_PORT"),
        launcher="--ranks" if OUTCOME in variables else "torchrun",
    )


def _slurm(variables: Variables) -> RankEnvironment | None:
    # Of the step, not of the job: a batch script itself has SLURM_NTASKS and a SLURM_PROCID of 0, and is no rank.
    if not {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"} <= variables.keys():
        return None
    size = _number(variables, "SLURM_STEP_NUM_TASKS")
    if any(_number(variables, name, size) != size for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")):
        return None
    nodes = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_JOB_NODELIST", "")
    job = _number(variables, "SLURM_JOB_ID", 0)
    return RankEnvironment(
        rank=_number(variables, "SLURM_PROCID"),
        size=size,
        local_rank=_number(variables, "SLURM_LOCALID", 0),
        address=variables.get("MASTER_ADDR") or first_host(nodes),
        port=_number(variables, "MASTER_PORT", port_of_job(job + _number(variables, "SLURM_STEP_ID", 0))),
        launcher="Slurm's srun",
        local_size=tasks_of_node(variables.get("SLURM_STEP_TASKS_PER_NODE", ""), _number(variables, "SLURM_NODEID", 0)),
    )


def _lsf(variables: Variables) -> RankEnvironment | None:
    if not {"JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"} <= variables.keys():
        return None
    # Host names and their cores in turn; the first host only runs the job's script where there are others.
    hosts = variables.get("LSB_MCPU_HOSTS", "").split()[::2]
    return RankEnvironment(
        rank=_number(variables, "JSM_NAMESPACE_RANK"),
        size=_number(variables, "JSM_NAMESPACE_SIZE"),
        local_rank=_number(variables, "JSM_NAMESPACE_LOCAL_RANK", 0),
        address=variables.get("MASTER_ADDR") or (hosts[1] if len(hosts) > 1 else "".join(hosts)),
        port=_number(variables, "MASTER_PORT", port_of_job(_number(variables, "LSB_JOBID", 0))),
        launcher="LSF's jsrun",
        local_size=_optional(variables, "JSM_NAMESPACE_LOCAL_SIZE"),
    )


def _open_mpi(variables: Variables) -> RankEnvironment | None:
    if not {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"} <= variables.keys():
        return None
    size = _number(variables, "OMPI_COMM_WORLD_SIZE")
    local_size = _optional(variables, "OMPI_COMM_WORLD_LOCAL_SIZE")
    return RankEnvironment(
        rank=_number(variables, "OMPI_COMM_WORLD_RANK"),
        size=size,
        local_rank=_number(variables, "OMPI_COMM_WORLD_LOCAL_RANK", 0),
        address=_mpi_address(variables, size, local_size),
        port=_number(variables, "MASTER_PORT", _mpi_port(variables)),
        launcher="Open MPI's mpirun",
        local_size=local_size,
    )


def _pmi(variables: Variables) -> RankEnvironment | None:
    if not {"PMI_RANK", "PMI_SIZE"} <= variables.keys():
        return None
    size = _number(variables, "PMI_SIZE")
    local_size = _optional(variables, "MPI_LOCALNRANKS")
    return RankEnvironment(
        rank=_number(variables, "PMI_RANK"),
        size=size,
        local_rank=_number(variables, "MPI_LOCALRANKID", 0),
        address=_mpi_address(variables, size, local_size),
        port=_number(variables, "MASTER_PORT", _mpi_port(variables)),
        launcher="an MPI with PMI",
        local_size=local_size,
    )


_LAUNCHERS: tuple[Callable[[Variables], RankEnvironment | None], ...] = (_torchrun, _slurm, _lsf, _open_mpi, _pmi)


def first_host(nodes: str) -> str:
    """The first host of a Slurm node list: `gpu[07-09,12],cpu1` gives `gpu07`."""
    head = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", nodes.strip())
    return "" if head is None else "".join(part or "" for part in head.groups())


def tasks_of_node(tasks: str, node: int) -> int | None:
    """Of Slurm's list of tasks per node, that of one node: `4(x2),1` is 4, 4 and 1. None where it does not say."""
    for part in filter(None, tasks.split(",")):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if match is None:
            return None
        count = int(match[2] or 1)
        if node < count:
            return int(match[1])
        node -= count
    return None


def port_of_job(job: int) -> int:
    """A port that two jobs on one host are unlikely to share."""
    return _FIRST_PORT + job % _PORTS


def _mpi_address(variables: Variables, size: int, local_size: int | None) -> str:
    if "MASTER_ADDR" in variables:
        return variables["MASTER_ADDR"]
    if "SLURM_JOB_NODELIST" in variables:
        return first_host(variables["SLURM_JOB_NODELIST"])
    return "127.0.0.1" if local_size == size else ""


def _mpi_port(variables: Variables) -> int:
    return port_of_job(_number(variables, "SLURM_JOB_ID", 0))


def _checked(found: RankEnvironment) -> RankEnvironment:
    if not 0 <= found.rank < found.size:
        raise LaunchError(
            f"{found.launcher} says that this is rank {found.rank} of {found.size}; ranks are 0 to {found.size - 1}. "
            "Look for variables of another job in the environment."
        )
    if found.size > 1 and not found.address:
        raise LaunchError(
            f"{found.launcher} started {found.size} ranks on several hosts and does not say where rank 0 is. Set "
            "MASTER_ADDR to its host name, for example: mpirun -x MASTER_ADDR=$(hostname) …"
        )
    return found


def _required(variables: Variables, name: str, launcher: str) -> str:
    if name not in variables:
        raise LaunchError(
            f"RANK and WORLD_SIZE are set as {launcher} sets them, but {name} is not. Set it, or unset both."
        )
    return variables[name]


def _optional(variables: Variables, name: str) -> int | None:
    return _number(variables, name) if name in variables else None


def _number(variables: Variables, name: str, default: int | None = None) -> int:
    text = variables.get(name)
    if text is None:
        if default is None:
            raise LaunchError(f"The environment variable {name} is not set, and the others of its kind are.")
        return default
    try:
        return int(text)
    except ValueError:
        raise LaunchError(f"The environment variable {name} is {text!r}; a whole number was expected.") from None
