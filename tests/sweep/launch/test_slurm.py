from __future__ import annotations

import pickle
import sys
import time

import pytest
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from submitit.core.utils import UncompletedJobError

from prune_bench.config import Config
from prune_bench.overrides import override
from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.launch.slurm import SlurmJob, Work, start_slurm
from prune_bench.sweep.runs.files import read_config
from prune_bench.sweep.stages.fits import cluster_environment

SBATCH = """#!/bin/bash
cp "$1" {folder}/script.sh
export SLURM_JOB_ID=12 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1
export SLURM_NODELIST=localhost SLURM_JOB_NODELIST=localhost
bash "$1" >{folder}/job.log 2>&1 &
echo "Submitted batch job 12"
"""
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do
  case "$1" in --output|--error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
echo "12|RUNNING|localhost"
"""


@pytest.fixture
def task(make_config, tmp_path):
    options = {"execution.slurm.partition": "gpu", "execution.slurm.time": "90", "execution.launcher": "slurm"}
    return Task("run", tmp_path / "omp", override(make_config(method="omp", sparsity=0.3), options))


def wait(job, seconds=60):
    end = time.monotonic() + seconds
    while (code := job.poll()) is None and time.monotonic() < end:
        time.sleep(0.2)
    return code


def test_a_job_runs_the_worker_and_ends_with_its_code(task, tmp_path, monkeypatch):
    monkeypatch.setattr(Task, "command", lambda self: [sys.executable, "-c", "print('worked'); raise SystemExit(3)"])
    assert wait(start_slurm(task, tmp_path, cluster="debug")) == 3
    assert (task.folder / "log.txt").read_text() == "worked\n"
    assert read_config(task.folder) == task.config


class Ended:
    """A job of two ranks as submitit shows it."""

    def __init__(self, codes):
        self.codes = codes

    def done(self):
        return True

    def results(self):
        if None in self.codes:
            raise UncompletedJobError("out of memory")
        return self.codes


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 1), 1), ((0, None), 1)])
def test_a_job_fails_with_any_of_its_ranks(codes, code):
    assert SlurmJob(Ended(codes)).poll() == code


def test_a_preempted_job_is_submitted_again(task):
    delayed = Work(task).checkpoint()
    assert delayed.function.task is task


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands that pass for Slurm's: `sbatch` runs the script at once, in the background."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (commands / name).write_text(text.replace("{folder}", str(tmp_path)))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands), prepend=":")


def test_the_batch_script_carries_the_options(task, tmp_path, cluster):
    (tmp_path / "bin" / "srun").write_text("#!/bin/bash\n")
    start_slurm(task, tmp_path)
    script = (tmp_path / "script.sh").read_text()
    for option in ("partition=gpu", "time=90", "job-name=omp", "ntasks-per-node=1"):
        assert f"#SBATCH --{option}\n" in script


@pytest.mark.slow
def test_a_submitted_job_runs_the_real_worker(task, tmp_path, cluster):
    assert wait(start_slurm(task, tmp_path), seconds=300) == 1
    assert "is missing" in (task.folder / "log.txt").read_text()  # there is no dense model


def test_a_job_can_be_sent_to_another_process(task):
    work = pickle.loads(pickle.dumps(Work(task)))
    assert work.task.config == task.config
    assert work.task.folder == task.folder


def test_lightning_reads_ranks_from_slurm_only_when_slurm_started_the_run(task, monkeypatch):
    assert isinstance(cluster_environment(Config()), LightningEnvironment)
    found = cluster_environment(task.config)
    assert isinstance(found, SLURMEnvironment)
    assert not found.auto_requeue
