"""Low-rank factorisation by SVD."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import nn

from prune_bench.callbacks.base import PruningCallback
from prune_bench.compaction import with_ranks
from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.low_rank import factorise
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.targets import Patterns, find_core, find_targets


class FactorPruning(PruningCallback):
    """Replaces Linear layers by two thinner ones, as a method's row says, then trains on.

    The prunable weights shrink by `sparsity` together; weights that are not matrices (depthwise kernels) stay, and
    their share is borne by the matrices. It happens in `setup`, before the optimizer is made, so the factors are
    trained like any parameter.
    """

    def __init__(
        self,
        method: Method,
        sparsity: float,
        *,
        allocation: str = "",
        include: Patterns = (),
        exclude: Patterns = (),
        convolutions: bool = False,
    ):
        super().__init__(method, sparsity, {"include": include, "exclude": exclude})
        method.check_structure("ranks", type(self).__name__)
        self.choice = {"include": include, "exclude": exclude, "convolutions": convolutions}
        self.allocate: Any = ALLOCATIONS[allocation] if allocation else method.allocation
        self.ranks: dict[str, int] = {}
        self._achieved = 0.0

    @property
    def achieved(self) -> float:
        return self._achieved

    @property
    def masks(self) -> MaskSet:
        return MaskSet()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit" or self.ranks:
            return
        core = find_core(pl_module)
        layers, fixed = find_matrices(pl_module, self.choice)
        shapes = {name: layer.weight.shape for name, layer in layers.items()}
        total = fixed + sum(shape.numel() for shape in shapes.values())
        scores = {name: torch.linalg.svdvals(layer.weight.detach()).square() for name, layer in layers.items()}
        ranks = self.allocate.ranks(scores, shapes, total - round(self.sparsity * total) - fixed)
        for name, rank in ranks.items():
            put(core, name, factorised(layers[name], rank))
        kept = fixed + sum(rank * sum(shapes[name]) for name, rank in ranks.items())
        self.ranks, self._achieved = ranks, 1 - kept / total

    @property
    def ready(self) -> bool:
        return bool(self.ranks)

    def export(self, model: nn.Module) -> nn.Module:
        return with_ranks(model, self.ranks)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._step = state_dict["step"]


@dataclass(eq=False, repr=False)
class LowRank(FactorPruning):
    """Singular value decomposition: every matrix keeps the same fraction of its numbers (the `svd` method), or with
    `allocation` "global" the singular values of all matrices are ranked together.
    """

    sparsity: float
    _: KW_ONLY
    allocation: str = ""
    include: Patterns = ()
    exclude: Patterns = ()
    convolutions: bool = False

    def __post_init__(self) -> None:
        super().__init__(
            METHODS["svd"], self.sparsity, allocation=self.allocation, include=self.include, exclude=self.exclude,
            convolutions=self.convolutions,
        )  # fmt: skip


def find_matrices(module: nn.Module, choice: Mapping[str, Any]) -> tuple[dict[str, nn.Linear], int]:
    """The Linear layers by name whose weights are targets, and how many target weights belong to none."""
    core, targets = find_core(module), find_targets(module, **choice)
    owners = {name.rpartition(".")[0]: core.get_submodule(name.rpartition(".")[0]) for name in targets}
    layers = {name: owner for name, owner in owners.items() if isinstance(owner, nn.Linear)}
    return layers, sum(p.numel() for p in targets.values()) - sum(one.weight.numel() for one in layers.values())


def factorised(layer: nn.Linear, rank: int) -> LowRankLinear:
    """The best approximation of a layer by one of that rank."""
    return LowRankLinear.of(*factorise(layer.weight, rank), layer.bias)


def put(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the submodule of that name."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, layer)
