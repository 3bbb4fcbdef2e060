"""Pruning methods for speech recognition, compared under one protocol."""

from typing import Any

__all__ = ["export_pruned", "load_pruned"]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch takes seconds, and reading rows or parsing a command line needs none of it.
    if name in __all__:
        from prune_bench import artefacts

        return getattr(artefacts, name.replace("pruned", "model"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
