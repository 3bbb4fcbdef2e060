"""Pruning methods for speech recognition, compared under one protocol."""

from typing import Any

__all__ = ["load_pruned"]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and reading rows or parsing a command line needs none of it.
    if name == "load_pruned":
        from prune_bench.artefacts import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
