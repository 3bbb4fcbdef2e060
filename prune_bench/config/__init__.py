"""What a run is: typed configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prune_bench.config.data import CorpusConfig, FeatureConfig, TextConfig, TokenizerConfig
from prune_bench.config.execution import ExecutionConfig, FusionConfig, MeasurementConfig, WandbConfig
from prune_bench.config.fits import FitConfig
from prune_bench.config.history import translate
from prune_bench.config.models import (
    EncoderConfig,
    FinetuningConfig,
    LanguageModelConfig,
    ModelConfig,
    PretrainingConfig,
)
from prune_bench.config.pruning import PruningConfig

__all__ = [
    "Config",
    "CorpusConfig",
    "EncoderConfig",
    "ExecutionConfig",
    "FeatureConfig",
    "FinetuningConfig",
    "FitConfig",
    "FusionConfig",
    "LanguageModelConfig",
    "MeasurementConfig",
    "ModelConfig",
    "PretrainingConfig",
    "PruningConfig",
    "TextConfig",
    "TokenizerConfig",
    "WandbConfig",
    "from_dict",
    "to_dict",
]


@dataclass
class Config:
    """One run, completely. `plugins` are modules, joined with `+`, that every process of it imports."""

    preset: str = "tiny"
    plugins: str = ""
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
    text: TextConfig = field(default_factory=TextConfig)
    lm: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    dense: FitConfig = field(default_factory=FitConfig)
    final: FitConfig = field(default_factory=FitConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)
    measurement: MeasurementConfig = field(default_factory=MeasurementConfig)
    wandb: WandbConfig = field(default_factory=WandbConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)


def to_dict(config: Any) -> dict[str, Any]:
    """A plain nested dictionary, for YAML, JSON and rows."""
    return asdict(config)


def from_dict(values: dict[str, Any], kind: type[Config] = Config) -> Config:
    """The configuration of class `kind` whose `to_dict` gave `values` in this version or an earlier one.

    Raises:
        ValueError: a key that no version has, or a value of the wrong type.
    """
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), translate(values)))
    except OmegaConfBaseException as error:
        raise ValueError(f"not a run configuration: {str(error).splitlines()[0]}") from None
    assert isinstance(config, Config)
    return config
