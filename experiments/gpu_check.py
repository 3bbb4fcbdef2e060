"""Check a GPU in at most ten minutes, without downloads: `python -m experiments.gpu_check`, or `make gpu-check`.

Runs the tests marked `gpu`, then fits of the preset `small` for 200 updates on 500 utterances: dense, OMP and L0.
Prints hardware, seconds and peak memory, and writes `output/gpu-check.json`. Without a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from prune_bench.artefacts import load_model
from prune_bench.config import Config
from prune_bench.families import experiment_of, preset
from prune_bench.files import write_text
from prune_bench.measurement.size import measure_size
from prune_bench.overrides import override
from prune_bench.sweep.runs.dependencies import dense_of, normalise
from prune_bench.sweep.runs.files import read_lines
from prune_bench.sweep.runs.folders import cache_folder, run_folder
from prune_bench.sweep.runs.rows import environment, now
from prune_bench.sweep.stages.fits import fit
from prune_bench.sweep.stages.progress import Reporter

LIMIT = 600
METHODS = ("dense", "omp", "l0_sparsity")
SPARSITY, TOLERANCE = 0.5, 0.01
SMALL = {
    "corpus.train_utterances": 500,
    "corpus.dev_utterances": 8,
    "corpus.test_utterances": 8,
    "dense.steps": 200,
    "final.steps": 200,
    "wandb.mode": "disabled",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 if all is well or there is no GPU, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m experiments.gpu_check", description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("output"), help="folder of the corpus and of gpu-check.json"
    )
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no GPU: nothing was checked")
        return 0
    return check("gpu", options.output, ["-m", "gpu"], override(preset("small"), SMALL))


def check(accelerator: str, output: Path, tests: Sequence[str], config: Config) -> int:
    """Run pytest with the arguments `tests`, then the fits of `config`; print and write what came out."""
    place = {"dense.accelerator": accelerator, "final.accelerator": accelerator, "execution.output": str(output)}
    config = override(config, place)
    result: dict[str, Any] = {"device": describe(accelerator), **environment(config), "fits": [], "faults": []}
    print("  ".join(f"{name}: {value}" for name, value in result["device"].items()), flush=True)
    began = time.monotonic()
    try:
        with limited(LIMIT):
            if subprocess.run([sys.executable, "-m", "pytest", "-q", *tests]).returncode:
                result["faults"].append("tests failed")
            for row in fits(config):
                print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)
                result["fits"].append(row)
                result["faults"] += faults(row)
    except TimeoutError as error:
        result["faults"].append(str(error))
    result |= {"seconds": round(time.monotonic() - began, 1), "finished": now()}
    write_text(output / "gpu-check.json", json.dumps(result, indent=1))
    print("\n".join([*result["faults"], f"{len(result['faults'])} faults, written to {output / 'gpu-check.json'}"]))
    return int(bool(result["faults"]))


def describe(accelerator: str) -> dict[str, Any]:
    """The device by name, its memory in GiB and the CUDA version."""
    if accelerator == "cpu":
        return {"name": "cpu"}
    properties = torch.cuda.get_device_properties(0)
    return {"name": properties.name, "GiB": round(properties.total_memory / 2**30, 1), "cuda": torch.version.cuda}


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """TimeoutError in what takes longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"stopped after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fits(config: Config) -> Iterator[dict[str, Any]]:
    """Fit each of METHODS from scratch in a folder that goes afterwards, on a corpus that stays in the cache."""
    corpus = experiment_of(config).open(cache_folder(config), progress=False)
    with tempfile.TemporaryDirectory() as folder:
        execution = replace(config.execution, output=folder)
        for method in METHODS:
            yield fit_one(normalise(replace(config, method=method, sparsity=SPARSITY, execution=execution)), corpus)


def fit_one(config: Config, corpus: Any) -> dict[str, Any]:
    """What a fit took and reached. Peak memory is in GiB, None without a GPU."""
    on_gpu = config.final.accelerator == "gpu"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    fit(config, corpus, Reporter(None))
    folder = run_folder(config)
    summary = json.loads((folder / "fit.json").read_text())
    losses = [line["train/loss"] for line in read_lines(folder / "metrics.jsonl") if "train/loss" in line]
    kept, dense = (measure_size(load_model(run_folder(one) / "model")) for one in (config, dense_of(config)))
    return {
        "method": config.method,
        **summary,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "asked": config.sparsity,
        "achieved": round(1 - kept["blocks_nonzero"] / dense["blocks"], 4),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None,
    }


def faults(row: dict[str, Any]) -> list[str]:
    """What is wrong with a fit."""
    found = []
    if not math.isfinite(row["last_loss"]):
        found.append(f"{row['method']}: the loss is {row['last_loss']}")
    if row["method"] == "dense" and not row["last_loss"] < row["first_loss"]:
        found.append(f"dense: the loss rose from {row['first_loss']:.3g} to {row['last_loss']:.3g}")
    if abs(row["achieved"] - row["asked"]) > TOLERANCE:
        found.append(f"{row['method']}: asked {row['asked']:.1%}, achieved {row['achieved']:.1%}")
    return found


if __name__ == "__main__":
    sys.exit(main())
