"""The last stage of a table: all its models timed side by side, with nothing else running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from filelock import FileLock

from prune_bench.artefacts import load_model
from prune_bench.config import Config
from prune_bench.data import prepare
from prune_bench.measurement.latency import speech, time_models
from prune_bench.sweep.files import write_text
from prune_bench.sweep.folders import cache_folder
from prune_bench.sweep.progress import Reporter
from prune_bench.sweep.rows import finished_runs, is_timed, read_rows


def time_table(folder: Path, config: Config, report: Reporter) -> None:
    """Write timing.json for the finished rows of the table in `folder`; one table at a time."""
    rows = read_rows(folder / "rows.jsonl")
    output = Path(config.execution.output)
    with FileLock(output / "timing.lock"):
        if not is_timed(folder, rows, config):
            models = {run: load_model(output / "runs" / run / "model") for run in finished_runs(rows)}
            write_text(folder / "timing.json", json.dumps(time_side_by_side(models, config, report)))


def time_side_by_side(models: dict[str, Any], config: Config, report: Reporter) -> dict[str, Any]:
    """Seconds of each model for one utterance of test-clean speech of the configured length."""
    corpus = prepare(config, cache_folder(config), progress=False)
    seconds, hop = config.measurement.timing_seconds, config.features.hop_ms
    return time_models(
        models,
        seconds,
        config.measurement.timing_rounds,
        threads=config.execution.threads,
        hop_ms=hop,
        features=speech(corpus.splits["test-clean"], round(1000 * seconds / hop)),
        max_symbols=config.measurement.max_symbols,
        progress=lambda done, total: report("timing", done, total),
    )
