"""Batches of features and targets: endless and resumable for training, fixed for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from prune_bench.config import FitConfig
from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Tokenizer

if TYPE_CHECKING:
    from prune_bench.data.corpus import Corpus

LENGTH_JITTER = 0.1
EVALUATION_FRAMES = 40000


class Batch(NamedTuple):
    """`features` (B, T, mels) float32, `lengths` (B,) frames, `targets` (B, U) tokens padded with 0,
    `target_lengths` (B,), `indices` (B,) places in the store; integers are int64."""

    features: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    indices: Tensor


class Examples(Dataset[Batch]):
    """A store whose items are asked for by the batch."""

    def __init__(self, store: FeatureStore, tokenizer: Tokenizer | None) -> None:
        self.store = store
        encode = tokenizer.encode if tokenizer else lambda text: []
        self.targets = [torch.tensor(encode(text), dtype=torch.long) for text in store.texts]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        targets = [self.targets[index] for index in indices]
        return Batch(
            features=pad_sequence([self.store[index] for index in indices], batch_first=True),
            lengths=torch.from_numpy(self.store.lengths[list(indices)]),
            targets=pad_sequence(targets, batch_first=True),
            target_lengths=torch.tensor([len(target) for target in targets]),
            indices=torch.tensor(indices),
        )


def by_frames(order: np.ndarray, lengths: np.ndarray, frames: int) -> list[np.ndarray]:
    """Cut `order` into batches of at most `frames` frames, padding included; a longer utterance stands alone."""
    batches, first, longest = [], 0, 0
    for place, index in enumerate(order):
        longest = max(longest, int(lengths[index]))
        if place > first and (place - first + 1) * longest > frames:
            batches.append(order[first:place])
            first, longest = place, int(lengths[index])
    return [*batches, order[first:]]


class BatchStream(Sampler[list[int]]):
    """Endless batches of utterances of similar length, `frames` over all processes, from batch number `start()` on.

    Which batch comes at which number depends on (lengths, frames, seed) alone: a resumed or differently sharded run
    meets the same batches. Each process takes every `processes`-th utterance of each batch, from `rank` on.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        frames: int,
        seed: int,
        start: Callable[[], int] = int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.lengths, self.frames, self.seed = lengths, frames, seed
        self.start, self.rank, self.processes = start, rank, processes

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of one pass over the data, shuffled."""
        random = np.random.default_rng([self.seed, number])
        jitter = random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(self.lengths))
        batches = by_frames(np.argsort(self.lengths * jitter, kind="stable"), self.lengths, self.frames)
        return [batches[place] for place in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        number, skipped = 0, self.start()
        while True:
            batches = self.epoch(number)
            for batch in batches[skipped:]:
                yield (batch[self.rank :: self.processes] if len(batch) > self.rank else batch[:1]).tolist()
            number, skipped = number + 1, max(0, skipped - len(batches))


def collated(batch: Any) -> Any:
    return batch


def loader(examples: Dataset[Any], batches: Sampler[list[int]] | list[list[int]], workers: int = 0) -> DataLoader[Any]:
    """Batches in the given order; the loader's own generator leaves the global one alone."""
    return DataLoader(
        examples, batch_sampler=batches, collate_fn=collated, num_workers=workers, generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(), persistent_workers=workers > 0,
    )  # fmt: skip


def evaluation_batches(
    store: FeatureStore, frames: int, tokenizer: Tokenizer | None = None, rank: int = 0, processes: int = 1
) -> DataLoader[Batch]:
    """Every utterance once, longest first, in fixed batches of at most `frames` frames; no targets without tokenizer.

    With several processes each takes every `processes`-th utterance of a batch: together they hold every one once.
    """
    order = np.argsort(-store.lengths, kind="stable")
    batches = by_frames(order, store.lengths, frames)
    return loader(
        Examples(store, tokenizer), [batch[rank::processes].tolist() for batch in batches if len(batch) > rank]
    )


def first_batch(trainer: lightning.Trainer) -> int:
    """Number of batches behind the optimiser steps taken so far."""
    return trainer.global_step * trainer.accumulate_grad_batches


def forget_partial_step(trainer: lightning.Trainer) -> None:
    """Count batches from the last optimiser step again.

    A checkpoint written between two optimiser steps holds no gradients, so a resumed fit must see the batches since
    the last step once more; Lightning would count them as seen and step early.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    surplus = progress.current.ready % trainer.accumulate_grad_batches
    for tracker in (progress.current, progress.total) if surplus else ():
        stages = ("ready", "started", "processed", "completed")
        vars(tracker).update(dict.fromkeys(stages, tracker.ready - surplus))


def place_of(trainer: lightning.Trainer) -> tuple[Callable[[], int], int, int]:
    """Where a fit's stream goes on: its first batch, this process and how many there are."""
    forget_partial_step(trainer)
    return partial(first_batch, trainer), trainer.global_rank, trainer.world_size


class SpeechData(lightning.LightningDataModule):
    """Training stream of one fit, and batches of the first development split.

    The fit ends by `max_steps`, the stream never does; use `Trainer(use_distributed_sampler=False)`, as each process
    takes its own share. A resumed fit starts at the batch after its last optimiser step.
    """

    def __init__(self, corpus: Corpus, fit: FitConfig, seed: int) -> None:
        super().__init__()
        self.corpus, self.fit, self.seed = corpus, fit, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        trainer, store = self.trainer, self.corpus.splits["train"]
        assert trainer is not None
        stream = BatchStream(store.lengths, self.fit.frames, self.seed, *place_of(trainer))
        read = store if self.corpus.front_end is None else self.corpus.front_end
        return loader(Examples(read, self.corpus.tokenizer), stream, workers=2 if torch.cuda.is_available() else 0)

    def val_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        store = next(iter(self.corpus.kind("dev").values()))
        return evaluation_batches(store, EVALUATION_FRAMES, self.corpus.tokenizer, rank, processes)
