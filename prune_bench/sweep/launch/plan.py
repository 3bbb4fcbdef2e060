"""The tasks that a list of runs still needs."""

from __future__ import annotations

from pathlib import Path

from prune_bench.config import Config
from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.runs.dependencies import direct_dependencies, fit_config, reference_runs, with_dependencies
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import is_final, read_row


def plan_runs(configs: list[Config]) -> list[Task]:
    """A task for each unfinished run, preceded by one for each missing fit that it depends on."""
    tasks: list[Task] = []
    fits: dict[Path, Task] = {}

    def fit_tasks(config: Config) -> tuple[Task, ...]:
        """The task that trains the model of `config`; none if the model exists."""
        folder = run_folder(config)
        if (folder / "model").exists():
            return ()
        if folder not in fits:
            after = tuple(task for run in direct_dependencies(config) for task in fit_tasks(run))
            fits[folder] = Task("fit", folder, config, fit_config(config).devices, after)
            tasks.append(fits[folder])
        return (fits[folder],)

    missing = [config for config in configs if not is_final(read_row(run_folder(config)), config)]
    needed = (run for config in missing for run in (*with_dependencies(config)[:-1], *reference_runs(config)))
    shared = {run_folder(run) for run in needed}
    for config in missing:
        folder = run_folder(config)
        apart = folder in shared or may_start_early(config)
        awaited = [*reference_runs(config), *([config] if apart else direct_dependencies(config))]
        after = dict.fromkeys(task for run in awaited for task in fit_tasks(run))
        slots = 1 if apart else fit_config(config).devices
        tasks.append(Task("run", folder, config, slots, tuple(after)))
    return tasks


def may_start_early(config: Config) -> bool:
    """Whether a run can be trained before a model exists that it is only measured against."""
    trained_from = {run_folder(run) for run in with_dependencies(config)}
    measured_against = {run_folder(run) for run in reference_runs(config)} - trained_from
    return any(not (folder / "model").exists() for folder in measured_against)
