"""The kinds of model that a sweep trains, by `task`; a new one follows `Subject` and stands here."""

from __future__ import annotations

from collections.abc import Callable

from prune_bench.config import Config
from prune_bench.subjects.base import Subject, Timed
from prune_bench.subjects.ctc import CtcRecognizer
from prune_bench.subjects.language_model import LanguageModelSubject
from prune_bench.subjects.transducer import TransducerRecognizer

SUBJECTS: dict[str, Callable[[Config], Subject]] = {
    "transducer": TransducerRecognizer,
    "ctc": CtcRecognizer,
    "language_model": LanguageModelSubject,
}

__all__ = ["SUBJECTS", "Subject", "Timed", "subject_of"]


def subject_of(config: Config) -> Subject:
    """The kind of model that `config` describes."""
    return SUBJECTS[config.task](config)
