"""Corpora by name; a new one is a module with a class that follows `Source` and its record, and a line here."""

from __future__ import annotations

from prune_bench.data.corpora.source import CorpusSpec, Source, Utterance
from prune_bench.registry import Registry

CORPORA: Registry[CorpusSpec] = Registry(
    "corpus.name",
    "CORPUS",
    {
        "espeak": "prune_bench.data.corpora.espeak",
        "fsdd": "prune_bench.data.corpora.fsdd",
        "librispeech": "prune_bench.data.corpora.librispeech",
        "commonvoice": "prune_bench.data.corpora.commonvoice",
        "manifest": "prune_bench.data.corpora.manifest",
    },
    group="prune_bench.corpora",
)

__all__ = ["CORPORA", "CorpusSpec", "Source", "Utterance"]
