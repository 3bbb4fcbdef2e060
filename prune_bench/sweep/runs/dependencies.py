"""A run's dependencies, its fit and its name."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from prune_bench.config import Config, FitConfig
from prune_bench.families import family_of
from prune_bench.identity import identity, sections
from prune_bench.pruning.axes import MASKS
from prune_bench.pruning.knobs import read_sparsities
from prune_bench.pruning.methods import ROUND, SINGLE, find_method
from prune_bench.pruning.plans import Iteratively


def normalise(config: Config) -> Config:
    """The same run, with sparsity 0 where the method removes nothing.

    Raises:
        ValueError: a method that removes something is not told how much, or too little for its stages.
    """
    method = find_method(config.method)
    if not method.sized:
        return replace(config, sparsity=0.0)
    if config.sparsity == 0:
        raise ValueError(f"method={config.method} removes a fraction of the model: add for example sparsity=0.5")
    if method.means == MASKS:
        method.check_structure(config.pruning.structure, f"method={config.method}")
    if method.staged and config.sparsity <= method.behind:
        raise ValueError(f"method={config.method} starts at {method.behind:g} less: give a larger sparsity")
    if (method.staged or method.mask_source == "rounds") and config.pruning.structure not in SINGLE:
        raise ValueError(f"method={config.method} removes single weights: add pruning.structure=weights")
    return config


def dense_of(config: Config) -> Config:
    """The dense run that a run is compared with."""
    return replace(config, method="dense", sparsity=0.0)


def recogniser_of(config: Config) -> Config:
    """The run of the recogniser that a language model is fused with."""
    make = family_of(config).recogniser
    assert make is not None
    return make(config)


def reference_runs(config: Config) -> list[Config]:
    """The runs whose models a run is measured against: the dense one, and the recogniser that it is fused with."""
    return [dense_of(config), *([recogniser_of(config)] if config.measurement.fused else [])]


def initial_run(config: Config) -> Config | None:
    """The run whose final weights a run starts from; None where it starts from random or published weights."""
    method = find_method(config.method)
    if method.start == "random":
        return None
    if method.start == "dense":
        return dense_of(config)
    if method.staged:
        return replace(config, method=method.start, sparsity=round(config.sparsity - method.behind, 9))
    if pretraining := family_of(config).pretraining:
        return pretraining(config)
    return None if method.is_dense else dense_of(config)


def mask_run(config: Config) -> Config | None:
    """The run whose weights a run's first mask is drawn from; None where it is drawn from the initial weights."""
    method = find_method(config.method)
    if method.mask_source in ("dense", "language"):
        language = config.pruning.mask_language if method.mask_source == "language" else ""
        source = dense_of(config)
        return replace(source, corpus=replace(config.corpus, language=language or config.corpus.language))
    if isinstance(method.schedule, Iteratively) and method.mask_source == "rounds" and config.sparsity:
        before = (0.0, *method.schedule.targets(config.sparsity, config.pruning))[-2]
        return replace(config, method=ROUND, sparsity=before)
    return None


def intermediate_sparsities(config: Config) -> list[float]:
    """The smaller sparsities at which a gradual run also saves its model, in rising order."""
    gradual = "intermediate" in find_method(config.method).knobs
    return read_sparsities(config.pruning.intermediate, below=config.sparsity) if gradual else []


def gradual_run(config: Config) -> Config | None:
    """The gradual run to a larger sparsity that saves this run's model on its way; None for a run with its own fit."""
    sizes = read_sparsities(config.pruning.intermediate) if "intermediate" in find_method(config.method).knobs else []
    return replace(config, sparsity=max(sizes)) if config.sparsity in sizes and config.sparsity < max(sizes) else None


def direct_dependencies(config: Config) -> list[Config]:
    """The runs that a run takes its initial weights or its mask from, or its whole model."""
    if gradual := gradual_run(config):
        return [gradual]
    return [run for run in (initial_run(config), mask_run(config)) if run is not None]


def with_dependencies(config: Config) -> list[Config]:
    """A run after all runs that it depends on, directly or not, each once, in an order in which they can be trained."""
    runs: dict[str, Config] = {}
    for dependency in direct_dependencies(config):
        runs.update({run_id(run): run for run in with_dependencies(dependency)})
    return [*runs.values(), config]


def fine_tunings(config: Config) -> list[Config]:
    """The supervised fits that lead to a run's model, its own last: what a method costs."""
    gradual = gradual_run(config)
    return [run for run in with_dependencies(config) if find_method(run.method).supervised and run != gradual]


def fit_config(config: Config) -> FitConfig:
    """The configuration of a run's fit: that of the dense or the final fit, as its method says, or of one IMP round."""
    method = find_method(config.method)
    fit: FitConfig = attrgetter(method.fit)(config)
    share = getattr(config.pruning, method.share) if method.share else 1.0
    return replace(fit, steps=max(1, round(share * fit.steps)))


def run_id(config: Config) -> str:
    """Method, sparsity and seed in clear, then a hash of every option that shapes the run."""
    sparsity = f"-{config.sparsity:g}" if config.sparsity else ""
    digest = identity(config, *sections(config.task, config.method), knobs=find_method(config.method).knobs)
    return f"{config.method}{sparsity}-s{config.seed}-{digest}"


def label(config: Config) -> str:
    """A run in words, for progress lines."""
    method, corpus = find_method(config.method), config.corpus
    speech = (
        corpus.labels,
        corpus.language if corpus.language != "en" else "",
        "all languages" if corpus.joint else "",
    )
    words = [
        f"{method.label} {100 * config.sparsity:g} %" if config.sparsity else method.label,
        *(speech if "corpus" in sections(config.task, config.method) else ()),
        config.pruning.structure if "structure" in method.knobs and config.task != "ctc" else "",
        f"mask of {config.pruning.mask_language}" if "mask_language" in method.knobs else "",
        "multilingual" if "+" in config.pretraining.languages else "",
        config.encoder.size if config.encoder.size != "base" else "",
        f"seed {config.seed}",
    ]
    return ", ".join(word for word in words if word)
