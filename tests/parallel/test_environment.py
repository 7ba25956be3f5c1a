"""Rank and size from the variables that each launcher sets, as its manual lists them."""

from __future__ import annotations

import pytest

from konvoi.errors import LaunchError
from konvoi.parallel.environment import (
    SINGLE,
    RankEnvironment,
    first_host,
    port_of_job,
    read_environment,
    tasks_of_node,
)

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "node3", "MASTER_PORT": "29400",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "6", "SLURM_LOCALID": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "31007", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "8",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_NODEID": "1",
}  # fmt: skip
LSF = {
    "JSM_NAMESPACE_RANK": "7", "JSM_NAMESPACE_SIZE": "12", "JSM_NAMESPACE_LOCAL_RANK": "1",
    "JSM_NAMESPACE_LOCAL_SIZE": "6", "LSB_MCPU_HOSTS": "batch1 1 a05n01 42 a05n02 42", "LSB_JOBID": "4711",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}  # fmt: skip
PMI = {"PMI_RANK": "0", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "4"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, SINGLE),
        (TORCHRUN, RankEnvironment(5, 8, 1, "node3", 29400, "torchrun")),
        (SLURM, RankEnvironment(6, 8, 2, "gpu07", 15_000 + 31_007 % 15_000, "Slurm's srun", 4)),
        (LSF, RankEnvironment(7, 12, 1, "a05n01", 15_000 + 4711, "LSF's jsrun", 6)),
        (OPEN_MPI, RankEnvironment(1, 2, 1, "127.0.0.1", 15_000, "Open MPI's mpirun", 2)),
        (PMI, RankEnvironment(0, 4, 0, "127.0.0.1", 15_000, "an MPI with PMI", 4)),
    ],
)
def test_each_launcher(variables: dict[str, str], expected: RankEnvironment) -> None:
    assert read_environment(variables) == expected


@pytest.mark.parametrize("later", [SLURM, LSF, OPEN_MPI, PMI])
def test_torchrun_within_a_job_goes_first(later: dict[str, str]) -> None:
    assert read_environment(TORCHRUN | later).launcher == "torchrun"


def test_slurm_goes_before_the_mpi_that_it_starts() -> None:
    assert read_environment(PMI | {"PMI_SIZE": "8"} | SLURM).launcher == "Slurm's srun"


@pytest.mark.parametrize("mpi", [OPEN_MPI, PMI])
def test_ranks_of_an_mpi_whose_daemons_are_slurms_tasks(mpi: dict[str, str]) -> None:
    daemon = SLURM | {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "1", "SLURM_JOB_NODELIST": "gpu[07-09]"}
    found = read_environment(daemon | mpi)
    assert (found.rank, found.size) == (read_environment(mpi).rank, read_environment(mpi).size)
    assert found.address == "gpu07"


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("4(x2),1", [4, 4, 1, None]),
        ("2", [2, None, None, None]),
        ("3,1(x2),5", [3, 1, 1, 5]),
        ("", [None] * 4),
        ("4(x", [None] * 4),
    ],
)
def test_the_tasks_of_each_node(tasks: str, expected: list[int | None]) -> None:
    assert [tasks_of_node(tasks, node) for node in range(4)] == expected


def test_a_batch_script_itself_is_no_rank() -> None:
    script = {name: value for name, value in SLURM.items() if "STEP" not in name} | {"SLURM_PROCID": "0"}
    assert read_environment(script) == SINGLE


def test_the_users_address_and_port_win() -> None:
    found = read_environment(SLURM | {"MASTER_ADDR": "ib-gpu07", "MASTER_PORT": "12345"})
    assert (found.address, found.port) == ("ib-gpu07", 12345)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("gpu[12,14]", "gpu12"),
        ("node5", "node5"),
        ("node5,node[7-9]", "node5"),
        ("r1i0n[3-4]-ib,r2", "r1i0n3-ib"),
        ("", ""),
    ],
)
def test_the_first_host_of_a_node_list(nodes: str, expected: str) -> None:
    assert first_host(nodes) == expected


def test_ports_are_below_those_that_systems_give_away() -> None:
    ports = {port_of_job(job) for job in range(0, 200_000, 7)}
    assert min(ports) >= 15_000
    assert max(ports) < 30_000


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (TORCHRUN | {"RANK": "8"}, "rank 8 of 8; ranks are 0 to 7"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR is not"),
        (TORCHRUN | {"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many'; a whole number"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "a"}, "MASTER_PORT is not set"),
        (OPEN_MPI | {"OMPI_COMM_WORLD_SIZE": "8"}, "Set MASTER_ADDR to its host name"),
        (SLURM | {"SLURM_STEP_NODELIST": ""}, "does not say where rank 0 is"),
    ],
)
def test_what_does_not_fit_is_refused(variables: dict[str, str], says: str) -> None:
    with pytest.raises(LaunchError, match=says):
        read_environment(variables)
