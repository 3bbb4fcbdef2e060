"""L0 structured pruning: learned gates under a size or FLOPs constraint, with layer-wise distillation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from prune_bench.callbacks.base import PruningCallback, check_equal_across_ranks
from prune_bench.compaction import compact
from prune_bench.distillation import LayerwiseDistillation
from prune_bench.pruning import Infeasible
from prune_bench.pruning.allocation import Lagrangian
from prune_bench.pruning.gates import Constraint, Gates, affected, effective, kept_counts, meet_budget, total_cost
from prune_bench.pruning.gating import Gating
from prune_bench.pruning.groups import scale_outputs
from prune_bench.pruning.knobs import Knobs, set_knobs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import ALL_KINDS, METHODS
from prune_bench.pruning.schedules import Ramp
from prune_bench.pruning.targets import find_core

COUNTERS = {"exact": "size", "paper_eq3": "size_eq3"}


class GatePruning(PruningCallback):
    """Learns which heads, FFN channels, convolution modules and hidden dims a model can do without, as a method's row
    says.

    A gate a unit is drawn once an update; a Lagrangian constraint drives the expected size, or the FLOPs for
    `reference_frames` feature frames, to the asked reduction, which rises linearly. When the schedule fixes the gates,
    FFN channels are removed or given back until the budget is met, soft gate values are folded into the weights, and
    the rest of the fit trains the remaining model.

    Gates, multipliers and the distillation map have their own optimizers here: weights of the module stay with the
    module's. The model must offer `units()` and `cost_terms(quantity, frames)`, and its encoder `layers`.

    Raises:
        Infeasible: at fit start, when removing every unit of the row's kinds would not reach the target.
    """

    def __init__(self, method: Method, sparsity: float, knobs: Knobs, *, reference_frames: int = 1500, seed: int = 0):
        super().__init__(method, sparsity, {"kinds": method.kinds})
        method.check_structure("groups", type(self).__name__)
        self.quantity = "flops" if method.target == "flops" else COUNTERS[knobs.counter]
        self.gate_kinds, self.knobs = method.kinds, knobs
        self.initial = {kind: knobs.ffn_gate_init if kind == "ffn" else knobs.gate_init for kind in method.kinds}
        self.weight = knobs.distillation if method.objectives else 0.0
        self.reference_frames, self.seed = reference_frames, seed
        self.teacher: LayerwiseDistillation | None = None
        self.schedule = Ramp(sparsity, 1, 0)
        self._settled: MaskSet | None = None
        self._last: dict[str, float | Tensor] = {}
        self._built = False

    @property
    def ready(self) -> bool:
        return self._built

    def plan(self, updates: float) -> None:
        super().plan(updates)
        row: Any = self.method
        self.schedule = row.schedule(self.sparsity, int(updates), self.knobs)

    # Set-up: before a checkpoint is loaded, because the teacher is the model as it was before this fit.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        core: Any = find_core(pl_module)
        if self._built and self.gating.model is not core:  # a fit of another module
            self.gating.remove()
            self._built, self._settled, self._step = False, None, 0
        if not self._built:
            self._build(core)
        if self.teacher is not None:
            self.teacher.watch(core.encoder)

    def _build(self, core: Any) -> None:
        if not hasattr(core, "cost_terms"):
            raise Infeasible(f"{type(core).__name__} offers no cost_terms(): gates need them and units()")
        self.groups = [group for group in core.units() if group.kind in self.gate_kinds]
        self.all_groups = core.units()
        self.terms = core.cost_terms(self.quantity, self.reference_frames)
        self.dense_cost = float(total_cost(self.terms, kept_counts(self.all_groups, {})))
        self._check_feasible()
        self.gates = Gates(self.groups, self.initial, self.knobs.temperature)
        self.constraint = Constraint()
        self.gated = affected(self.all_groups, self.gate_kinds)
        optimizer = partial(torch.optim.AdamW, weight_decay=0.0, fused=True)
        self.optimizers: list[torch.optim.Optimizer] = [
            optimizer(self.gates.parameters(), lr=self.knobs.mask_learning_rate),
            optimizer(self.constraint.parameters(), lr=self.knobs.multiplier_learning_rate, maximize=True),
        ]
        if self.weight > 0:
            # Before the gates: a copy of the gated encoder would be gated with it.
            self.teacher = LayerwiseDistillation(core.encoder, core.encoder.arch.width, self.knobs.distillation_side)
            self.optimizers.append(optimizer(self.teacher.transform.parameters()))
        self.gating = Gating(core, self.gated)
        self.gating.set({})
        self._built = True

    def _check_feasible(self) -> None:
        most = self._saved({group.name: torch.zeros(group.size) for group in self.groups})
        if most < self.sparsity:
            raise Infeasible(
                f"removing every unit of {', '.join(self.gate_kinds)} saves {most:.1%}, less than the asked "
                f"{self.sparsity:.1%}"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.precision == "16-mixed":
            raise ValueError("L0 adds to the loss before it is scaled: use precision bf16-mixed or 32-true")
        super().on_fit_start(trainer, pl_module)
        if self.teacher is not None:
            self.teacher.to(pl_module.device)

    # One update.

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._settled is not None:
            self.gating.set(self._settled)
            return
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self._step)
        self.gating.set(self.gates.sample(generator))

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        extra = torch.zeros((), device=loss.device)
        if self._settled is None:
            target = self.schedule.sparsity_at(self._step)
            expected = self.expected_sparsity()
            extra = extra + self.constraint(expected, target).to(loss.device)
            self._last.update(expected=expected.detach(), target=target)
        if self.teacher is not None:
            with trainer.precision_plugin.forward_context():
                distance = self.teacher.loss()
            extra = extra + self.weight * distance
            self._last["distillation"] = distance.detach()
        loss.add_((extra / trainer.accumulate_grad_batches).to(loss.dtype))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if self.teacher is not None:
            self.optimizers[-1].param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
        for own in self.optimizers:
            for parameter in (p for group in own.param_groups for p in group["params"] if p.grad is not None):
                if trainer.world_size > 1:
                    parameter.grad = trainer.strategy.reduce(parameter.grad, reduce_op="mean")
            own.step()
            own.zero_grad()

    def after_update(self, trainer: Trainer, step: int) -> None:
        if self._settled is None and step >= self.schedule.settled:
            self._fix_masks(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._settled is None:
            masks, settled = self._chosen_masks(), self.gates.settled()
            self.gating.set({name: settled[name] * mask for name, mask in masks.items()})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._settled is None:
            self._fix_masks(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.teacher is not None:
            self.teacher.release()
        super().on_fit_end(trainer, pl_module)

    # Masks.

    def expected_sparsity(self) -> Tensor:
        """1 - E[cost] / dense cost, differentiable in the logits."""
        return 1 - total_cost(self.terms, kept_counts(self.all_groups, self.gates.probabilities())) / self.dense_cost

    def _chosen_masks(self) -> MaskSet:
        budget = (1 - self.sparsity) * self.dense_cost
        masks = self.gates.expected_masks()
        return meet_budget(masks, self.gates.scores(), self.all_groups, self.terms, budget, self._adjustable)

    def _fix_masks(self, trainer: Trainer) -> None:
        """Fold the soft gates into the weights; from here on the masks are 0 or 1 and do not change."""
        self._settled = self._chosen_masks()
        settled = self.gates.settled()
        soft = effective(self.gated, {name: settled[name] * mask for name, mask in self._settled.items()})
        scale_outputs(self.gating.parameters, self.gated, soft)
        self.gating.set(self._settled)
        check_equal_across_ranks(trainer, self._settled)

    def mask_set(self) -> MaskSet:
        return self._settled if self._settled is not None else self._chosen_masks()

    def measure(self) -> float:
        return self._saved(self.mask_set())

    def _saved(self, masks: Mapping[str, Tensor]) -> float:
        """The removed fraction of the cost."""
        return 1 - float(total_cost(self.terms, kept_counts(self.all_groups, masks))) / self.dense_cost

    @property
    def grain(self) -> float:
        """What one unit of the kind that is trimmed to the budget costs at most."""
        return max(
            self._saved({group.name: (torch.arange(group.size) > 0).float()})
            for group in self.groups
            if group.kind == self._adjustable
        )

    @property
    def _adjustable(self) -> str:
        return "ffn" if "ffn" in self.gate_kinds else self.gate_kinds[0]

    def metrics(self) -> dict[str, float]:
        multipliers = {"lambda1": self.constraint.linear.item(), "lambda2": self.constraint.quadratic.item()}
        kept: dict[str, list[Tensor]] = {}
        for group, probability in zip(self.groups, self.gates.probabilities().values(), strict=True):
            kept.setdefault(f"kept_{group.kind}", []).append(probability.detach())
        means = {kind: float(torch.cat(values).mean()) for kind, values in kept.items()}
        last = {name: float(value) for name, value in self._last.items()}
        return {**last, **multipliers, **means}

    def export(self, model: nn.Module) -> nn.Module:
        return compact(model, self.masks)

    def own_state(self) -> dict[str, Any]:
        return {
            "gates": self.gates.state_dict(),
            "constraint": self.constraint.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "distillation": self.teacher.state_dict() if self.teacher is not None else None,
            "settled": dict(self._settled) if self._settled is not None else None,
        }

    def resume(self, state: dict[str, Any]) -> None:
        if not self._built:
            return
        super().resume(state)
        self.gates.load_state_dict(state["gates"])
        self.constraint.load_state_dict(state["constraint"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        if self.teacher is not None:
            self.teacher.load_state_dict(state["distillation"])
        self._settled = None if state["settled"] is None else MaskSet(state["settled"])


@dataclass(eq=False, repr=False)
class L0(GatePruning):
    """L0 structured pruning (Jiang et al., Accurate and Structured Pruning for Efficient ASR, Interspeech 2023).

    `target` is "size" or "flops". The asked reduction rises over the first fraction `ramp` of the fit; at the fraction
    `settle` the gates are fixed. See `GatePruning`, and `Knobs` for the rest.
    """

    sparsity: float
    _: KW_ONLY
    target: str = "size"
    kinds: tuple[str, ...] = ALL_KINDS
    ramp: float = 0.1
    settle: float = 1.0
    mask_learning_rate: float = 1e-2
    multiplier_learning_rate: float = 1e-2
    gate_init: float = 4.6
    ffn_gate_init: float = 3.0
    temperature: float = 2 / 3
    counter: str = "exact"
    distillation: float = 1.0
    distillation_side: str = "student"
    reference_frames: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target not in ("size", "flops"):
            raise ValueError(f"L0: target={self.target!r}: choose size or flops")
        row = replace(METHODS["l0_sparsity"], allocation=Lagrangian(self.target), kinds=self.kinds)
        own = ("reference_seconds", "structure")
        values = {name: getattr(self, name) for name in row.knobs if name not in own}
        knobs = set_knobs(Knobs(), row.knobs, values, "L0: ")
        super().__init__(row, self.sparsity, knobs, reference_frames=self.reference_frames, seed=self.seed)
