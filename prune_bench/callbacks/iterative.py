"""Iterative magnitude pruning with rewinding."""

from __future__ import annotations

from typing import Any

from lightning import LightningModule, Trainer
from torch import Tensor

from prune_bench.callbacks.magnitude import ScoredPruning
from prune_bench.pruning.schedules import Rounds, Schedule, round_targets


class IMP(ScoredPruning):
    """Train, remove a tenth, rewind, until `sparsity` is reached; then train what is left (Frankle & Carbin, 2019).

    The rounds share the fit's updates but for its last fraction `final`, which trains the finished mask. After a round
    weights are ranked as trained, what was removed before stays removed, and then all of the module goes back to
    where the fit began, its optimizers without memory; a learning rate schedule runs on. `step` is "original10" or
    "remaining10": see `round_targets`. Checkpoints carry the starting weights.
    """

    def __init__(self, sparsity: float, step: str = "original10", final: float = 0.5, **options: Any):
        super().__init__(sparsity, **options)
        self.targets = round_targets(sparsity, step)
        self.final = final
        self._origin: dict[str, Tensor] = {}

    @property
    def rounds(self) -> int:
        """Rounds of pruning; with the last training, one more fine-tuning than that."""
        return len(self.targets)

    def schedule(self, updates: int) -> Schedule:
        length = int((1 - self.final) * updates) // max(1, self.rounds)
        if length == 0:
            share = f"{1 - self.final:.0%} of the fit's {updates} updates"
            raise ValueError(f"{self.rounds} rounds need more than {share}: train longer or lower final={self.final}")
        return Rounds(self.targets, length)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._restored is None:
            self._origin = {name: value.detach().clone() for name, value in pl_module.state_dict().items()}
        super().on_fit_start(trainer, pl_module)

    def after_draw(self, trainer: Trainer) -> None:
        trainer.lightning_module.load_state_dict(self._origin)
        self.pruner.structure.apply(self.masks)
        for optimizer in trainer.optimizers:
            optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "origin": self._origin}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._origin = state_dict["origin"]
