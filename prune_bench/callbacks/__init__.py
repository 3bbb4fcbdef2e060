"""The only seam to Lightning: the methods as callbacks for any LightningModule."""

from prune_bench.callbacks.base import PruningCallback
from prune_bench.callbacks.build import Prune, make_callback
from prune_bench.callbacks.l0 import L0
from prune_bench.callbacks.low_rank import LowRank
from prune_bench.callbacks.masking import MaskPruning
from prune_bench.callbacks.named import IMP, MPI, OMP, PARP, RP, Gradual, GraNet, Taylor

__all__ = [
    "IMP",
    "L0",
    "MPI",
    "OMP",
    "PARP",
    "RP",
    "GraNet",
    "Gradual",
    "LowRank",
    "MaskPruning",
    "Prune",
    "PruningCallback",
    "Taylor",
    "make_callback",
]
