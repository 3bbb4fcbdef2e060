"""The stage after a table whose dense models' masks are compared with each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from prune_bench.artefacts import load_model
from prune_bench.callbacks import OMP, RP
from prune_bench.config import Config
from prune_bench.families import Finished, Row, read_values
from prune_bench.files import write_text
from prune_bench.models.pretrained import load_pretrained, published
from prune_bench.pruning.masks import CHANCE, PRETRAINED, MaskSet, iou
from prune_bench.pruning.methods import find_method
from prune_bench.sweep.runs.dependencies import initial_run, run_id
from prune_bench.sweep.runs.files import read_json
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import read_rows
from prune_bench.sweep.stages.progress import Reporter

SPARSITY = 0.5
FILE = "overlaps.json"


def compared_runs(rows: list[Row]) -> list[Finished]:
    """The finished dense rows."""
    return [row for row in rows if row["status"] == "done" and find_method(row["method"]).is_dense]


def is_compared(folder: Path, rows: list[Row]) -> bool:
    """Whether the table in `folder` holds the overlaps of all finished dense rows."""
    return {row["run"] for row in compared_runs(rows)} <= (read_json(folder / FILE) or {}).keys()


def compare_table(folder: Path, config: Config, report: Reporter) -> None:
    """Write overlaps.json: for each dense run, how its mask of half of the weights overlaps the others'.

    Only models that differ in their language alone are compared; `mpi` is the mask of the pretrained weights, `rp`
    one drawn by chance.
    """
    rows, groups = compared_runs(read_rows(folder / "rows.jsonl")), dict[str, dict[str, MaskSet]]()
    for done, row in enumerate(rows, start=1):
        run = read_values(row["config"])
        masks = groups.setdefault(run_id(replace(run, corpus=replace(run.corpus, language=""))), {})
        if not masks:
            start = start_model(run)
            masks[PRETRAINED] = OMP(SPARSITY).choose(start)
            masks[CHANCE] = RP(SPARSITY, seed=run.seed).choose(start)
        masks[row["run"]] = OMP(SPARSITY).choose(load_model(run_folder(run) / "model"))
        report("comparing masks", done, len(rows))
    overlaps = {
        name: {other: iou(mask, against) for other, against in masks.items()}
        for masks in groups.values()
        for name, mask in masks.items()
        if name not in (PRETRAINED, CHANCE)
    }
    write_text(folder / FILE, json.dumps({**overlaps, "_protocol": {"sparsity": SPARSITY}}))


def start_model(config: Config) -> Any:
    """The model that a dense model was fine-tuned from."""
    if initial := initial_run(config):
        return load_model(run_folder(initial) / "model")
    if weights := published(config.pretraining, config.encoder.size):
        return load_pretrained(weights)
    raise ValueError("pretraining.source=random: no pretrained mask to compare with")
