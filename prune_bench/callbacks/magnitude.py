"""One-shot magnitude pruning, and prune, adjust and re-prune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from prune_bench.callbacks.base import (
    PruningCallback,
    check_equal_across_ranks,
    is_skipped,
    loss_scale,
    planned_updates,
)
from prune_bench.callbacks.bindings import Binding, OnGroups, OnRanks, OnWeights
from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.criteria import CRITERIA
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import OneShot, Polynomial, Repeated, Schedule
from prune_bench.pruning.targets import Patterns


class ScoredPruning(PruningCallback):
    """Masks drawn from scores on a schedule. Subclasses say which schedule and whether removed units may revive.

    `structure` is "weights" (single ones, any LightningModule), "weights+biases" (those of their layers too),
    "groups" (heads, FFN channels, convolution modules of a model that offers `units()`), "heads" (these alone) or
    "ranks" (components of Linear layers, which the fit factorises). `include`, `exclude` and `convolutions` choose the
    weights: see `find_targets`. `mask` stands in for the first one drawn: a mask of another model of this shape, task
    or language.
    """

    revival = "hard"
    score_side = "all"

    def __init__(
        self,
        sparsity: float,
        *,
        criterion: str = "magnitude",
        structure: str = "weights",
        allocation: str = "global",
        kinds: tuple[str, ...] = ("heads", "ffn", "conv"),
        include: Patterns = (),
        exclude: Patterns = (),
        convolutions: bool = False,
        mask: Mapping[str, Tensor] | None = None,
        seed: int = 0,
    ):
        super().__init__(sparsity)
        self.criterion = CRITERIA[criterion]
        choice = {"include": include, "exclude": exclude, "convolutions": convolutions}
        bindings: dict[str, Binding] = {
            "weights": OnWeights(choice, ALLOCATIONS[allocation]),
            "weights+biases": OnWeights({**choice, "biases": True}, ALLOCATIONS[allocation]),
            "groups": OnGroups(choice, kinds, self.score_side),
            "heads": OnGroups(choice, ("heads",), self.score_side),
            "ranks": OnRanks(choice),
        }
        if structure == "ranks" and self.revival == "free":
            raise ValueError(f"{type(self).__name__} revives what it removes, which rank components cannot")
        if structure not in bindings:
            raise ValueError(f"structure={structure!r}: choose {', '.join(bindings)}")
        self.binding = bindings[structure]
        self.mask, self.seed = mask, seed
        self._pruner: Pruner | None = None
        self._restored: dict[str, Any] | None = None
        self._dense_values: list[Tensor] = []

    def schedule(self, updates: int) -> Schedule:
        """The schedule of a fit of `updates` updates."""
        raise NotImplementedError

    @property
    def pruner(self) -> Pruner:
        if self._pruner is None:
            raise RuntimeError(f"{type(self).__name__} has no mask before trainer.fit")
        return self._pruner

    @property
    def achieved(self) -> float:
        return self.pruner.achieved

    @property
    def masks(self) -> MaskSet:
        return self.pruner.masks

    def metrics(self) -> dict[str, float]:
        return {"sparsity": self.achieved, "churn": self.pruner.churn}

    def choose(self, module: nn.Module) -> MaskSet:
        """The mask of `sparsity` that the weights of `module` give as they are."""
        structure, generator = self.binding.bind(module), torch.Generator().manual_seed(self.seed)
        return structure.select(structure.scores(self.criterion, generator), self.sparsity)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.binding.prepare(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        schedule, structure = self.schedule(planned_updates(trainer)), self.binding.bind(pl_module)
        if self.sparsity > structure.most:
            raise Infeasible(f"at most {structure.most:.1%} can be removed so, less than the asked {self.sparsity:.1%}")
        self._pruner = Pruner(self.criterion, structure, schedule, self.revival, self.seed, initial=self.mask)
        if self._restored is not None:
            self._pruner.load_state_dict(self._restored)
            self._restored = None
        else:
            self._step = trainer.global_step
            self._pruner.update(self._step)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if self.pruner.evidence is not None and not is_skipped(trainer, optimizer):
            self.pruner.observe(loss_scale(trainer, optimizer))

    def after_update(self, trainer: Trainer, step: int) -> None:
        if self.pruner.update(step):
            check_equal_across_ranks(trainer, self.masks)
            for optimizer in trainer.optimizers:
                for parameter in self.pruner.structure.replaced:
                    optimizer.state.pop(parameter, None)
            self.after_draw(trainer)

    def after_draw(self, trainer: Trainer) -> None:
        """Act once a new mask holds."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._pruner is not None and self.masks:
            self._dense_values = [tensor.detach().clone() for tensor in self.pruner.structure.zeroed()]
            self.pruner.structure.apply(self.masks)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._dense_values:
            for tensor, dense in zip(self.pruner.structure.zeroed(), self._dense_values, strict=True):
                tensor.data.copy_(dense)
        self._dense_values = []

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruner.finish(trainer.global_step)

    def export(self, model: nn.Module) -> nn.Module:
        return self.binding.export(model, self.masks)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "pruner": self.pruner.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._step = state_dict["step"]
        self._restored = state_dict["pruner"]


class OMP(ScoredPruning):
    """One-shot magnitude pruning: the mask is drawn at the fraction `at` of the fit (0: at its start) and held.

    Removed weights are zeroed again after every update, so neither momentum nor weight decay can move them.
    """

    def __init__(self, sparsity: float, at: float = 0.0, **options: Any):
        super().__init__(sparsity, **options)
        self.at = at

    def schedule(self, updates: int) -> Schedule:
        return OneShot(self.sparsity, round(self.at * updates))


class MPI(OMP):
    """Magnitude pruning at initialisation: a mask of the weights as they come, held (PARP, section 2.3)."""

    def __init__(self, sparsity: float, **options: Any):
        super().__init__(sparsity, at=0.0, **options)


class RP(OMP):
    """Random pruning: a random mask, held; what it loses is what the choice of a mask is worth."""

    def __init__(self, sparsity: float, **options: Any):
        super().__init__(sparsity, at=0.0, criterion="random", **options)


class PARP(ScoredPruning):
    """Prune, adjust and re-prune (Lai et al., 2021, Algorithm 1).

    Every `interval` updates (a hundredth of the fit if None) the mask is judged anew and what it removes is set to
    zero; in between everything trains, so that removed weights may come back. With `start` below `sparsity` the
    target rises from it over the first `ramp` of the fit (PARP-P).

    During the fit the module holds dense weights: checkpoints carry them and the mask. Validation sees the masked
    copy, and after the fit the module is exactly sparse; that is what to evaluate and export.
    """

    revival = "free"
    score_side = "outputs"

    def __init__(
        self,
        sparsity: float,
        interval: int | None = None,
        start: float | None = None,
        ramp: float = 0.6,
        **options: Any,
    ):
        super().__init__(sparsity, **options)
        self.interval = interval
        self.start = start
        self.ramp = ramp

    def schedule(self, updates: int) -> Schedule:
        interval = self.interval or max(1, updates // 100)
        if self.start is None:
            return Repeated(self.sparsity, interval)
        return Polynomial(self.start, self.sparsity, 0, round(self.ramp * updates), interval, power=1)
