"""Low-rank factorisation by SVD."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from prune_bench.callbacks.base import PruningCallback
from prune_bench.callbacks.factors import (
    FACTORS,
    factor_layers,
    factorise_layers,
    find_matrices,
    forget_moments,
    name_factors,
)
from prune_bench.callbacks.hooks import call_after
from prune_bench.compaction import with_ranks
from prune_bench.pruning.allocation import ALLOCATIONS, UNIFORM
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.targets import Patterns, describe_coverage, find_core, find_targets


class FactorPruning(PruningCallback):
    """Replaces linear layers by two thinner ones, as a method's row says, then trains on.

    The prunable weights shrink by `sparsity` together; those that are no matrix of a linear layer (convolutions,
    attention's joint projection, recurrent weights) stay, and their share is borne by the others. A layer that would
    not become smaller stays as well. It happens before the optimizer is made, so the factors are trained like any
    parameter.

    Checkpoints keep the dense model's keys, with the products as values: a plain `load_from_checkpoint` gives a dense
    model that computes what was validated. A resumed fit goes on from the factors.

    Raises:
        Infeasible: the fit begins, and rank 1 everywhere is still too much.
        ValueError: the fit begins, and a layer is factorised already or its matrix not finite.
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
        self.choice: dict[str, Any] = {"include": include, "exclude": exclude, "convolutions": convolutions}
        self.allocate: Any = ALLOCATIONS[allocation] if allocation else method.allocation
        self._ranks: dict[str, int] = {}
        self._achieved: float | None = None
        self._grain = 0.0
        self._dense: dict[str, Any] | None = None
        self._chosen: list[Tensor] = []  # factors as they are when the module's own `on_fit_start` is called

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each factorised layer, by name."""
        return self._ranks if self.loaded is None else self.loaded["ranks"]

    def measure(self) -> float:
        assert self._achieved is not None
        return self._achieved

    def mask_set(self) -> MaskSet:
        return MaskSet()

    @property
    def ready(self) -> bool:
        return self._achieved is not None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            call_after(pl_module, "configure_model", self.factorise)

    def factorise(self, module: nn.Module) -> None:
        """Factorise `module`, or leave it as it is if this callback has done so before."""
        made = {name for name, _ in factor_layers(find_core(module))}
        if self._ranks and self._ranks.keys() <= made:
            return
        layers, fixed = find_matrices(module, self.choice)
        if again := {name.rpartition(".")[0] for name in layers} & made:
            raise ValueError(f"{min(again)} is factorised already: fit on with the callback that did it, or exclude it")
        shapes = {name: layer.weight.shape for name, layer in layers.items()}
        total = fixed + sum(shape.numel() for shape in shapes.values())
        self._ranks = self._choose(layers, total - round(self.sparsity * total) - fixed) if self.sparsity else {}
        rank_zero_info(f"{type(self).__name__} {describe_coverage(module, find_targets(module, **self.choice))}")
        factorise_layers(module, self._ranks)
        removed = sum(shapes[name].numel() - rank * sum(shapes[name]) for name, rank in self._ranks.items())
        self._achieved = 1 - (total - removed) / total
        self._grain = sum(sum(shape) for shape in shapes.values()) / total

    def _choose(self, layers: dict[str, Any], budget: int) -> dict[str, int]:
        """The ranks at which factors of these layers hold `budget` numbers, of the layers that they make smaller."""
        shapes = {name: layer.weight.shape for name, layer in layers.items()}
        scores = {name: torch.linalg.svdvals(layer.weight.detach().float()).square() for name, layer in layers.items()}
        ranks = self.allocate.ranks(scores, shapes, budget)
        return {name: rank for name, rank in ranks.items() if rank * sum(shapes[name]) < shapes[name].numel()}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        self._chosen = [factor.clone() for factor in _factors(pl_module)] if self.allocate is not UNIFORM else []

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        chosen, self._chosen = self._chosen, []
        others = any(not torch.equal(*pair) for pair in zip(chosen, _factors(module), strict=False))
        if chosen and (others or self._dense is not None):
            raise ValueError(
                f"{type(self).__name__}: ranks were chosen before other weights were loaded: give a module that has "
                "its weights, or allocation='uniform', whose ranks do not depend on them"
            )
        if self._dense is not None and self._ranks:
            forget_moments(trainer, self._dense)
        self._dense = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if trainer.state.fn == "fit" and FACTORS not in checkpoint:
            self._dense = checkpoint

    @property
    def endless(self) -> bool:
        return True

    @property
    def grain(self) -> float:
        return self._grain  # a rank of every matrix

    def export(self, model: nn.Module) -> nn.Module:
        thin, ranks = name_factors(copy.deepcopy(model)), self.ranks
        made = {name for name, _ in factor_layers(find_core(thin))}
        factorise_layers(thin, {name: rank for name, rank in ranks.items() if name not in made})
        return with_ranks(thin, ranks)

    def own_state(self) -> dict[str, Any]:
        return {"ranks": self._ranks}

    def resume(self, state: dict[str, Any]) -> None:
        super().resume(state)
        self._ranks = state["ranks"]


def _factors(module: nn.Module) -> list[Tensor]:
    return [factor.detach() for _, layer in factor_layers(module) for factor in layer.parameters()]


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
