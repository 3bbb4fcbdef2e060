"""The stages of a sweep. Each begins by asking whether its artefact is there, and writes it last."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from torch import nn

from prune_bench.artefacts import load_model, weights_sha
from prune_bench.callbacks import OMP
from prune_bench.config import Config
from prune_bench.families import Row, as_row, experiment_of
from prune_bench.families.record import Folders
from prune_bench.files import write_text
from prune_bench.measurement.overlap import compare_with_start
from prune_bench.measurement.size import measure_size
from prune_bench.pruning.methods import find_method
from prune_bench.sweep.runs.dependencies import SINGLE, dense_of, fine_tunings, fit_config, recogniser_of
from prune_bench.sweep.runs.files import read_json
from prune_bench.sweep.runs.folders import READY, cache_folder, run_folder
from prune_bench.sweep.runs.rows import describe, environment, is_final, now, read_row, write_row
from prune_bench.sweep.stages.fits import fit, gpus, hardware, make_task
from prune_bench.sweep.stages.loggers import log_summary
from prune_bench.sweep.stages.overlaps import compare_table
from prune_bench.sweep.stages.progress import Reporter
from prune_bench.sweep.stages.timing import time_table


def build_corpus(folder: Path, config: Config, report: Reporter) -> None:
    """Features and tokenizer, made once for all runs; says on the terminal how far it is."""
    open_corpus(config, progress=True)
    write_text(folder / READY, "")


def fit_model(folder: Path, config: Config, report: Reporter) -> None:
    """The model alone, so that what starts from it need not wait for its row."""
    fit(config, open_corpus(config), report)


def finish_run(folder: Path, config: Config, report: Reporter) -> None:
    """Model, measurements on the saved model, row."""
    if is_final(read_row(folder), config):
        return
    corpus = open_corpus(config)
    if fit(config, corpus, report):
        row = measure(folder, config, corpus, report)
        log_summary(config, folder, row)
        write_row(folder, row)


def open_corpus(config: Config, progress: bool = False) -> Any:
    return experiment_of(config).open(cache_folder(config), progress)


def measure(folder: Path, config: Config, corpus: Any, report: Reporter) -> Row:
    """The row of a trained run: everything but speed, on the model loaded from disk.

    Raises:
        ValueError: the family's measurements leave out a column that its rows have, or a number is not finite.
    """
    began = time.monotonic()
    saved = folder / "model", run_folder(dense_of(config)) / "model"
    model, dense = (load_model(path) for path in saved)
    accuracy = measure_accuracy(model, config, corpus, report)
    costs, dense_costs = (measure_costs(net, path, config) for net, path in zip((model, dense), saved, strict=True))
    fits = [read_fit(run_folder(run)) for run in fine_tunings(config)]
    known = describe(config)
    key = "flops.blocks" if known["target"] == "flops" else "size.blocks_nonzero"
    row = {
        **known,
        "status": "done",
        "reason": "",
        "dense_sha": weights_sha(dense),
        "achieved": 1 - costs[key] / dense_costs[key],
        "physical": model.arch != dense.arch,
        **costs,
        **experiment_of(config).describe(model, dense),
        **measure_overlap(model, config, corpus),
        **accuracy,
        "fine_tunings": len(fits),
        "updates.final": fits[-1]["updates"],
        "updates.total": sum(fit["updates"] for fit in fits),
        "precision": fits[-1]["precision"],
        "seconds.train": fits[-1]["seconds"],
        "seconds.all_fits": round(sum(fit["seconds"] for fit in fits), 1),
        "seconds.evaluate": round(time.monotonic() - began, 1),
        **environment(config),
        "hardware.gpu": gpus(fit_config(config)),
        "finished": now(),
    }
    return as_row(row, str(folder))


def read_fit(folder: Path) -> dict[str, Any]:
    """How the fit in a run's folder went. ValueError where that is lost."""
    if (summary := read_json(folder / "fit.json")) is None:
        raise ValueError(f"{folder / 'fit.json'} is missing: delete {folder / 'model'} and train it again")
    return summary


def measure_overlap(model: Any, config: Config, corpus: Any) -> dict[str, Any]:
    """How a mask of single weights compares with that of the weights which the run started from."""
    structure = config.pruning.structure
    masked = "structure" in find_method(config.method).knobs and structure in SINGLE
    if config.sparsity == 0 or not masked:
        return {}
    lightning.seed_everything(config.seed, verbose=False)
    start = make_task(config, corpus).model
    return compare_with_start(model, start, OMP(config.sparsity, structure=structure).choose(start))


def measure_costs(model: Any, path: Path, config: Config) -> dict[str, Any]:
    """Sizes, of the files in `path` too, and FLOPs for the reference length."""
    flops = experiment_of(config).count_flops(model)
    biases = config.pruning.structure == "weights+biases"
    sizes = {f"size.{name}": value for name, value in measure_size(model, path, biases).items()}
    return {**sizes, **{f"flops.{name}": value for name, value in flops.items()}}


def measure_accuracy(model: nn.Module, config: Config, corpus: Any, report: Reporter) -> dict[str, Any]:
    """How good the model is, judged where it was trained."""
    accelerator, _ = hardware(fit_config(config))
    device = "cuda" if accelerator in ("gpu", "cuda") else "cpu"
    experiment = experiment_of(config)
    row = experiment.judge(model.to(device), corpus, partial(report, "evaluating"))
    if config.measurement.fused:
        dense, recogniser = run_folder(dense_of(config)), run_folder(recogniser_of(config))
        folders = Folders(run_folder(config), dense, recogniser, cache_folder(config))
        row |= experiment.judge_fused(model, corpus, folders, report)
    model.cpu()
    return row


STAGES: dict[str, Callable[[Path, Config, Reporter], None]] = {
    "corpus": build_corpus,
    "fit": fit_model,
    "run": finish_run,
    "time": time_table,
    "compare": compare_table,
}
