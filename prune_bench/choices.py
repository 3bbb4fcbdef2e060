"""Which values a configuration may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

from prune_bench.config import Config, CorpusConfig, FitConfig
from prune_bench.data.corpora import CORPORA
from prune_bench.data.text.corpora import TEXTS
from prune_bench.families import FAMILIES, family_of
from prune_bench.pruning.knobs import KNOB_CHOICES, check_knobs

FOR_ALL = ("name", "language", "joint", "targets", "on_bad")
OF_FITS = {"precision": ("auto", "32-true", "bf16-mixed"), "schedule": ("cosine", "tri_stage")}
COMMON: dict[str, tuple[str, ...]] = {
    "corpus.on_bad": ("fail", "skip"),
    "corpus.targets": ("words", "phones"),
    "corpus.labels": ("", "10min", "1h", "10h"),
    "features.kind": ("log_mel", "waveform"),
    "tokenizer.kind": ("characters", "sentencepiece", "words"),
    **{f"pruning.{knob}": choices for knob, choices in KNOB_CHOICES.items()},
    "wandb.mode": ("offline", "online", "disabled"),
    "execution.launcher": ("local", "slurm"),
}


def choices(config: Config) -> dict[str, tuple[str, ...]]:
    """The values that a key may have, where not any will do: common ones, each family's, those of every fit."""
    speech = dict.fromkeys(("corpus.name", "pretraining.corpus"), CORPORA.names)
    choices = {"task": FAMILIES.names, **speech, "text.name": TEXTS.names, **COMMON}
    for family in FAMILIES:
        choices |= family.choices
    return choices | {f"{name}.{key}": known for name, _ in fits(config) for key, known in OF_FITS.items()}


def fits(section: Any, prefix: str = "") -> Iterator[tuple[str, FitConfig]]:
    """Every fit of a configuration with its key."""
    for name, value in vars(section).items():
        if isinstance(value, FitConfig):
            yield prefix + name, value
        elif is_dataclass(value):
            yield from fits(value, f"{prefix}{name}.")


def check(config: Config) -> None:
    """Raise ValueError for values no run can have."""
    if not 0.0 <= config.sparsity < 1.0:
        raise ValueError(f"sparsity={config.sparsity}: give the removed fraction, at least 0 and below 1")
    for name, fit in fits(config):
        for key in ("steps", "frames", "accumulate", "devices", "checkpoint_every"):
            if getattr(fit, key) < 1:
                raise ValueError(f"{name}.{key}={getattr(fit, key)}: must be at least 1")
        if fit.clip < 0:
            raise ValueError(f"{name}.clip={fit.clip}: must be a norm, or 0 for no clipping")
        if fit.schedule == "tri_stage" and fit.warmup + fit.hold > 1:
            raise ValueError(f"{name}.warmup={fit.warmup} and {name}.hold={fit.hold}: together at most 1")
    check_language(config.corpus)
    check_knobs(config.pruning, "pruning.")
    if config.measurement.fused and family_of(config).recogniser is None:
        raise ValueError(f"measurement.fused=true: models of task={config.task} help no recogniser")
    for family in FAMILIES:
        if isinstance(config, family.config):
            family.check(config)


def check_language(corpus: CorpusConfig) -> None:
    """Raise ValueError where a corpus does not have a language that is asked of it."""
    known = CORPORA.find(corpus.name).languages
    asked = corpus.joint or corpus.language
    if known and not set(asked.split("+")) <= set(known):
        remedy = "add for example corpus=commonvoice"
        raise ValueError(f"corpus.language={asked}: {corpus.name} has {', '.join(known)} alone; {remedy}")


def check_options(corpus: CorpusConfig, given: Iterable[str]) -> None:
    """Raise ValueError for keys of the section `corpus`, `given` in a command, that the corpus does not read."""
    read = (*CORPORA.find(corpus.name).options, *FOR_ALL)
    for key in given:
        section, _, option = key.partition(".")
        if section == "corpus" and option not in read and getattr(corpus, option) != getattr(CorpusConfig(), option):
            raise ValueError(f"{key}: corpus.name={corpus.name} does not read it; it reads {', '.join(read)}")
