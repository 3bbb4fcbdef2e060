"""Which tasks a list of runs still needs."""

from __future__ import annotations

from pathlib import Path

from prune_bench.config import Config
from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.runs.dependencies import chain, recipe, sources, yardsticks
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import is_final, read_row


def plan_runs(configs: list[Config]) -> list[Task]:
    """A task for each unfinished run, and one for each fit that it needs and that is missing, ahead of it."""
    tasks: list[Task] = []
    fits: dict[Path, Task] = {}

    def fitted(config: Config) -> tuple[Task, ...]:
        """The task that a model of `config` must wait for: none if it is there."""
        folder = run_folder(config)
        if (folder / "model").exists():
            return ()
        if folder not in fits:
            after = tuple(task for source in sources(config) for task in fitted(source))
            fits[folder] = Task("fit", folder, config, recipe(config).devices, after)
            tasks.append(fits[folder])
        return (fits[folder],)

    missing = [config for config in configs if not is_final(read_row(run_folder(config)), config)]
    shared = {run_folder(one) for config in missing for one in (*chain(config)[:-1], *yardsticks(config))}
    for config in missing:
        folder = run_folder(config)
        apart = folder in shared or may_start_early(config)
        needed = [*yardsticks(config), *([config] if apart else sources(config))]
        after = dict.fromkeys(task for one in needed for task in fitted(one))
        slots = 1 if apart else recipe(config).devices
        tasks.append(Task("run", folder, config, slots, tuple(after)))
    return tasks


def may_start_early(config: Config) -> bool:
    """Whether a run can be trained before the models are there that it is measured by."""
    behind = {run_folder(one) for one in chain(config)}
    measured_by = {run_folder(one) for one in yardsticks(config)} - behind
    return any(not (folder / "model").exists() for folder in measured_by)
