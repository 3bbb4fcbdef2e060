"""One fit: a Trainer around a task, resumed from its last checkpoint, saved as an artefact."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from torch import nn

from prune_bench.artefacts import load_model, save_model
from prune_bench.callbacks import MaskPruning, PruningCallback
from prune_bench.compaction import largest_difference
from prune_bench.config import Config, FitConfig
from prune_bench.families import experiment_of
from prune_bench.files import write_file, write_text
from prune_bench.pruning import Infeasible
from prune_bench.sweep.runs.dependencies import (
    fine_tunings,
    fit_config,
    gradual_run,
    initial_run,
    intermediate_sparsities,
)
from prune_bench.sweep.runs.folders import cache_folder, run_folder
from prune_bench.sweep.runs.rows import read_row
from prune_bench.sweep.stages.loggers import MetricsLogger, make_loggers, step_by_updates
from prune_bench.sweep.stages.methods import callbacks_for, first_mask
from prune_bench.sweep.stages.progress import Reporter
from prune_bench.tasks.training import TrainingTask

CHECKPOINT = "last.ckpt"
EQUAL = 1e-3
BF16_UNITS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


class AtomicCheckpoints(TorchCheckpointIO):
    """Replaces a checkpoint only by a whole one, in the same folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        write_file(Path(path), lambda partial: super(AtomicCheckpoints, self).save_checkpoint(checkpoint, partial))


class Clock(Callback):
    """Reports progress and counts the seconds of training, over interruptions too."""

    def __init__(self, report: Reporter):
        self.report = report
        self.seconds = 0.0
        self._began = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.monotonic() - self.seconds
        for logger in trainer.loggers:
            if isinstance(logger, MetricsLogger):
                logger.rewind(trainer.global_step)
        self.report("training", trainer.global_step, trainer.max_steps)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seconds = time.monotonic() - self._began
        self.report("training", trainer.global_step, trainer.max_steps)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.seconds = state_dict["seconds"]


def fit(config: Config, corpus: Any, report: Reporter) -> bool:
    """Train what `config` describes and save it in its folder's `model/`; nothing to do if that exists.

    Returns whether this process goes on: of several ranks the first alone does.
    Raises:
        Infeasible: the method cannot remove the asked fraction.
        ValueError: the model to start from is not there.
    """
    folder = run_folder(config)
    if (folder / "model").exists():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    if gradual := gradual_run(config):
        take_size(folder, gradual, config.sparsity)
        return True
    lightning.seed_everything(config.seed, verbose=False)
    task = make_task(config, corpus)
    clock, callbacks = Clock(report), callbacks_for(config, first_mask(config, task.model))
    trainer = make_trainer(config, folder, [*callbacks, clock])
    step_by_updates(trainer.loggers)
    checkpoint = folder / CHECKPOINT
    experiment = experiment_of(config)
    corpus = experiment.cache_front_end(corpus, task.model, cache_folder(config), partial(report, "convolving"))
    data = experiment.make_data(corpus, fit_config(config))
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=False)
    if trainer.is_global_zero:
        model = export(config, task.model.cpu(), callbacks)
        summary = {"updates": trainer.global_step, "seconds": round(clock.seconds, 1), "precision": trainer.precision}
        save_sizes(folder / "sizes", task.model, callbacks, summary)
        write_text(folder / "fit.json", json.dumps(summary))
        save_model(model, folder / "model")
        checkpoint.unlink(missing_ok=True)
    return trainer.is_global_zero


def save_sizes(folder: Path, model: nn.Module, callbacks: list[Callback], summary: dict[str, Any]) -> None:
    """Save the models of a gradual fit's intermediate sparsities, each with its share of the updates and seconds."""
    for callback in callbacks:
        if isinstance(callback, MaskPruning):
            for size, (updates, smaller) in callback.export_sizes(model).items():
                share = round(summary["seconds"] * updates / summary["updates"], 1)
                save_model(smaller, folder / f"{size:g}" / "model")
                write_text(
                    folder / f"{size:g}" / "fit.json", json.dumps({**summary, "updates": updates, "seconds": share})
                )


def take_size(folder: Path, gradual: Config, sparsity: float) -> None:
    """Copy the model that the run `gradual` saved at `sparsity`. Infeasible if its own sparsity cannot be reached."""
    row = read_row(run_folder(gradual))
    if row is not None and row["status"] == "infeasible":
        raise Infeasible(
            f"a size of the run to {gradual.sparsity:.1%}, and {row['reason']}: leave it out of pruning.intermediate"
        )
    source = run_folder(gradual) / "sizes" / f"{sparsity:g}"
    write_text(folder / "fit.json", (source / "fit.json").read_text())
    save_model(load_model(source / "model"), folder / "model")


def export(config: Config, model: nn.Module, callbacks: list[Callback]) -> nn.Module:
    """The model to keep: what its pruning callback makes of it, proven to compute what was trained.

    Raises:
        RuntimeError: the outputs of the two differ by more than rounding.
    """
    kept = model
    for callback in callbacks:
        if isinstance(callback, PruningCallback):
            kept = callback.export(kept)
    difference = 0.0 if kept is model else largest_difference(model, kept, *experiment_of(config).example(model))
    if difference > EQUAL:
        raise RuntimeError(f"the compacted model's outputs differ from the trained one's by {difference:.1e}")
    return kept


def make_task(config: Config, corpus: Any) -> TrainingTask:
    """The task with its initial weights: random, published, or those of the initial run."""
    experiment, initial = experiment_of(config), initial_run(config)
    task: TrainingTask = experiment.make_task(corpus, fit_config(config), run_folder(config))
    if initial is not None:
        experiment.adopt(task.model, load_model(run_folder(initial) / "model"))
    task.earlier = sum(fit_config(run).steps for run in fine_tunings(config)[:-1])
    task.cycles = len(intermediate_sparsities(config)) + 1
    return task


def make_trainer(config: Config, folder: Path, callbacks: list[Callback]) -> Trainer:
    """A Trainer that runs the fit's updates, validates nothing and keeps one checkpoint."""
    run = fit_config(config)
    accelerator, devices = hardware(run)
    saved = ModelCheckpoint(
        folder,
        filename=CHECKPOINT.removesuffix(".ckpt"),
        every_n_train_steps=run.checkpoint_every,
        save_top_k=1,
        enable_version_counter=False,
    )
    return Trainer(
        max_steps=run.steps,
        max_epochs=-1,
        accelerator=accelerator,
        devices=devices,
        strategy=strategy(config, devices),
        precision=precision(run),  # type: ignore[arg-type]
        accumulate_grad_batches=run.accumulate,
        use_distributed_sampler=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(10, run.steps // 10)),
        logger=make_loggers(config, folder),
        callbacks=[*callbacks, saved],
        plugins=[AtomicCheckpoints(), cluster_environment(config)],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def cluster_environment(config: Config) -> ClusterEnvironment:
    """The environment that starts the ranks: Slurm for a run that it started (and resumes), else Lightning."""
    if config.execution.launcher == "slurm":
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def strategy(config: Config, processes: int) -> str:
    """Lightning's name for how processes share a fit; where layers are dropped, some weights get no gradient."""
    if processes == 1:
        return "auto"
    return "ddp_find_unused_parameters_true" if config.finetuning.layer_drop > 0 else "ddp"


def hardware(run: FitConfig) -> tuple[str, int]:
    """Accelerator and processes of a fit: with `auto`, a GPU where there is one (as many as asked and there are)."""
    if run.accelerator != "auto":
        return run.accelerator, run.devices
    if torch.cuda.is_available():
        return "gpu", min(run.devices, torch.cuda.device_count())
    return "cpu", run.devices


def gpus(run: FitConfig) -> str:
    """How many GPUs of which kind a fit has; nothing on a CPU."""
    accelerator, devices = hardware(run)
    return f"{devices} x {torch.cuda.get_device_name()}" if accelerator in ("gpu", "cuda") else ""


def precision(run: FitConfig) -> str:
    """Lightning's name for the number format of a fit: with `auto`, bf16 where the hardware has units for it."""
    if run.precision != "auto":
        return run.precision
    if hardware(run)[0] in ("gpu", "cuda"):
        units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities()
        units = any(known.get(name, False) for name in BF16_UNITS)
    return "bf16-mixed" if units else "32-true"
