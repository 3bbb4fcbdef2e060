"""Corpora to batches."""

from prune_bench.data.audio import LogMel, SpecAugment, read_audio
from prune_bench.data.batches import Batch, SpeechData, evaluation_batches
from prune_bench.data.corpus import Corpus, prepare, prepare_unlabelled
from prune_bench.data.store import FeatureStore

__all__ = [
    "Batch",
    "Corpus",
    "FeatureStore",
    "LogMel",
    "SpecAugment",
    "SpeechData",
    "evaluation_batches",
    "prepare",
    "prepare_unlabelled",
    "read_audio",
]
