"""What a sweep asks of a kind of model."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from prune_bench.config import FitConfig
from prune_bench.data.batches import Batch
from prune_bench.data.tokenizers import Tokenizer
from prune_bench.tasks.recognition import RecognitionTask


class Recognizer(Protocol):
    """One configuration's model: how it is made, started, read and measured."""

    def make_task(self, run: FitConfig, tokenizer: Tokenizer) -> RecognitionTask:
        """A model in training, at random weights or those of a published checkpoint."""

    def adopt(self, model: Any, source: Any) -> None:
        """Give `model` the weights of a finished one. ValueError when they do not fit."""

    def recognise(self, model: Any, batch: Batch) -> list[list[int]]:
        """The units of each utterance, decoded greedily."""

    def batch_frames(self, model: Any) -> int:
        """How much a batch of evaluation may hold."""

    def example(self, model: Any) -> tuple[Tensor | None, ...]:
        """Inputs of `model` on which two models can be compared."""

    def count_flops(self, model: Any) -> dict[str, int]:
        """Operations of `blocks` and of the whole `encoder` for `pruning.reference_seconds` of speech."""

    def describe(self, model: Any, dense: Any) -> dict[str, Any]:
        """Columns of a row that tell what is left of each layer."""
