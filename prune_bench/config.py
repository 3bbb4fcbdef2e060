"""What a run is: typed configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


@dataclass
class CorpusConfig:
    """Where speech and text come from. Subsets join with `+`, as in `train-clean-100+train-clean-360`.

    `targets` are the words of the transcripts, or `phones`: how eSpeak NG pronounces them in `language`. With `joint`,
    languages joined with `+`, training takes all of these, development and test `language` alone. `labels` names how
    much of it is labelled: Libri-light's subset of that name, or its stand-in, a share of the training utterances.
    """

    name: str = "espeak"
    language: str = "en"
    joint: str = ""
    labels: str = ""
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
class EncoderConfig:
    """wav2vec 2.0's encoder before any pruning. `convs` lists (channels, kernel, stride) as fairseq writes them.

    `size` large doubles the layers and adds a third to all widths, as published.
    """

    size: str = "base"
    convs: str = "[(64, 10, 5)] + [(64, 3, 2)] * 4 + [(64, 2, 2)] * 2"
    norm: str = "layer_norm"
    norm_first: bool = True
    layers: int = 6
    width: int = 192
    heads: int = 3
    ffn: int = 768
    position_kernel: int = 32
    position_groups: int = 16


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
class PretrainingConfig:
    """Where a wav2vec 2.0 encoder's weights come from, and how its own pretraining runs.

    `source` is `own`, `random`, or published weights: a bundle's name (`wav2vec2` in the encoder's size, `xlsr-53`), a
    Hugging Face folder, a fairseq checkpoint.
    Languages join with `+` and share `utterances` evenly; `corpus`, `root` and `train` say whose audio is heard.
    Each frame starts a hidden stretch of `length` frames with chance `start`; `clusters` units are predicted, and a
    visible frame counts `visible` times as much as a hidden one (0 in HuBERT).
    """

    source: str = "own"
    corpus: str = "espeak"
    root: str = ""
    train: str = "train"
    languages: str = "en"
    utterances: int = 6000
    clusters: int = 100
    start: float = 0.08
    length: int = 10
    visible: float = 0.0
    seed: int = 0
    fit: FitConfig = field(default_factory=FitConfig)


@dataclass
class FinetuningConfig:
    """How a pretrained encoder is fine-tuned.

    `head_only` is the fraction of updates in which the head learns alone, with methods that are not `unfrozen`.
    """

    dropout: float = 0.0
    layer_drop: float = 0.0
    head_only: float = 0.0


@dataclass
class PruningConfig:
    """Knobs of the pruning methods; fractions are of the fit's updates.

    `interval` is PARP's, `progress` where PARP-P's target is reached, `round` the length of a round of IMP,
    `mask_language` whose mask is transferred; the rest is L0's.
    """

    structure: str = "groups"
    interval: float = 0.01
    progress: float = 0.6
    imp_step: str = "original10"
    round: float = 0.2
    mask_language: str = ""
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
    task: str = "transducer"
    method: str = "dense"
    sparsity: float = 0.0
    seed: int = 0
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)
    dense: FitConfig = field(default_factory=FitConfig)
    final: FitConfig = field(default_factory=FitConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)


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
