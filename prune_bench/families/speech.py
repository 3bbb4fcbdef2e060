"""What recognisers share: speech to read, error rates to be judged by."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prune_bench.config import FitConfig
from prune_bench.data import Batch, Corpus, SpeechData, prepare
from prune_bench.families.record import Experiment, Progress
from prune_bench.measurement.evaluation import by_split, evaluate, part_of

JUDGED = ("dev-clean", "dev-other", "test-clean", "test-other")


class SpeechExperiment(Experiment):
    """A recogniser; a family adds its task and its decoding."""

    def recognise(self, model: Any, batch: Batch) -> list[list[int]]:
        """The tokens of each utterance, decoded greedily."""
        raise NotImplementedError

    def batch_frames(self, model: Any) -> int:
        """How much a batch of evaluation may hold."""
        return self.config.measurement.batch_frames

    def open(self, cache: Path, progress: bool) -> Corpus:
        return prepare(self.config, cache, progress)

    def make_data(self, corpus: Corpus, fit: FitConfig) -> SpeechData:
        return SpeechData(corpus, fit, self.config.seed)

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
