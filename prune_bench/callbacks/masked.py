"""A fit whose checkpoints, and the module that it leaves, are the masked model."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer

from prune_bench.callbacks.base import PruningCallback
from prune_bench.callbacks.checkpoints import MaskedCheckpoints, Pairs
from prune_bench.pruning.method import Method


class MaskedFit(PruningCallback):
    """What is saved of a fit is the masked model, and so is what it leaves, also where it is interrupted."""

    def __init__(self, method: Method, sparsity: float, key: dict[str, Any]):
        super().__init__(method, sparsity, key)
        self._restored: dict[str, Any] | None = None
        self._saving: MaskedCheckpoints | None = None

    def pairs(self) -> Pairs:
        """Parameters and what multiplies them in the masked model, in a shape that does."""
        raise NotImplementedError

    def mask_module(self) -> None:
        """Make the module of a fit the masked model."""
        raise NotImplementedError

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._leave_fit()
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self._saving = MaskedCheckpoints.join(pl_module, self)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave_fit()
        super().on_fit_end(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._leave_fit()
        super().teardown(trainer, pl_module, stage)

    def _leave_fit(self) -> None:
        if self._begun:
            self.mask_module()
            self._begun = False
        if self._saving is not None:
            self._saving.leave(self)
            self._saving = None

    def resume(self, state: dict[str, Any]) -> None:
        self._restored = state
        if self._begun:  # a tuner goes back to where it began
            self.restore()

    def restore(self) -> bool:
        """Go on from the state that was loaded, if one was."""
        state, self._restored = self._restored, None
        if state is not None:
            super().resume(state)
            self.set_state(state)
        return state is not None

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over `own_state` as it was saved."""
        raise NotImplementedError
