"""The loggers of a fit: plain JSON lines in the run's folder, and Weights & Biases."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from wandb import Settings

from prune_bench.config import Config, to_dict
from prune_bench.sweep.runs.dependencies import run_id
from prune_bench.sweep.runs.files import write_lines


class MetricsLogger(Logger):
    """Appends each step's metrics as one JSON line. Rank 0 alone writes."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> int:
        return 0

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's folder holds its config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget what was logged after `step` updates, as a fit resumed from there will log it again.

        A last line that a kill cut short is forgotten too.
        """
        if not self.path.exists():
            return
        lines = self.path.read_text().split("\n")[:-1]
        write_lines(self.path, (line for line in map(json.loads, lines) if line["step"] < step))


def make_loggers(config: Config, folder: Path) -> list[Logger]:
    """The plain logger, and W&B unless `wandb.mode=disabled`; offline, the default, needs no account."""
    loggers: list[Logger] = [MetricsLogger(folder / "metrics.jsonl")]
    if config.wandb.mode != "disabled":
        wandb = WandbLogger(
            project=config.wandb.project,
            name=folder.name,
            id=run_id(config),
            resume="allow",
            save_dir=folder,
            offline=config.wandb.mode == "offline",
            config=to_dict(config),
            settings=Settings(silent=True),
        )
        loggers.append(wandb)
    return loggers


def step_by_updates(loggers: list[Logger]) -> None:
    """Let W&B draw everything against `prune/step`, which never goes back."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.define_metric("prune/step")
            logger.experiment.define_metric("*", step_metric="prune/step")


def log_summary(config: Config, folder: Path, row: Mapping[str, Any]) -> None:
    """A row's numbers as the summary of its W&B run, which ends here."""
    for logger in make_loggers(config, folder):
        if isinstance(logger, WandbLogger):
            numbers = {key: value for key, value in row.items() if isinstance(value, int | float)}
            logger.experiment.summary.update(numbers)
            logger.experiment.finish()
