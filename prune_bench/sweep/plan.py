"""Which tasks a list of runs still needs."""

from __future__ import annotations

from pathlib import Path

from prune_bench.config import Config
from prune_bench.sweep.folders import run_folder
from prune_bench.sweep.launch import Task
from prune_bench.sweep.rows import is_final, read_row
from prune_bench.sweep.runs import dense_of, recipe


def plan_runs(configs: list[Config]) -> list[Task]:
    """A task for each unfinished run, and before a seed's first the fit of its dense model where that is missing."""
    tasks: list[Task] = []
    fits: dict[Path, Task] = {}
    for config in configs:
        folder, dense = run_folder(config), dense_of(config)
        source = run_folder(dense)
        if is_final(read_row(folder), config):
            continue
        if source not in fits and not (source / "model").exists():
            fits[source] = Task("fit", source, dense, slots=dense.dense.devices)
            tasks.append(fits[source])
        after = (fits[source],) if source in fits else ()
        slots = 1 if config.method == "dense" else recipe(config).devices
        tasks.append(Task("run", folder, config, slots, after))
    return tasks
