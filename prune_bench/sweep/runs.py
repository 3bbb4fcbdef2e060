"""What a run is: which part of a configuration shapes it, what it starts from, what it is called."""

from __future__ import annotations

from dataclasses import replace

from prune_bench.config import Config, FitConfig, identity
from prune_bench.pruning.methods import METHODS

DENSE_SECTIONS = ("seed", "corpus", "features", "tokenizer", "model", "dense")
# What shapes the reference runs; a pruning method is shaped by all sections, and by its knobs of `pruning`.
SECTIONS = {
    "dense": DENSE_SECTIONS,
    "continue_ft": (*DENSE_SECTIONS, "method", "final"),
    "scratch": (*DENSE_SECTIONS, "method", "sparsity"),
}
WHOLE = ("dense", "continue_ft")
FROM_RANDOM = ("dense", "scratch")


def normalise(config: Config) -> Config:
    """The same run, with sparsity 0 where the method removes nothing.

    Raises:
        ValueError: a method that removes something is not told how much.
    """
    if config.method in WHOLE:
        return replace(config, sparsity=0.0)
    if config.sparsity == 0:
        raise ValueError(f"method={config.method} removes a fraction of the model: add for example sparsity=0.5")
    return config


def dense_of(config: Config) -> Config:
    """The dense run that a run starts from and is compared with."""
    return replace(config, method="dense", sparsity=0.0)


def recipe(config: Config) -> FitConfig:
    """The fit of a run: the dense recipe from random weights, the final fit from the dense model."""
    return config.dense if config.method in FROM_RANDOM else config.final


def total_updates(config: Config) -> int:
    """Updates from random weights to the finished model."""
    return config.dense.steps + (0 if config.method in FROM_RANDOM else config.final.steps)


def run_id(config: Config) -> str:
    """A name people can read, then the hash of all that shapes the run."""
    sparsity = f"-{config.sparsity:g}" if config.sparsity else ""
    digest = identity(config, *SECTIONS.get(config.method, ()), knobs=METHODS[config.method].knobs)
    return f"{config.method}{sparsity}-s{config.seed}-{digest}"


def label(config: Config) -> str:
    """A run in words, for progress lines."""
    sparsity = f" {100 * config.sparsity:g} %" if config.sparsity else ""
    return f"{METHODS[config.method].label}{sparsity}, seed {config.seed}"
