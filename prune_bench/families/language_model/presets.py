"""A Transformer language model beside the Conformer-Transducer of the same size. Batches are counted in tokens."""

from __future__ import annotations

from collections.abc import Callable

from prune_bench.config import Config, FitConfig
from prune_bench.families.transducer import presets as transducer


def beside(name: str, dense: FitConfig, final: FitConfig) -> Config:
    """The recogniser's configuration, its recipe where fusion looks for it."""
    config = transducer.PRESETS[name]()
    config.task = "language_model"
    config.fusion.fit, config.dense, config.final = config.dense, dense, final
    config.pruning.interval, config.pruning.intermediate = 0.05, "0.5+0.7+0.8+0.9+0.95"
    return config


def tiny() -> Config:
    """Under a million weights and a hundred thousand sentences."""
    config = beside("tiny", FitConfig(steps=3000, frames=2048), FitConfig(steps=800, frames=2048, learning_rate=1e-3))
    config.lm.layers, config.lm.width, config.lm.heads, config.lm.ffn, config.lm.dropout = 4, 128, 4, 512, 0.0
    return config


def smoke() -> Config:
    """Every stage in a few minutes; the numbers mean nothing."""
    config = beside("smoke", FitConfig(steps=40, frames=1024), FitConfig(steps=20, frames=1024))
    config.lm.layers, config.lm.width, config.lm.heads, config.lm.ffn = 3, 48, 4, 384
    config.text.sentences = 1000
    return config


def small() -> Config:
    """Four million weights; one GPU."""
    config = beside(
        "small", FitConfig(steps=20000, frames=16384, learning_rate=1e-3), FitConfig(steps=6000, frames=16384)
    )
    config.lm.layers, config.lm.width, config.lm.heads, config.lm.ffn = 6, 256, 4, 1024
    config.text.sentences, config.final.learning_rate = 1_000_000, 3e-4
    return config


def paper() -> Config:
    """Six blocks of width 512 with 8 heads, 20 million weights, on LibriSpeech's text."""
    config = beside(
        "paper", FitConfig(steps=200000, frames=65536, learning_rate=5e-4), FitConfig(steps=60000, frames=65536)
    )
    config.text.name, config.text.max_tokens, config.final.learning_rate = "librispeech-lm", 256, 1e-4
    config.lm.layers, config.lm.width, config.lm.heads, config.lm.ffn = 6, 512, 8, 2048
    for fit in (config.dense, config.final):
        fit.accelerator, fit.checkpoint_every = "gpu", 2000
    return config


PRESETS: dict[str, Callable[[], Config]] = {"smoke": smoke, "tiny": tiny, "small": small, "paper": paper}
