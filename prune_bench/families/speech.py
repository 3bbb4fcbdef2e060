"""What recognisers share: speech to read, error rates to be judged by."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prune_bench.config import FitConfig
from prune_bench.data import Batch, Corpus, SpeechData, prepare
from prune_bench.families.counts import word_errors
from prune_bench.families.quantities import Columns, Quantity, Timing, column
from prune_bench.families.record import Experiment, Progress
from prune_bench.families.rows import Finished
from prune_bench.measurement.evaluation import by_split, evaluate, part_of
from prune_bench.pruning.methods import find_method


class SpeechRow(Finished):
    """Errors and words of each utterance, by split."""

    utterances: dict[str, dict[str, list[int]]]


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
        """Error rates of all splits but training, with intervals and with the counts of each utterance."""
        total, done, results = sum(map(len, corpus.judged.values())), 0, {}
        for split, store in corpus.judged.items():
            results[split] = evaluate(
                model,
                partial(self.recognise, model),
                store,
                corpus.tokenizer,
                self.batch_frames(model),
                progress=part_of(progress, done, total),
            )
            done += len(store)
        return by_split(results)


def training_operations(row: Columns, timing: Timing, which: str) -> float | None:
    """Operations of all fits in 10^12: the counted ones of a forward pass, three times for each batch of an update.

    An upper bound: frozen convolutions have no backward pass, and all fits are taken to have the last one's batches.
    """
    if row.get("updates.total") is None or "flops.encoder" not in row:
        return None
    config = row["config"]
    features, fit = config["features"], config[find_method(row["method"]).fit]
    frame = 1 / features["sample_rate"] if features["kind"] == "waveform" else features["hop_ms"] / 1000
    speech = row["updates.total"] * fit["accumulate"] * fit["frames"] * frame
    return 3 * row["flops.encoder"] * speech / config["pruning"]["reference_seconds"] / 1e12


ERROR_RATES = {"wer.*": Quantity(title="WER %", group="*", read=column("wer.*"), ratio=word_errors)}
SCORES = ("wer.*",)
TRAINING = {"flops.training": Quantity(title="10^12", group="operations of training", read=training_operations)}
