"""Corpora by name; a new one is a class that follows `Source` and a line here."""

from __future__ import annotations

from collections.abc import Callable

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.corpora.commonvoice import CommonVoice
from prune_bench.data.corpora.espeak import Espeak
from prune_bench.data.corpora.fsdd import Fsdd
from prune_bench.data.corpora.librispeech import LibriSpeech
from prune_bench.data.corpora.manifest import Manifest
from prune_bench.data.corpora.source import SPLITS, Source, Utterance

CORPORA: dict[str, Callable[[CorpusConfig, FeatureConfig], Source]] = {
    "espeak": Espeak,
    "fsdd": Fsdd,
    "librispeech": LibriSpeech,
    "commonvoice": CommonVoice,
    "manifest": Manifest,
}

__all__ = ["CORPORA", "SPLITS", "Source", "Utterance"]
