"""Corpora of text by name; a new one is a module with its record, and a line here."""

from __future__ import annotations

from prune_bench.data.text.corpora.source import TextLine, TextSpec
from prune_bench.registry import Registry

TEXTS: Registry[TextSpec] = Registry(
    "text.name",
    "TEXT",
    {
        "espeak": "prune_bench.data.text.corpora.espeak",
        "wikitext2": "prune_bench.data.text.corpora.wikitext2",
        "librispeech-lm": "prune_bench.data.text.corpora.librispeech_lm",
        "files": "prune_bench.data.text.corpora.files",
    },
    group="prune_bench.texts",
)

__all__ = ["TEXTS", "TextLine", "TextSpec"]
