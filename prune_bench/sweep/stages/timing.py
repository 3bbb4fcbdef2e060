"""The last stage of a table: all its models timed side by side, with nothing else running."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from filelock import FileLock

from prune_bench.artefacts import load_model
from prune_bench.config import Config
from prune_bench.families import experiment_of
from prune_bench.files import write_text
from prune_bench.sweep.runs.folders import cache_folder
from prune_bench.sweep.runs.rows import finished_runs, is_timed, read_rows
from prune_bench.sweep.stages.progress import Reporter


def time_table(folder: Path, config: Config, report: Reporter) -> None:
    """Write timing.json for the finished rows of the table in `folder`; one table at a time.

    Raises:
        ValueError: models of this family are not timed.
    """
    rows = read_rows(folder / "rows.jsonl")
    output = Path(config.execution.output)
    with FileLock(output / "timing.lock"):
        if not is_timed(folder, rows, config):
            experiment = experiment_of(config)
            models = {run: load_model(output / "runs" / run / "model") for run in finished_runs(rows)}
            timing = experiment.time(models, experiment.open(cache_folder(config), False), partial(report, "timing"))
            write_text(folder / "timing.json", json.dumps(timing))
