"""What optimizers remember, and what they are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lightning import Trainer
from torch import Tensor
from torch.optim import Optimizer

from prune_bench.pruning.structures import Structure


def loss_scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """How much too large gradients are before an optimizer that undoes the scaling of 16-bit losses itself."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    handled = getattr(optimizer, "_step_supports_amp_scaling", False)
    return scaler.get_scale() if scaler is not None and handled else 1.0


def is_skipped(trainer: Trainer, optimizer: Optimizer) -> bool:
    """Whether the gradients overflowed under the scaling of 16-bit losses, so that no update will follow."""
    if getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    moved = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return any(parameter.grad is not None and not bool(parameter.grad.isfinite().all()) for parameter in moved)


def clear_moments(
    optimizers: Iterable[Optimizer], structure: Structure, before: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> None:
    """Zero what optimizers remember of removed and of regrown entries; all of what was given other values."""
    lasting = {name: mask & before[name] if name in before else mask for name, mask in masks.items()}
    for optimizer in optimizers:
        for parameter in structure.replaced:
            optimizer.state.pop(parameter, None)
        for parameter, factor in structure.factors(lasting):
            for moment in optimizer.state.get(parameter, {}).values():
                if isinstance(moment, Tensor) and moment.shape == parameter.shape:
                    moment.mul_(factor.to(moment.device))
