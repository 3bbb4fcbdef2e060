"""Warnings where a fit, or the best checkpoint that it kept, has another sparsity than the asked one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_warn


class SparsityWarning(UserWarning):
    """A fit ended at another sparsity than the asked one, or kept a best checkpoint of another."""


warnings.simplefilter("always", SparsityWarning)  # each fit of a process warns, also in the words of one before


class BestCheckpoints:
    """The sparsities that held when best checkpoints were written, by path."""

    def __init__(self) -> None:
        self.sparsities: dict[str, float] = {}
        self._scores: dict[str, float] = {}

    def note(self, trainer: Trainer, sparsity: float) -> None:
        """Take in what is the best when a checkpoint is written: Lightning calls one so before it writes it."""
        for saver in _monitoring(trainer):
            path, score = saver.best_model_path, float(saver.best_model_score or 0.0)
            if path not in self.sparsities or self._scores.get(path, score) != score:
                self.sparsities[path] = sparsity
            self._scores[path] = score

    def below(self, trainer: Trainer, sparsity: float) -> Iterator[tuple[str, float]]:
        """The best checkpoints of less than `sparsity`, with theirs."""
        for saver in _monitoring(trainer):
            held = self.sparsities.get(saver.best_model_path, sparsity)
            if held < sparsity:
                yield saver.best_model_path, held


def warn(message: str) -> None:
    """Warn on the first rank."""
    rank_zero_warn(message, category=SparsityWarning)


def _monitoring(trainer: Trainer) -> Iterator[ModelCheckpoint]:
    """The callbacks that keep a best checkpoint, and have one."""
    for saver in trainer.checkpoint_callbacks:
        if isinstance(saver, ModelCheckpoint) and saver.monitor and saver.best_model_path:
            yield saver
