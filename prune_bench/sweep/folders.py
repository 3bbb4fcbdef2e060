"""Where everything a sweep makes lies."""

from __future__ import annotations

from pathlib import Path

from prune_bench.config import Config, identity
from prune_bench.sweep.runs import run_id


def run_folder(config: Config) -> Path:
    return Path(config.execution.output) / "runs" / run_id(config)


def corpus_folder(config: Config) -> Path:
    """Configuration and log of preparing a corpus; the features themselves are in the cache."""
    digest = identity(config, "corpus", "features", "tokenizer")
    return Path(config.execution.output) / "corpora" / f"{config.corpus.name}-{digest}"


def cache_folder(config: Config) -> Path:
    return Path(config.execution.output) / "cache"


def table_folder(config: Config, table: str) -> Path:
    return Path(config.execution.output) / "tables" / f"{table}-{config.preset}-{config.corpus.name}"
