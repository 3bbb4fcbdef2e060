"""Masks drawn from scores on a schedule: one callback runs every such row of the methods table."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.optim import Optimizer

from prune_bench.callbacks.base import LONG, check_equal_across_ranks
from prune_bench.callbacks.bindings import bind_structure
from prune_bench.callbacks.calibration import run_batches
from prune_bench.callbacks.checkpoints import MaskedCheckpoints, Pairs, put_back, removed_values
from prune_bench.callbacks.evaluation import MaskedEvaluation, averages
from prune_bench.callbacks.factors import once_built
from prune_bench.callbacks.optimizers import clear_moments, is_skipped, loss_scale
from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import ALLOCATIONS
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import Consecutive, OneShot, Schedule
from prune_bench.pruning.targets import Patterns, describe_coverage, find_core, find_targets

COMPILED = "_orig_mod."  # part of names inside modules that torch.compile wraps
Kept = tuple[int, dict[str, Tensor], dict[str, Tensor]]


class MaskPruning(MaskedEvaluation):
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

    # What is known without a fit.

    def schedule(self, updates: int) -> Schedule:
        """The schedule of a fit of `updates` updates."""
        try:
            return self.method.schedule(self.sparsity, updates, self.knobs)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None

    @property
    def endless(self) -> bool:
        revival = self.method.revival
        # What is the same in a fit of twice as many updates needs no end.
        exchanges = revival.acts(LONG - 1, LONG) and not revival.acts(2 * LONG, LONG)
        return not exchanges and self.schedule(LONG) == self.schedule(2 * LONG)

    def choose(self, module: nn.Module) -> MaskSet:
        """The mask of `sparsity` that the weights of `module` give as they are."""
        structure, generator = self.binding.bind(module), torch.Generator().manual_seed(self.seed)
        return structure.select(self._make_pruner(structure).rank(generator), self.sparsity)

    @property
    def pruner(self) -> Pruner:
        if self._pruner is None:
            raise RuntimeError(f"{type(self).__name__} has pruned nothing before trainer.fit")
        return self._pruner

    @property
    def ready(self) -> bool:
        return self._pruner is not None

    def measure(self) -> float:
        return self.pruner.achieved

    def mask_set(self) -> MaskSet:
        return self.pruner.masks

    @property
    def grain(self) -> float:
        return self.pruner.structure.grain

    def metrics(self) -> dict[str, float]:
        return {"sparsity": self.achieved, "churn": self.pruner.churn}

    # The beginning of a fit.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._settle()
        if stage == "fit":
            once_built(pl_module, self._prepare)

    def _prepare(self, module: nn.Module) -> None:
        if not self.ready:
            targets = find_targets(module, **self.binding.choice)
            rank_zero_info(f"{type(self).__name__} {describe_coverage(module, targets)}")
        self.binding.prepare(module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        structure, name = self.binding.bind(pl_module), type(self).__name__
        if self.sparsity > structure.most:
            most = f"at most {structure.most:.1%} can be removed so, less than the asked {self.sparsity:.1%}"
            raise Infeasible(f"{name}: {most}")
        before, asked = self._held()
        super().on_fit_start(trainer, pl_module)
        self._pruner = self._make_pruner(structure)
        self._pruner.batches = partial(
            run_batches, trainer, pl_module, self.calibration_data, self.knobs.calibration_batches
        )
        self._saving = MaskedCheckpoints(pl_module, self.pairs, partial(self.note_best, trainer))
        if self._restored is not None:
            self._restore()
            return
        self._step, self._seen, self._kept = 0, trainer.global_step, {}
        self.plan(self._planned(trainer))
        self._check_mask()
        if self._pruner.carries(before):
            self._pruner.masks, self._pruner.asked = before, asked
        if self.method.compensation.rewinds:
            self._origin = {name: value.detach().clone() for name, value in _tensors(pl_module)}
        self._draw_if_due(trainer, 0)

    def _held(self) -> tuple[MaskSet, float]:
        """Masks and asked sparsity of a fit before this one."""
        if (loaded := self.loaded) is not None:
            return MaskSet(loaded["masks"]), loaded["pruner"]["asked"]
        return (self._pruner.masks, self._pruner.asked) if self._pruner is not None else (MaskSet(), 0.0)

    def _check_mask(self) -> None:
        if self.mask is None:
            return
        structure, schedule = self.pruner.structure, self.pruner.schedule
        asked = schedule.sparsity_at(next(step for step in count() if schedule.is_update_step(step)))
        held = structure.achieved(MaskSet(self.pruner.initial or {}))
        if abs(held - asked) > structure.grain + 1e-9:
            raise ValueError(
                f"{type(self).__name__}: mask removes {held:.2%}, not the {asked:.2%} with which the fit begins: draw "
                "the mask at that sparsity"
            )

    def _make_pruner(self, structure: Any) -> Pruner:
        row: Any = self.method
        return Pruner(
            criterion=row.criterion,
            structure=structure,
            schedule=OneShot(self.sparsity),
            revival=row.revival.tuned(self.knobs),
            compensation=row.compensation,
            seed=self.seed,
            initial=None if self.mask is None else _renamed(self.mask, structure.shapes()),
            knobs=self.knobs,
        )

    def plan(self, updates: float) -> None:
        super().plan(updates)
        self.pruner.updates = LONG if math.isinf(updates) else int(updates)
        self.pruner.schedule = self.schedule(self.pruner.updates)

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
        before = self.pruner.masks
        if not self.pruner.update(step):
            return
        masks = self.pruner.masks
        check_equal_across_ranks(trainer, masks)
        if self.method.compensation.rewinds and step:
            self._rewind(trainer)
        elif self.method.revival.clears:
            clear_moments(trainer.optimizers, self.pruner.structure, before, masks)

    def _rewind(self, trainer: Trainer) -> None:
        with torch.no_grad():
            for name, value in _tensors(trainer.lightning_module):
                value.copy_(self._origin[name])
        self.pruner.structure.apply(self.pruner.masks)
        for optimizer in trainer.optimizers:
            optimizer.state.clear()

    # Models on the way.

    def keep(self, module: nn.Module, step: int, size: float) -> None:
        """Remember the model as it is at one of the sizes that a run delivers on its way."""
        self.pruner.structure.apply(self.pruner.masks)
        state = {name: value.detach().cpu().clone() for name, value in _tensors(find_core(module))}
        self._kept[size] = (step, state, dict(self.pruner.masks))

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

    # The end.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        if self.ready and self.pruner.examples is None:
            self.pruner.watch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pruner.finish(self._step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._settle()
        super().on_fit_end(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._settle()
        super().teardown(trainer, pl_module, stage)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._leave()
        if self._pruner is not None:
            self._pruner.release()
        super().on_exception(trainer, pl_module, exception)

    def _settle(self) -> None:
        """Leave the module of a fit, also of an interrupted one, as its masks say."""
        if self._pruner is not None:
            self._pruner.release()
        if self._saving is not None:
            if self.pruner.masks:
                self.pruner.structure.apply(self.pruner.masks)
            self._saving.release()
            self._saving = self.pruner.batches = None

    def export(self, model: nn.Module) -> nn.Module:
        return self.binding.export(model, self.masks)

    # Checkpoints.

    def pairs(self) -> Pairs:
        if self._pruner is None or not (self.ready and self.masks):
            return []
        return list(self.pruner.structure.factors(self.masks))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._saving is None and averages(trainer):
            MaskedCheckpoints(pl_module, self.pairs, once=True)

    def own_state(self) -> dict[str, Any]:
        under = removed_values(self.pairs()) if self._saving is not None and not self.method.revival.holds else []
        return {"pruner": self.pruner.state_dict(), "under": under, "kept": self._kept, "origin": self._origin}

    def resume(self, state: dict[str, Any]) -> None:
        self._restored = state
        if self._saving is not None:  # a tuner goes back to where it began
            self._restore()

    def _restore(self) -> None:
        state: Any = self._restored
        super().resume(state)
        self._origin, self._kept, self._restored = state["origin"], state["kept"], None
        self.pruner.load_state_dict(state["pruner"])
        if state["under"]:
            put_back(self.pairs(), state["under"])


def _renamed(mask: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A mask under the names of a module that `torch.compile` has wrapped in part, or otherwise."""
    plain = {name.replace(COMPILED, ""): name for name in names}
    return {plain.get(name.replace(COMPILED, ""), name): value for name, value in mask.items()}


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module, whatever its `state_dict` makes of them."""
    yield from module.named_parameters()
    yield from module.named_buffers()
