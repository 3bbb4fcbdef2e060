"""A row is one finished run: a flat JSON object, written last and whole."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prune_bench.config import Config, to_dict
from prune_bench.families import Row, as_row, family_of
from prune_bench.files import write_text
from prune_bench.identity import shape
from prune_bench.pruning.methods import find_method
from prune_bench.sweep.runs.code import CODE
from prune_bench.sweep.runs.dependencies import recogniser_of, run_id
from prune_bench.sweep.runs.files import read_json, read_lines

PACKAGES = ("torch", "torchaudio", "lightning", "onnxruntime", "numpy", "jiwer")


def write_row(folder: Path, row: Mapping[str, Any]) -> None:
    write_text(folder / "row.json", json.dumps(row))


def read_row(folder: Path) -> Row | None:
    """The row in a run's folder, None without one. ValueError, naming the file, where it is not a row."""
    row = read_json(folder / "row.json")
    return None if row is None else as_row(row, str(folder / "row.json"))


def read_rows(path: Path) -> list[Row]:
    """The rows of a table. ValueError names the file and line that is not a row."""
    return [as_row(values, f"{path}:{number}") for number, values in enumerate(read_lines(path), start=1)]


def describe(config: Config) -> dict[str, Any]:
    """The columns of a row that are known before anything runs."""
    return {
        "run": run_id(config),
        "task": config.task,
        "method": config.method,
        "structure": config.pruning.structure,
        "sparsity": config.sparsity,
        "target": find_method(config.method).target,
        "seed": config.seed,
        "preset": config.preset,
        "corpus": family_of(config).dataset(config),
        "config": to_dict(config),
    }


def unfinished(config: Config, status: str, reason: str) -> Row:
    """The row of a run that has no numbers: `failed` (tried again by the next sweep) or `infeasible` (not)."""
    known = {**describe(config), "status": status, "reason": reason, **environment(config), "finished": now()}
    return as_row(known, run_id(config))


def is_final(row: Row | None, config: Config) -> bool:
    """Whether a run needs no more work: it is infeasible, or done and measured as `config` asks."""
    if row is None or row["status"] not in ("done", "infeasible"):
        return False
    if row["status"] == "infeasible":
        return True
    asked, fused = to_dict(config), True
    if config.measurement.fused:
        recogniser = family_of(recogniser_of(config)).reads
        fused = _fusion_keys(row["config"], recogniser) == _fusion_keys(asked, recogniser)
    return fused and _accuracy_keys(row["config"]) == _accuracy_keys(asked)


def _accuracy_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config["measurement"][key] for key in ("batch_frames", "max_symbols")}


def _fusion_keys(config: Mapping[str, Any], recogniser: Sequence[str]) -> dict[str, Any]:
    """What error rates in fusion depend on beside the language model: the search and the recogniser's sections."""
    return {**shape(config, (*recogniser, "fusion")), "fused": config["measurement"].get("fused", False)}


def finished_runs(rows: Iterable[Row]) -> list[str]:
    """The runs that have a model to time."""
    return [row["run"] for row in rows if row["status"] == "done"]


def is_timed(folder: Path, rows: Iterable[Row], config: Config) -> bool:
    """Whether the table in `folder` holds a timing of all finished rows, taken as `config` asks."""
    timing = read_json(folder / "timing.json")
    if timing is None or not set(finished_runs(rows)) <= set(timing):
        return False
    asked = {"seconds": config.measurement.timing_seconds, "rounds": config.measurement.timing_rounds}
    return all(timing["_protocol"].get(key, value) == value for key, value in asked.items())


def environment(config: Config) -> dict[str, Any]:
    """Hardware, threads and versions that a row was made with."""
    return {
        "code": CODE,
        "hardware.cpu": processor(),
        "hardware.cores": os.cpu_count(),
        "threads": config.execution.threads,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
