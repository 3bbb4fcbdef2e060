"""Masks drawn from scores on a schedule: one callback runs every such row of the methods table."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer

from prune_bench.callbacks.base import (
    PruningCallback,
    check_equal_across_ranks,
    is_skipped,
    loss_scale,
)
from prune_bench.callbacks.bindings import bind_structure
from prune_bench.callbacks.calibration import run_batches
from prune_bench.callbacks.checkpoints import MaskedCheckpoints, masked, put_back, removed_values
from prune_bench.callbacks.factors import once_built
from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import Consecutive, OneShot, Schedule
from prune_bench.pruning.targets import Patterns, describe_coverage, find_core, find_targets

Kept = tuple[int, dict[str, Tensor], MaskSet]


class MaskPruning(PruningCallback):
    """Prunes by the masks of a method's row.

    `structure` is "weights" (single ones, any LightningModule), "weights+biases" (those of their layers too),
    "groups" (heads, FFN channels, convolution modules of a model that offers `units()`), "heads" (these alone) or
    "ranks" (components of Linear layers, which the fit factorises). `include`, `exclude` and `convolutions` choose the
    weights: see `find_targets`. `mask` stands in for the first one drawn: a mask of another model of this shape, task
    or language. `calibration_data` are batches for criteria that need statistics of data (None: the first batches of
    the training data).

    Where removed weights train on, validation, test and prediction see the masked model all the same, and it is what
    a checkpoint holds as the model's state; the values under the mask, which resuming needs, are in the callback's.
    """

    def __init__(
        self,
        method: Method,
        sparsity: float,
        knobs: Knobs,
        *,
        include: Patterns = (),
        exclude: Patterns = (),
        convolutions: bool = False,
        mask: Mapping[str, Tensor] | None = None,
        calibration_data: Iterable[Any] | None = None,
        seed: int = 0,
    ):
        super().__init__(method, sparsity, {"structure": knobs.structure, "include": include, "exclude": exclude})
        method.check_structure(knobs.structure, type(self).__name__)
        choice = {"include": include, "exclude": exclude, "convolutions": convolutions}
        allocation: Any = ALLOCATIONS[knobs.allocation] if knobs.allocation else method.allocation
        if why := allocation.refuses.get(knobs.structure):
            raise ValueError(f"{type(self).__name__}: structure={knobs.structure!r} {why}: allocation={allocation}")
        self.binding = bind_structure(knobs.structure, choice, allocation, method.kinds, method.revival.score_side)
        self.knobs, self.mask, self.calibration_data, self.seed = knobs, mask, calibration_data, seed
        self._pruner: Pruner | None = None
        self._restored: dict[str, Any] | None = None
        self._saving: MaskedCheckpoints | None = None
        self._origin: dict[str, Tensor] = {}
        self._kept: dict[float, Kept] = {}
        self._inside: Any = None

    # What is known without a fit.

    def schedule(self, updates: int) -> Schedule:
        """The schedule of a fit of `updates` updates."""
        return self.method.schedule(self.sparsity, updates, self.knobs)

    def choose(self, module: nn.Module) -> MaskSet:
        """The mask of `sparsity` that the weights of `module` give as they are."""
        structure, generator = self.binding.bind(module), torch.Generator().manual_seed(self.seed)
        return structure.select(self._make_pruner(structure).rank(generator), self.sparsity)

    @property
    def pruner(self) -> Pruner:
        if self._pruner is None:
            raise RuntimeError(f"{type(self).__name__} has no mask before trainer.fit")
        return self._pruner

    @property
    def ready(self) -> bool:
        return self._pruner is not None

    @property
    def achieved(self) -> float:
        return self.pruner.achieved

    @property
    def masks(self) -> MaskSet:
        return self.pruner.masks

    def metrics(self) -> dict[str, float]:
        return {"sparsity": self.achieved, "churn": self.pruner.churn}

    # The beginning of a fit.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            once_built(pl_module, self._prepare)

    def _prepare(self, module: nn.Module) -> None:
        if not self.ready:
            targets = find_targets(module, **self.binding.choice)
            rank_zero_info(f"{type(self).__name__} {describe_coverage(module, targets)}")
        self.binding.prepare(module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        structure, before = self.binding.bind(pl_module), self._pruner
        if self.sparsity > structure.most:
            raise Infeasible(f"at most {structure.most:.1%} can be removed so, less than the asked {self.sparsity:.1%}")
        self._pruner = self._make_pruner(structure)
        self._pruner.batches = partial(
            run_batches, trainer, pl_module, self.calibration_data, self.knobs.calibration_batches
        )
        self._saving, self._best = MaskedCheckpoints(pl_module, self._hidden), {}
        if self._restored is not None:
            self._restore()
            return
        self._step, self._seen = 0, trainer.global_step
        self.plan(self._planned(trainer))
        if before is not None and self._pruner.carries(before.masks):
            self._pruner.masks, self._pruner.asked = before.masks, before.asked
        if self.method.compensation.rewinds:
            self._origin = {name: value.detach().clone() for name, value in _tensors(pl_module)}
        self._draw_if_due(trainer, 0)

    def _make_pruner(self, structure: Any) -> Pruner:
        row: Any = self.method
        return Pruner(
            criterion=row.criterion,
            structure=structure,
            schedule=OneShot(self.sparsity),
            revival=row.revival.tuned(self.knobs),
            compensation=row.compensation,
            seed=self.seed,
            initial=self.mask,
            knobs=self.knobs,
        )

    def plan(self, updates: int) -> None:
        super().plan(updates)
        self.pruner.updates, self.pruner.schedule = self._updates, self.schedule(self._updates)

    # One update.

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self.ready:
            for objective in self.method.objectives:
                loss.add_((objective.term(self.pruner.structure) / trainer.accumulate_grad_batches).to(loss.dtype))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if self.ready and self.pruner.learns:
            self.pruner.observe(loss_scale(trainer, optimizer), valid=not is_skipped(trainer, optimizer))
        elif self.ready:
            self.pruner.release()

    def after_update(self, trainer: Trainer, step: int) -> None:
        self._draw_if_due(trainer, step)
        schedule = self.pruner.schedule
        if isinstance(schedule, Consecutive) and step in schedule.ends:
            self.keep(trainer.lightning_module, step, schedule.ends[step])

    def _draw_if_due(self, trainer: Trainer, step: int) -> None:
        before = self.masks
        if not self.pruner.update(step):
            return
        check_equal_across_ranks(trainer, self.masks)
        if self.method.compensation.rewinds and step:
            self._rewind(trainer)
        elif self.method.revival.clears:
            self._clear_moments(trainer, before)

    def _rewind(self, trainer: Trainer) -> None:
        with torch.no_grad():
            for name, value in _tensors(trainer.lightning_module):
                value.copy_(self._origin[name])
        self.pruner.structure.apply(self.masks)
        for optimizer in trainer.optimizers:
            optimizer.state.clear()

    def _clear_moments(self, trainer: Trainer, before: MaskSet) -> None:
        """Zero what optimizers remember of removed and of regrown entries; all of what was given other values."""
        structure = self.pruner.structure
        lasting = {name: mask & before[name] if name in before else mask for name, mask in self.masks.items()}
        for optimizer in trainer.optimizers:
            for parameter in structure.replaced:
                optimizer.state.pop(parameter, None)
            for parameter, factor in structure.factors(lasting):
                for moment in optimizer.state.get(parameter, {}).values():
                    if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                        moment.mul_(factor.to(moment.device))

    # Models on the way.

    def keep(self, module: nn.Module, step: int, size: float) -> None:
        """Remember the model as it is at one of the sizes that a run delivers on its way."""
        self.pruner.structure.apply(self.masks)
        state = {name: value.detach().cpu().clone() for name, value in _tensors(find_core(module))}
        self._kept[size] = (step, state, MaskSet(self.masks))

    def export_sizes(self, model: nn.Module) -> dict[float, tuple[int, nn.Module]]:
        """By size, the updates made and the model as it was then, to keep like `export`'s."""
        kept: dict[float, tuple[int, nn.Module]] = {}
        for size, (step, state, masks) in self._kept.items():
            then = copy.deepcopy(model)
            with torch.no_grad():
                for name, value in _tensors(then):
                    value.copy_(state[name])
            kept[size] = step, self.binding.export(then, masks)
        return kept

    # Evaluation sees the mask, batch by batch: others exchange weights between the batches and the ends of a loop.

    def _enter(self, trainer: Trainer) -> None:
        if self._pruner is None or not self.masks:
            return
        averaged = (WeightAveraging, StochasticWeightAveraging)
        exchanged = any(isinstance(one, averaged) for one in trainer.callbacks)  # type: ignore[attr-defined]
        if exchanged or not self.method.revival.holds:
            self._inside = masked(list(self.pruner.structure.factors(self.masks)))
            self._inside.__enter__()

    def _leave(self) -> None:
        if self._inside is not None:
            self._inside.__exit__(None, None, None)
            self._inside = None

    def on_validation_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self._enter(trainer)

    def on_validation_batch_end(self, *arguments: Any) -> None:
        self._leave()

    def on_test_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self._enter(trainer)

    def on_test_batch_end(self, *arguments: Any) -> None:
        self._leave()

    def on_predict_batch_start(self, trainer: Trainer, *arguments: Any) -> None:
        self._enter(trainer)

    def on_predict_batch_end(self, *arguments: Any) -> None:
        self._leave()

    # The end.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.ready and self.pruner.examples is None:
            self.pruner.watch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruner.finish(self._step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruner.structure.apply(self.masks)
        self.warn_of_shortfall(trainer, self.pruner.structure.grain)
        self._release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._leave()
        self._release()

    def _release(self) -> None:
        if self._pruner is not None:
            self._pruner.release()
        if self._saving is not None:
            self._saving.release()
            self._saving = None

    def export(self, model: nn.Module) -> nn.Module:
        return self.binding.export(model, self.masks)

    # Checkpoints.

    def _hidden(self) -> list[tuple[Tensor, Tensor]]:
        """Parameters that hold values where their masks have zeros, with the masks."""
        return list(self.pruner.structure.factors(self.masks)) if self._pruner is not None and self.masks else []

    def state_dict(self) -> dict[str, Any]:
        if self._pruner is None:
            return {"step": 0, "pruner": None}
        under = removed_values(self._hidden()) if not self.method.revival.holds else []
        return {
            "step": self._step, "pruner": self.pruner.state_dict(), "under": under, "kept": self._kept,
            "origin": self._origin,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict if state_dict["pruner"] is not None else None
        if self._restored is not None and self._saving is not None:  # a tuner goes back to where it began
            self._restore()

    def _restore(self) -> None:
        state: Any = self._restored
        self._step, self._origin, self._restored = state["step"], state["origin"], None
        self._kept = {size: (step, then, MaskSet(masks)) for size, (step, then, masks) in state["kept"].items()}
        self.pruner.load_state_dict(state["pruner"])
        if state["under"]:
            put_back(self._hidden(), state["under"])


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module, whatever its `state_dict` makes of them."""
    yield from module.named_parameters()
    yield from module.named_buffers()
