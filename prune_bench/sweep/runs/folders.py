"""The folders of a sweep."""

from __future__ import annotations

import re
from pathlib import Path

from prune_bench.config import Config
from prune_bench.families import family_of
from prune_bench.identity import identity
from prune_bench.pruning.methods import find_method
from prune_bench.sweep.runs.dependencies import run_id

READY = "ready"
OLD_NAME = re.compile(r"-[0-9a-f]{12}$")


def run_folder(config: Config) -> Path:
    return Path(config.execution.output) / "runs" / run_id(config)


def named_before(output: Path) -> int:
    """How many run folders have the shorter names of an earlier version."""
    return sum(OLD_NAME.search(path.name) is not None for path in (output / "runs").glob("*/"))


def corpus_folder(config: Config) -> Path:
    """Configuration and log of preparing a corpus; the features themselves are in the cache."""
    family = family_of(config)
    name, sections = family.dataset(config), family.data
    if not find_method(config.method).supervised:
        name, sections = config.method, ("pretraining", "features")
    return Path(config.execution.output) / "corpora" / f"{name}-{identity(config, *sections)}"


def cache_folder(config: Config) -> Path:
    return Path(config.execution.output) / "cache"


def table_folder(config: Config, table: str) -> Path:
    return Path(config.execution.output) / "tables" / f"{table}-{config.preset}-{family_of(config).dataset(config)}"
