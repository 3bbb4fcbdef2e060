"""What a sweep asks of a kind of model, and what all recognisers answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning import LightningDataModule
from torch import Tensor

from prune_bench.config import Config, FitConfig
from prune_bench.data import Batch, Corpus, SpeechData, prepare
from prune_bench.data.tokenizers import Tokenizer
from prune_bench.measurement.evaluation import Progress, by_split, evaluate, part_of
from prune_bench.tasks.training import TrainingTask

JUDGED = ("dev-clean", "dev-other", "test-clean", "test-other")


class Subject(Protocol):
    """One configuration's model: what it reads, how it is made, started and measured."""

    def open(self, cache: Path, progress: bool) -> Any:
        """What it reads, made in folder `cache`, or opened if made before; it has a `tokenizer`."""

    def make_data(self, corpus: Any, run: FitConfig) -> LightningDataModule:
        """Batches for one fit."""

    def make_task(self, run: FitConfig, tokenizer: Tokenizer) -> TrainingTask:
        """A model in training, at random weights or those of a published checkpoint."""

    def adopt(self, model: Any, source: Any) -> None:
        """Give `model` the weights of a finished one. ValueError when they do not fit."""

    def judge(self, model: Any, corpus: Any, progress: Progress) -> dict[str, Any]:
        """Columns of a row that tell how good `model` is, which lies on the device to use."""

    def example(self, model: Any) -> tuple[Tensor | None, ...]:
        """Inputs of `model` on which two models can be compared."""

    def count_flops(self, model: Any) -> dict[str, int]:
        """Operations of `blocks` and of the whole `encoder` for `pruning.reference_seconds` of speech."""

    def describe(self, model: Any, dense: Any) -> dict[str, Any]:
        """Columns of a row that tell what is left of each layer."""


@runtime_checkable
class Timed(Protocol):
    """A subject whose models are timed."""

    def time(self, models: Mapping[str, Any], corpus: Any, progress: Progress) -> dict[str, Any]:
        """Seconds that each model takes, all timed side by side, and `_protocol`: how."""


@runtime_checkable
class Listener(Protocol):
    """A subject whose models begin with layers that are not trained."""

    def listen(self, corpus: Any, model: Any, cache: Path, progress: Progress) -> Any:
        """The corpus with what those layers make of it, computed once for all fits in folder `cache`."""


class Recognizer:
    """What recognisers share: speech to read, error rates to be judged by."""

    def __init__(self, config: Config):
        self.config = config

    def recognise(self, model: Any, batch: Batch) -> list[list[int]]:
        """The units of each utterance, decoded greedily."""
        raise NotImplementedError

    def batch_frames(self, model: Any) -> int:
        """How much a batch of evaluation may hold."""
        return self.config.measurement.batch_frames

    def open(self, cache: Path, progress: bool) -> Corpus:
        return prepare(self.config, cache, progress)

    def make_data(self, corpus: Corpus, run: FitConfig) -> SpeechData:
        return SpeechData(corpus, run, self.config.seed)

    def judge(self, model: Any, corpus: Corpus, progress: Progress) -> dict[str, Any]:
        """Error rates of the four splits, with intervals and with the counts of each utterance."""
        stores = {split: corpus.splits[split] for split in JUDGED}
        total, done, results = sum(map(len, stores.values())), 0, {}
        for split, store in stores.items():
            results[split] = evaluate(
                model,
                partial(self.recognise, model),
                store,
                corpus.tokenizer,
                self.batch_frames(model),
                progress=part_of(progress, done, total),
                samples=self.config.measurement.bootstrap,
            )
            done += len(store)
        return by_split(results)
