"""How a model is judged, and where everything happens."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class MeasurementConfig:
    """How a finished model is judged. Timing uses one thread and one utterance of fixed length."""

    batch_frames: int = 40000
    max_symbols: int = 5
    bootstrap: int = 1000
    timing_seconds: float = 10.0
    timing_rounds: int = 30


@dataclass
class WandbConfig:
    """`mode` is `offline`, `online` or `disabled`."""

    mode: str = "offline"
    project: str = "prune-bench"


@dataclass
class ExecutionConfig:
    """Where and how runs execute; never part of a run's identity."""

    output: str = "output"
    jobs: int = 2
    threads: int = 1
    launcher: str = "local"
    slurm: dict[str, str] = field(default_factory=dict)
    progress: bool = True
