"""The kinds of model that a sweep trains, by `task`; a new one follows `Recognizer` and stands here."""

from __future__ import annotations

from collections.abc import Callable

from prune_bench.config import Config
from prune_bench.recognizers.base import Recognizer
from prune_bench.recognizers.ctc import CtcRecognizer
from prune_bench.recognizers.transducer import TransducerRecognizer

RECOGNIZERS: dict[str, Callable[[Config], Recognizer]] = {"transducer": TransducerRecognizer, "ctc": CtcRecognizer}

__all__ = ["RECOGNIZERS", "Recognizer", "recognizer_of"]


def recognizer_of(config: Config) -> Recognizer:
    """The kind of model that `config` describes."""
    return RECOGNIZERS[config.task](config)
