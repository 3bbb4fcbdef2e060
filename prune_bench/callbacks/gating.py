"""Learned gates under a size or FLOPs constraint, with layer-wise distillation, in a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from prune_bench.callbacks.base import check_equal_across_ranks
from prune_bench.callbacks.checkpoints import Pairs
from prune_bench.callbacks.evaluation import averages
from prune_bench.callbacks.masked import MaskedFit
from prune_bench.compaction import compact
from prune_bench.distillation import LayerwiseDistillation
from prune_bench.pruning.constrained import ConstrainedGates
from prune_bench.pruning.gates import affected, effective
from prune_bench.pruning.gating import Gating
from prune_bench.pruning.groups import output_factors, scale_outputs
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method
from prune_bench.pruning.schedules import Ramp
from prune_bench.pruning.targets import find_core


class GatePruning(MaskedFit):
    """Learns which heads, FFN channels, convolution modules and hidden dims a model can do without, as a method's row
    says.

    A gate a unit is drawn once an update; a Lagrangian constraint drives the expected size, or the FLOPs for
    `reference_frames` feature frames, to the asked reduction, which rises linearly. When the schedule fixes the gates,
    FFN channels are removed or given back until the budget is met, soft gate values are folded into the weights, and
    the rest of the fit trains the remaining model.

    Gates, multipliers and the distillation map have their own optimizers here: weights of the module stay with the
    module's. The model must offer `units()` and `cost_terms(quantity, frames)`, and its encoder `layers`. The teacher
    is the model as a fit begins, or that of the fit which is resumed.

    A checkpoint holds the masked model, soft gate values folded in, as it is validated; what they multiply is in the
    callback's state. Where hidden dims are removed, LayerNorms normalise those that are kept, which weights cannot say:
    such a checkpoint is evaluated with the callback, or exported.

    Raises:
        Infeasible: at fit start, when removing every unit of the row's kinds would not reach the target.
        ValueError: at fit start, under 16-bit losses or a callback that averages weights.
    """

    def __init__(self, method: Method, sparsity: float, knobs: Knobs, *, reference_frames: int = 1500, seed: int = 0):
        super().__init__(method, sparsity, {"kinds": method.kinds})
        method.check_structure("groups", type(self).__name__)
        self.gate_kinds, self.knobs = method.kinds, knobs
        self.weight = knobs.distillation if method.objectives else 0.0
        self.reference_frames, self.seed = reference_frames, seed
        self.teacher: LayerwiseDistillation | None = None
        self.schedule = Ramp(sparsity, 1, 0)
        self._settled: MaskSet | None = None
        self._last: dict[str, float | Tensor] = {}
        self._built, self._warned = False, False
        self.gating = Gating(nn.Module(), ())

    @property
    def ready(self) -> bool:
        return self._built

    def plan(self, updates: float) -> None:
        super().plan(updates)
        row: Any = self.method
        self.schedule = row.schedule(self.sparsity, int(updates), self.knobs)

    # The beginning of a fit.

    def begin(self, trainer: Trainer, module: LightningModule) -> None:
        name = type(self).__name__
        if trainer.precision == "16-mixed":
            raise ValueError(f"{name} adds to the loss before it is scaled: use precision bf16-mixed or 32-true")
        if averages(trainer):
            raise ValueError(f"{name}: weights are averaged before gates are folded in: fit without averaging them")
        core, loaded = find_core(module), self.loaded
        if not self._built or self.gating.model is not core:
            self._built, self._settled, self._step = False, None, 0
            self._build(core)
        if loaded is not None and self._carries(MaskSet(loaded["masks"])):
            self._settled = MaskSet(loaded["masks"])
        self._warned = False
        self.restore()
        if self.teacher is not None:
            self.teacher.to(module.device)
            self.teacher.watch(core.get_submodule("encoder"))

    def _build(self, core: Any) -> None:
        self.constrained = ConstrainedGates(
            core, self.gate_kinds, self.sparsity, self.method.target, self.reference_frames, self.knobs
        )
        self.gates, self.constraint = self.constrained.gates, self.constrained.constraint
        self.optimizers = list(self.constrained.optimizers)
        if self.weight > 0:
            self.gating.remove()  # a copy of the gated encoder would be gated with it
            self.teacher = LayerwiseDistillation(core.encoder, core.encoder.arch.width, self.knobs.distillation_side)
            self.optimizers.append(torch.optim.AdamW(self.teacher.transform.parameters(), weight_decay=0.0, fused=True))
        self._gate(core)
        self._built = True

    def _gate(self, core: Any) -> None:
        """Gate this model and no other."""
        self.gating.remove()
        self.gating = Gating(core, affected(core.units(), self.gate_kinds))
        self.gating.set({})

    def _carries(self, masks: MaskSet) -> bool:
        """Whether all that `masks` remove is zero in the model."""
        return not any(bool((weight * (factor == 0).to(weight)).any()) for weight, factor in self._factors(masks))

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
            expected = self.constrained.expected()
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
        if step >= self.schedule.settled:
            self.on_train_end(trainer, trainer.lightning_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._settled is None:
            self._fix_masks()
            check_equal_across_ranks(trainer, self.masks)

    def mask_module(self) -> None:
        if self._settled is None:
            self._fix_masks()
        self._fold()
        if self.teacher is not None:
            self.teacher.release()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gate without noise, or with the masks where the weights are of a checkpoint."""
        core = find_core(pl_module)
        if self.loaded is not None:
            if self.gating.model is not core:
                self._gate(core)
            self.gating.set(self.masks)
        elif self.ready and self.gating.model is core:
            self.gating.set(self._values())

    on_test_start = on_predict_start = on_validation_start

    # Masks.

    def _values(self) -> Mapping[str, Tensor]:
        """What multiplies the units of the masked model: soft gate values until they are folded into the weights."""
        if self._settled is not None:
            return self._settled
        settled = self.gates.settled()
        return {name: settled[name] * mask for name, mask in self.constrained.choose().items()}

    def _factors(self, values: Mapping[str, Tensor]) -> Pairs:
        groups = self.gating.groups
        return list(output_factors(self.gating.parameters, groups, effective(groups, values)))

    def pairs(self) -> Pairs:
        return self._factors(self._values()) if self.ready else []

    def _fix_masks(self) -> None:
        """Fold the soft gates into the weights; from here on the masks are 0 or 1 and do not change."""
        masks = self.constrained.choose()
        self._fold()
        self._settled = masks
        self.gating.set(masks)

    def _fold(self) -> None:
        groups = self.gating.groups
        scale_outputs(self.gating.parameters, groups, effective(groups, self._values()))

    def note_checkpoint(self, trainer: Trainer) -> None:
        super().note_checkpoint(trainer)
        values = effective(self.gating.groups, self._values() if self.ready else {})
        if not self._warned and any(bool((values[name] == 0).any()) for name in self.gating.normalised):
            self._warned = True
            rank_zero_warn(
                f"{type(self).__name__}: hidden dims are removed, which the LayerNorms of a checkpoint still count "
                "where it is loaded without the callback: evaluate it with the callback, or export the model"
            )

    def mask_set(self) -> MaskSet:
        return self._settled if self._settled is not None else self.constrained.choose()

    def measure(self) -> float:
        return self.constrained.saved(self.mask_set())

    @property
    def grain(self) -> float:
        return self.constrained.grain

    def metrics(self) -> dict[str, float]:
        return {**{name: float(value) for name, value in self._last.items()}, **self.constrained.metrics()}

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

    def set_state(self, state: dict[str, Any]) -> None:
        self.gates.load_state_dict(state["gates"])
        self.constraint.load_state_dict(state["constraint"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        if self.teacher is not None:
            self.teacher.load_state_dict(state["distillation"])
        self._settled = None if state["settled"] is None else MaskSet(state["settled"])
