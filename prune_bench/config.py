"""What a run is: typed configuration and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


@dataclass
class CorpusConfig:
    """Where speech and text come from. Subsets join with `+`, as in `train-clean-100+train-clean-360`.

    `targets` are the words of the transcripts, or `phones`: how eSpeak NG pronounces them in `language`.
    """

    name: str = "espeak"
    language: str = "en"
    targets: str = "words"
    root: str = ""
    download: bool = False
    on_bad: str = "fail"
    train: str = "train"
    dev_clean: str = "dev-clean"
    dev_other: str = "dev-other"
    test_clean: str = "test-clean"
    test_other: str = "test-other"
    train_utterances: int = 5000
    dev_utterances: int = 400
    test_utterances: int = 1500
    seed: int = 0


@dataclass
class FeatureConfig:
    """What a model reads: `log_mel` energies, or the `waveform`, whose frames are samples.

    SpecAugment's masks are drawn in training only.
    """

    kind: str = "log_mel"
    sample_rate: int = 16000
    mels: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    time_masks: int = 2
    time_width: int = 20
    frequency_masks: int = 2
    frequency_width: int = 16


@dataclass
class TokenizerConfig:
    """`kind` is `characters`, `sentencepiece` or `words` (tokens apart by spaces: phones, too).

    `size` counts sentencepiece units without the blank.
    """

    kind: str = "sentencepiece"
    size: int = 128


@dataclass
class ModelConfig:
    """Conformer-Transducer widths before any pruning."""

    layers: int = 4
    width: int = 144
    heads: int = 4
    ffn: int = 576
    kernel: int = 15
    subsampling: int = 6
    dropout: float = 0.1
    predictor: str = "stateless"
    predictor_width: int = 144
    predictor_layers: int = 1
    predictor_dropout: float = 0.0
    joint_width: int = 96
    ctc_weight: float = 0.3


@dataclass
class FitConfig:
    """One training run. `frames` is the size of a batch over all processes, in feature frames.

    `precision` is Lightning's name, or `auto`: bf16-mixed where the hardware has units for it, else 32-true.
    """

    steps: int = 1600
    frames: int = 5000
    accumulate: int = 1
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 5.0
    precision: str = "auto"
    accelerator: str = "auto"
    devices: int = 1
    checkpoint_every: int = 200


@dataclass
class PruningConfig:
    """Knobs of the pruning methods; fractions are of the fit's updates."""

    structure: str = "groups"
    interval: float = 0.01
    ramp: float = 0.3
    settle: float = 0.6
    mask_learning_rate: float = 5e-2
    multiplier_learning_rate: float = 5e-2
    gate_init: float = 4.6
    ffn_gate_init: float = 3.0
    temperature: float = 2 / 3
    counter: str = "exact"
    distillation: float = 1.0
    distillation_side: str = "student"
    reference_seconds: float = 15.0


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


@dataclass
class Config:
    """One run, completely."""

    preset: str = "tiny"
    method: str = "dense"
    sparsity: float = 0.0
    seed: int = 0
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    dense: FitConfig = field(default_factory=FitConfig)
    final: FitConfig = field(default_factory=FitConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)


PRECISIONS = ("auto", "32-true", "bf16-mixed")
CHOICES: dict[str, tuple[str, ...]] = {
    "corpus.name": ("espeak", "fsdd", "librispeech", "manifest"),
    "corpus.on_bad": ("fail", "skip"),
    "corpus.targets": ("words", "phones"),
    "features.kind": ("log_mel", "waveform"),
    "tokenizer.kind": ("characters", "sentencepiece", "words"),
    "model.predictor": ("stateless", "lstm"),
    "pruning.structure": ("groups", "weights"),
    "pruning.counter": ("exact", "paper_eq3"),
    "pruning.distillation_side": ("student", "teacher"),
    "dense.precision": PRECISIONS,
    "final.precision": PRECISIONS,
    "wandb.mode": ("offline", "online", "disabled"),
    "execution.launcher": ("local", "slurm"),
}


def check(config: Config) -> None:
    """Raise ValueError for values no run can have."""
    if not 0.0 <= config.sparsity < 1.0:
        raise ValueError(f"sparsity={config.sparsity}: give the removed fraction, at least 0 and below 1")
    for name, fit in (("dense", config.dense), ("final", config.final)):
        for key in ("steps", "frames", "accumulate", "devices", "checkpoint_every"):
            if getattr(fit, key) < 1:
                raise ValueError(f"{name}.{key}={getattr(fit, key)}: must be at least 1")
    if config.model.width % config.model.heads:
        raise ValueError(f"model.width={config.model.width} is not a multiple of model.heads={config.model.heads}")


def to_dict(config: Any) -> dict[str, Any]:
    """A plain nested dictionary, for YAML, JSON and rows."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> Config:
    """The Config that `to_dict` gave. ValueError for a key that no Config has."""
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), values))
    except OmegaConfBaseException as error:
        raise ValueError(f"not a run configuration: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config)
    return config


def fingerprint(values: Any) -> str:
    """Twelve hex digits that name a JSON-able value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


IDENTITY = ("method", "sparsity", "seed", "corpus", "features", "tokenizer", "model", "dense", "final", "pruning")


def identity(config: Config, *sections: str, knobs: Sequence[str] | None = None) -> str:
    """The hash of the sections that shape a stage (all that shape a run by default); of `pruning` only the `knobs`.

    What a preset is called, where a fit executes and how often it saves a run executes do not change its identity.
    """
    values = to_dict(config)
    for key in ("download",):
        values["corpus"].pop(key)
    for fit in ("dense", "final"):
        for key in ("accelerator", "checkpoint_every"):
            values[fit].pop(key)
    if knobs is not None:
        values["pruning"] = {key: values["pruning"][key] for key in knobs}
    return fingerprint({section: values[section] for section in sections or IDENTITY})
