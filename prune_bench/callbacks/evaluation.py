"""Validation, test and prediction of the masked model, while the fit trains another or others average it."""

from __future__ import annotations

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

from prune_bench.callbacks.checkpoints import masked
from prune_bench.callbacks.masked import MaskedFit


def averages(trainer: Trainer) -> bool:
    """Whether a callback averages weights, and exchanges them."""
    kinds = (WeightAveraging, StochasticWeightAveraging)
    return any(isinstance(one, kinds) for one in trainer.callbacks)  # type: ignore[attr-defined]


class MaskedEvaluation(MaskedFit):
    """Masks hold within each batch of an evaluation: others exchange weights between the batches and a loop's ends.

    Outside a fit a module holds masked weights, of the fit's end or of a checkpoint, unless others average them.
    """

    _inside: Any = None

    def _enter(self, trainer: Trainer) -> None:
        if averages(trainer) or (self.fitting and not self.method.revival.holds):
            self._inside = masked(self.pairs())
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
