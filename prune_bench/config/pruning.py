"""How a model is made smaller."""

from prune_bench.pruning.knobs import Knobs as PruningConfig

__all__ = ["PruningConfig"]
