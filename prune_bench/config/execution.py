"""How a model is measured, and where everything executes."""

from __future__ import annotations

from dataclasses import dataclass, field

from prune_bench.config.fits import FitConfig


@dataclass
class MeasurementConfig:
    """How a finished model is measured. Timing uses one thread and one utterance of fixed length.

    With `fused`, a language model is also evaluated by the error rates of a recogniser under shallow fusion.
    """

    batch_frames: int = 40000
    max_symbols: int = 5
    timing_seconds: float = 10.0
    timing_rounds: int = 30
    fused: bool = False


@dataclass
class FusionConfig:
    """Shallow fusion of a language model with a recogniser, by beam search.

    The dense language model's weight, and that of the internal one, are chosen on development speech among `weights`
    and `internal`, joined with `+`; of each development and test split the first `utterances` are decoded, 0 for all.
    `fit` is the training of the recogniser, as `dense` is that of the language model.
    """

    beam: int = 8
    weights: str = "0.1+0.2+0.3+0.4+0.5"
    internal: str = "0.0"
    utterances: int = 0
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class WandbConfig:
    """`mode` is `offline`, `online` or `disabled`."""

    mode: str = "offline"
    project: str = "prune-bench"


@dataclass
class ExecutionConfig:
    """Where and how runs execute; never part of a run's identity.

    Outputs of frozen front-end layers for the training speech are cached if they take at most `feature_cache_gb` GB.
    """

    output: str = "output"
    jobs: int = 2
    threads: int = 1
    launcher: str = "local"
    slurm: dict[str, str] = field(default_factory=dict)
    progress: bool = True
    feature_cache_gb: float = 4.0
