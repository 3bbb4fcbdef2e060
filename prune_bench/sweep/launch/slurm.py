"""Tasks as Slurm jobs, through submitit."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import submitit

from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.runs.dependencies import fit_config
from prune_bench.sweep.runs.files import write_config


class Work:
    """What a job runs: the task's worker. Preempted, it goes back to the queue and goes on from its checkpoint."""

    def __init__(self, task: Task):
        self.task = task

    def __call__(self) -> int:
        with (self.task.folder / "log.txt").open("a") as log:
            return subprocess.call(self.task.command(), env=self.task.environment(), stdout=log, stderr=log)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        return submitit.helpers.DelayedSubmission(self)


class SlurmJob:
    """A submitted task; its exit code is the largest of its ranks'."""

    def __init__(self, job: Any):
        self.job = job

    def poll(self) -> int | None:
        if not self.job.done():
            return None
        try:
            return max(self.job.results())
        except Exception:  # whatever ended the job: submitit raises what the job raised, or its own error
            return 1

    def stop(self) -> None:
        self.job.cancel()


def start_slurm(task: Task, output: Path, cluster: str = "slurm") -> SlurmJob:
    """Submit a task; `execution.slurm.NAME=VALUE` sets any sbatch option, as in `execution.slurm.partition=gpu`."""
    write_config(task.folder, task.config)
    executor = submitit.AutoExecutor(output / "slurm", cluster=cluster)
    options = {f"slurm_{name}": value for name, value in task.config.execution.slurm.items()}
    ranks = fit_config(task.config).devices if task.stage in ("fit", "run") else 1
    executor.update_parameters(name=task.folder.name, tasks_per_node=ranks, **options)
    return SlurmJob(executor.submit(Work(task)))
