"""What a run is: which runs it needs first, which fit it is, what it is called."""

from __future__ import annotations

from dataclasses import replace

from prune_bench.config import Config, FitConfig
from prune_bench.families import family_of
from prune_bench.identity import identity, sections
from prune_bench.pruning.methods import find_method
from prune_bench.pruning.schedules import read_sizes, round_targets

WHOLE = ("dense", "continue_ft", "unpretrained")
SINGLE = ("weights", "weights+biases")
STARTS = ("random", "pretrained", "dense")


def normalise(config: Config) -> Config:
    """The same run, with sparsity 0 where the method removes nothing.

    Raises:
        ValueError: a method that removes something is not told how much, or too little for its stages.
    """
    method = find_method(config.method)
    if config.method in WHOLE:
        return replace(config, sparsity=0.0)
    if config.sparsity == 0:
        raise ValueError(f"method={config.method} removes a fraction of the model: add for example sparsity=0.5")
    staged = method.start not in STARTS
    if staged and config.sparsity <= method.options["behind"]:
        raise ValueError(f"method={config.method} starts at {method.options['behind']:g} less: give a larger sparsity")
    if (staged or method.ranked == "rounds") and config.pruning.structure not in SINGLE:
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
    if method.start not in STARTS:
        return replace(config, method=method.start, sparsity=round(config.sparsity - method.options["behind"], 9))
    if pretraining := family_of(config).pretraining:
        return pretraining(config)
    return None if config.method == "dense" else dense_of(config)


def mask_run(config: Config) -> Config | None:
    """The run whose weights a run's first mask is drawn from; None where it is drawn from the initial weights."""
    method = find_method(config.method)
    if method.ranked == "dense":
        language = config.pruning.mask_language if "mask_language" in method.knobs else ""
        source = dense_of(config)
        return replace(source, corpus=replace(config.corpus, language=language or config.corpus.language))
    if method.ranked == "rounds" and config.sparsity:
        before = (0.0, *round_targets(config.sparsity, config.pruning.imp_step))[-2]
        return replace(config, method="imp_round", sparsity=before)
    return None


def intermediate_sparsities(config: Config) -> list[float]:
    """The smaller sparsities at which a gradual run also saves its model, in rising order."""
    gradual = "intermediate" in find_method(config.method).knobs
    return read_sizes(config.pruning.intermediate, below=config.sparsity) if gradual else []


def gradual_run(config: Config) -> Config | None:
    """The gradual run to a larger sparsity that saves this run's model on its way; None for a run with its own fit."""
    sizes = read_sizes(config.pruning.intermediate) if "intermediate" in find_method(config.method).knobs else []
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
    return [run for run in with_dependencies(config) if run.method != "pretraining" and run != gradual]


def fit_config(config: Config) -> FitConfig:
    """The configuration of a run's fit: that of the dense or the final fit, as its method says, or of one IMP round."""
    if config.method == "pretraining":
        return config.pretraining.fit
    if config.method == "imp_round":
        return replace(config.final, steps=max(1, round(config.pruning.round * config.final.steps)))
    fit: FitConfig = getattr(config, find_method(config.method).fit)
    return fit


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
