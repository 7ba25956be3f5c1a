"""The scripts run: what they hand to srun and mpirun, what they do at the warning, and what they leave alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands_of_a_cluster import Cluster, make_cluster

from konvoi.cluster.job import Job, plan_job
from konvoi.cluster.openmpi import mpirun_script
from konvoi.cluster.slurm import sbatch_script
from konvoi.errors import LaunchError
from konvoi.run import load_run

AWKWARD = 'it\'s $HOME; `touch oops` "x"\n#SBATCH --nodes=99'


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return make_cluster(tmp_path)


def job(**changes: object) -> Job:
    return plan_job("digits-cnn", **({"nodes": 2, "gpus_per_node": 4} | changes))  # type: ignore[arg-type]


def requests(script: str) -> dict[str, str | None]:
    """What sbatch reads: lines before the first command that begin with #SBATCH."""
    found: dict[str, str | None] = {}
    for line in script.splitlines():
        if line and not line.startswith("#"):
            break
        if line.startswith("#SBATCH "):
            option, _, value = line.removeprefix("#SBATCH ").partition("=")
            assert option not in found
            found[option] = value or None
    return found


def test_what_slurm_is_asked_for() -> None:
    script = sbatch_script(job(cpus_per_task=12), time="1-06:00:00", partition="gpu,long", account="p_land")
    assert requests(script) == {
        "--job-name": "digits-cnn", "--nodes": "2", "--ntasks-per-node": "4", "--gpus-per-node": "4",
        "--cpus-per-task": "12", "--time": "1-06:00:00", "--partition": "gpu,long", "--account": "p_land",
        "--output": "digits-cnn-%j.out", "--signal": "B:USR1@120", "--requeue": None, "--open-mode": "append",
    }  # fmt: skip


def test_on_cpus_no_gpus_are_asked_for_and_none_are_expected() -> None:
    script = sbatch_script(job(gpus_per_node=0, tasks_per_node=32, nodes=1))
    assert requests(script)["--ntasks-per-node"] == "32"
    assert not re.search("gpu|nccl|cuda", script, re.IGNORECASE)
    assert "CUDA" in sbatch_script(job())


@pytest.mark.parametrize("write", [sbatch_script, mpirun_script])
def test_scripts_are_plain_ascii_and_bash_can_read_them(write) -> None:  # type: ignore[no-untyped-def]
    for wanted in (job(), job(gpus_per_node=0, tasks_per_node=1, nodes=1), job(modules=["a"], venv=Path(AWKWARD))):
        script = write(wanted)
        assert script.isascii()
        read = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert (read.returncode, read.stderr) == (0, "")
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", "--exclude=SC1091", "-"], input=script, text=True, check=True)


def test_srun_gets_every_word_as_it_was_given(cluster: Cluster) -> None:
    wanted = job(
        overrides=["seed=3", "about='$(touch oops)'"], data_dir=Path(AWKWARD), run_dir=Path("my runs/*"),
        modules=["CUDA/12.4", AWKWARD],
    )  # fmt: skip
    script = sbatch_script(wanted)
    assert requests(script)["--nodes"] == "2"
    process = cluster.start(script, STEP_ENDS="0")
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    assert cluster.call("srun") == [
        "--kill-on-bad-exit=1", "--cpus-per-task=3", "konvoi", "train", "digits-cnn", "--data-dir", AWKWARD,
        "--run-dir", "my runs/*", "--restartable", "--set", "seed=3", "--set", "about='$(touch oops)'",
        "--set", "compute.device=cuda",
    ]  # fmt: skip
    assert [call for call in cluster.calls if call[0] == "module"] == [
        ["module", "load", "CUDA/12.4"], ["module", "load", AWKWARD],
    ]  # fmt: skip
    assert not (cluster.folder / "oops").exists()


def test_the_virtual_environment_is_entered(cluster: Cluster) -> None:
    activate = cluster.folder / "my env" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'echo entered "$OMP_NUM_THREADS"; PATH="{activate.parent}:$PATH"')
    process = cluster.start(sbatch_script(job(venv=Path("my env"))), STEP_ENDS="0", OMP_NUM_THREADS="")
    assert process.communicate()[0] == "entered \n"


def test_without_konvoi_nothing_is_started(cluster: Cluster) -> None:
    (cluster.folder / "bin" / "konvoi").unlink()
    process = cluster.start(sbatch_script(job()), STEP_ENDS="0")
    assert "There is no konvoi on" in process.communicate()[1]
    assert process.returncode == 2
    assert cluster.calls == []


def warn(cluster: Cluster, process: subprocess.Popen[str]) -> str:
    """What Slurm does before the time limit: USR1 to the batch shell alone. Returns what the script says."""
    deadline = time.monotonic() + 20
    while not (cluster.folder / "calls.srun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    return process.communicate(timeout=20)[1]


def test_at_the_warning_the_ranks_save_and_the_job_is_requeued(cluster: Cluster) -> None:
    process = cluster.start(sbatch_script(job()), STEP_SAVES="143")
    assert warn(cluster, process) == ""
    assert process.returncode == 143
    assert [call for call in cluster.calls if call[0] != "srun"] == [
        ["scancel", "--signal=TERM", "4711"], ["scontrol", "requeue", "4711"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"STEP_SAVES": "0"}, 0, ""),
        ({"STEP_SAVES": "2"}, 2, ""),
        ({"STEP_SAVES": "143", "SLURM_RESTART_COUNT": "50"}, 143, "Restarted 50 times"),
    ],
)
def test_what_is_finished_or_hopeless_is_not_requeued(
    variables: dict[str, str], code: int, says: str, cluster: Cluster
) -> None:
    process = cluster.start(sbatch_script(job()), **variables)
    assert says in warn(cluster, process)
    assert process.returncode == code
    assert "scontrol" not in [call[0] for call in cluster.calls]


@pytest.mark.parametrize("code", ["0", "2", "137", "143"])
def test_without_a_warning_nothing_is_requeued(code: str, cluster: Cluster) -> None:
    # 143 is also how the ranks end when the user cancels the job.
    process = cluster.start(sbatch_script(job()), STEP_ENDS=code)
    process.communicate(timeout=20)
    assert process.returncode == int(code)
    assert [call[0] for call in cluster.calls] == ["srun"]


@pytest.mark.parametrize("time", ["90", "1:30", "00:60:00", "1-24:00:00", "00:04:59", "-1:00:00", "01:00:00\n", "1d"])
def test_times_that_slurm_reads_otherwise_or_not_at_all(time: str) -> None:
    with pytest.raises(LaunchError, match="--time is"):
        sbatch_script(job(), time=time)


@pytest.mark.parametrize("time", ["00:05:00", "120:00:00", "0-23:59:59", "14-00:00:00"])
def test_times_that_are_fine(time: str) -> None:
    assert requests(sbatch_script(job(), time=time))["--time"] == time


@pytest.mark.parametrize("name", ["", "a b", "x\n#SBATCH --exclusive", "--exclusive", "$HOME"])
def test_names_that_would_say_more_than_a_name(name: str) -> None:
    with pytest.raises(LaunchError, match="--partition is"):
        sbatch_script(job(), partition=name)
    with pytest.raises(LaunchError, match="--account is"):
        sbatch_script(job(), account=name)


def test_mpirun_gets_the_ranks_the_variables_and_every_word(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = job(data_dir=Path(AWKWARD), cpus_per_task=6)
    variables = {"LD_LIBRARY_PATH": "", "NCCL_DEBUG": "INFO", "MASTER_ADDR": "node1"}
    for name in ("VIRTUAL_ENV", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.delenv(name, raising=False)
    process = cluster.start(mpirun_script(wanted), **variables)
    assert process.communicate()[1] == ""
    passed = ["PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MASTER_ADDR", "MASTER_PORT", "NCCL_DEBUG"]
    assert cluster.call("mpirun") == [
        "-np", "8", "--map-by", "ppr:4:node:PE=6", "--bind-to", "core",
        *[word for name in passed for word in ("-x", name)],
        "konvoi", "train", "digits-cnn", "--data-dir", AWKWARD, "--run-dir", "runs/digits-cnn", "--restartable",
        "--set", "compute.device=cuda",
    ]  # fmt: skip


SRUN_OF_TWO = """#!/bin/bash
# Two tasks on this host, with the variables that srun gives them.
shift 2
export SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NODELIST=localhost SLURM_STEP_ID=0
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" & other=$!
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"; code=$?
wait "$other" && exit "$code"
"""


def test_a_script_trains_with_two_ranks(cluster: Cluster) -> None:
    (cluster.folder / "bin" / "srun").write_text(SRUN_OF_TWO)
    (cluster.folder / "bin" / "konvoi").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m konvoi "$@"\n')
    wanted = plan_job(
        "digits-ann", gpus_per_node=0, tasks_per_node=2, cpus_per_task=1, overrides=["budget.epochs=2"],
    )  # fmt: skip
    process = cluster.start(sbatch_script(wanted), SLURM_CPUS_PER_TASK="1", SLURM_JOB_ID=str(os.getpid()))
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "report: runs/digits-ann/report.html" in said
    assert load_run(cluster.folder / "runs" / "digits-ann").facts.environment["ranks"] == (
        "2 ranks on one host, started by Slurm's srun"
    )
