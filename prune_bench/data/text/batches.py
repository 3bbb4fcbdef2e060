"""Batches of sentences: endless and resumable for training, fixed for evaluation, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from prune_bench.config import FitConfig
from prune_bench.data.batches import LENGTH_JITTER, BatchStream, by_frames, loader, place_of
from prune_bench.data.text.store import TextStore
from prune_bench.models.transformer_lm import BORDER

IGNORED = -100
WINDOW = 8192
EVALUATION_TOKENS = 16384


class TextBatch(NamedTuple):
    """`tokens` (B, U) begin with the border and are padded with it, `targets` (B, U) are what follows each, the border
    last, padded with `IGNORED`; `lengths` (B,) counts targets, `indices` (B,) are places in the store."""

    tokens: Tensor
    targets: Tensor
    lengths: Tensor
    indices: Tensor


class Sentences(Dataset[TextBatch]):
    """A store whose items are asked for by the batch."""

    def __init__(self, store: TextStore) -> None:
        self.store = store

    def __getitems__(self, indices: Sequence[int]) -> TextBatch:
        sentences, border = [torch.from_numpy(self.store[index]) for index in indices], torch.tensor([BORDER])
        return TextBatch(
            tokens=pad_sequence([torch.cat((border, sentence)) for sentence in sentences], True, BORDER),
            targets=pad_sequence([torch.cat((sentence, border)) for sentence in sentences], True, IGNORED),
            lengths=torch.tensor([len(sentence) + 1 for sentence in sentences]),
            indices=torch.tensor(indices),
        )


class TextStream(BatchStream):
    """Batches of sentences of similar length, at most `frames` tokens with padding, an epoch being a window.

    Sentences are met in steps of a fixed stride through the store, so that no order of all of them is ever held; a
    window of them is sorted by length. A pass over the data has a stride and a first sentence of its own.
    """

    def __init__(self, store: TextStore, frames: int, seed: int, *place: Any) -> None:
        super().__init__(np.empty(0), frames, seed, *place)
        self.store = store

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of one window, shuffled."""
        count = len(self.store)
        windows = math.ceil(count / WINDOW)
        turn, window = divmod(number, windows)
        chosen = stride(count, self.seed, turn, np.arange(window * WINDOW, min(count, (window + 1) * WINDOW)))
        random = np.random.default_rng([self.seed, number, 1])
        lengths = self.store.lengths(chosen) + 1
        jitter = random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(chosen))
        batches = by_frames(np.argsort(lengths * jitter, kind="stable"), lengths, self.frames)
        return [chosen[batches[place]] for place in random.permutation(len(batches))]


def stride(count: int, seed: int, turn: int, places: np.ndarray) -> np.ndarray:
    """The entries at `places` of a permutation of 0..count-1 that is computed, not held in memory."""
    random = np.random.default_rng([seed, turn])
    first, step = int(random.integers(count)), int(random.integers(count)) | 1
    while math.gcd(step, count) != 1:
        step += 1
    return (first + places * step) % count


def text_evaluation(
    store: TextStore, tokens: int = EVALUATION_TOKENS, rank: int = 0, processes: int = 1
) -> DataLoader[TextBatch]:
    """Every sentence once, longest first, in fixed batches of at most `tokens` tokens."""
    lengths = store.lengths(np.arange(len(store))) + 1
    batches = by_frames(np.argsort(-lengths, kind="stable"), lengths, tokens)
    return loader(Sentences(store), [batch[rank::processes].tolist() for batch in batches if len(batch) > rank])


class TextData(lightning.LightningDataModule):
    """Training stream and development batches of one fit of a language model; see `SpeechData`."""

    def __init__(self, splits: dict[str, TextStore], fit: FitConfig, seed: int) -> None:
        super().__init__()
        self.splits, self.fit, self.seed = splits, fit, seed

    def train_dataloader(self) -> DataLoader[TextBatch]:
        trainer, store = self.trainer, self.splits["train"]
        assert trainer is not None
        stream = TextStream(store, self.fit.frames, self.seed, *place_of(trainer))
        return loader(Sentences(store), stream, workers=2 if torch.cuda.is_available() else 0)

    def val_dataloader(self) -> DataLoader[TextBatch]:
        assert self.trainer is not None
        return text_evaluation(self.splits["dev"], rank=self.trainer.global_rank, processes=self.trainer.world_size)
