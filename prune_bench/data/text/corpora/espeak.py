"""Sentences of the synthetic speech's grammar, of which the spoken ones of its training split are the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prune_bench.config import TextConfig
from prune_bench.data import grammar
from prune_bench.data.text.corpora.source import TextLine, TextSpec


def generate(config: TextConfig) -> Iterator[TextLine]:
    for number, text in enumerate(grammar.sentences("train", config.sentences, config.seed), start=1):
        yield TextLine(text, f"sentence {number}")


def fingerprint(config: TextConfig) -> Any:
    return [config.sentences, config.seed, grammar.source("en").content]


TEXT = TextSpec(name="espeak", generate=generate, fingerprint=fingerprint)
