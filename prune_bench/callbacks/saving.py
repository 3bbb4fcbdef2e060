"""What of a fit's masks is kept: in checkpoints, for models on the way, and in the module that is left."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from prune_bench.callbacks.bindings import Binding
from prune_bench.callbacks.checkpoints import MaskedCheckpoints, Pairs
from prune_bench.callbacks.evaluation import MaskedEvaluation, averages
from prune_bench.pruning.method import Method
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.targets import find_core

Kept = tuple[int, dict[str, Tensor], dict[str, Tensor]]


class SavedMasks(MaskedEvaluation):
    """A pruner whose state travels in checkpoints, and the module that it leaves."""

    binding: Binding

    def __init__(self, method: Method, sparsity: float, key: dict[str, Any]):
        super().__init__(method, sparsity, key)
        self._pruner: Pruner | None = None
        self._origin: dict[str, Tensor] = {}
        self._kept: dict[float, Kept] = {}

    @property
    def pruner(self) -> Pruner:
        if self._pruner is None:
            raise RuntimeError(f"{type(self).__name__} has pruned nothing before trainer.fit")
        return self._pruner

    @property
    def ready(self) -> bool:
        return self._pruner is not None

    def mask_module(self) -> None:
        self.pruner.release()
        if self.pruner.masks:
            self.pruner.structure.apply(self.pruner.masks)
        self.pruner.batches = None

    def pairs(self) -> Pairs:
        if self._pruner is None or not (self.ready and self.masks):
            return []
        return list(self.pruner.structure.factors(self.masks))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self._saving is None and averages(trainer):
            MaskedCheckpoints.join(pl_module, self, once=True)

    def own_state(self) -> dict[str, Any]:
        return {"pruner": self.pruner.state_dict(), "kept": self._kept, "origin": self._origin}

    def set_state(self, state: dict[str, Any]) -> None:
        self._origin, self._kept = state["origin"], state["kept"]
        self.pruner.load_state_dict(state["pruner"])

    def keep(self, module: nn.Module, step: int, size: float) -> None:
        """Remember the model as it is at one of the sizes that a run delivers on its way."""
        self.pruner.structure.apply(self.pruner.masks)
        state = {name: value.detach().cpu().clone() for name, value in all_tensors(find_core(module))}
        self._kept[size] = (step, state, dict(self.pruner.masks))

    def export_sizes(self, model: nn.Module) -> dict[float, tuple[int, nn.Module]]:
        """By size, the updates made and the model as it was then, to keep like `export`'s."""
        kept: dict[float, tuple[int, nn.Module]] = {}
        for size, (step, state, masks) in self._kept.items():
            then = copy.deepcopy(model)
            with torch.no_grad():
                for name, value in all_tensors(then):
                    value.copy_(state[name])
            kept[size] = step, self.binding.export(then, masks)
        return kept


def all_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module, whatever its `state_dict` makes of them."""
    yield from module.named_parameters()
    yield from module.named_buffers()
