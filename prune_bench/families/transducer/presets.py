"""The Conformer-Transducer at four sizes."""

from __future__ import annotations

from collections.abc import Callable

from prune_bench.config import Config


def tiny() -> Config:
    """About two million weights and three hours of synthetic speech: one hour a table on two cores."""
    config = Config(preset="tiny")
    config.tokenizer.size = 256
    config.corpus.train_utterances = 6000
    config.features.time_masks, config.features.time_width = 1, 12
    config.features.frequency_masks, config.features.frequency_width = 1, 12
    config.model.dropout = 0.0
    config.dense.devices, config.dense.steps = 2, 2800
    config.final.steps, config.final.frames, config.final.learning_rate = 1000, 2500, 1.5e-3
    pruning = config.pruning
    pruning.ramp, pruning.settle, pruning.distillation = 0.2, 0.3, 5.0
    pruning.gate_init, pruning.ffn_gate_init = 3.0, 2.0
    pruning.mask_learning_rate = pruning.multiplier_learning_rate = 0.15
    return config


def smoke() -> Config:
    """Every stage in a few minutes; the numbers mean nothing."""
    config = Config(preset="smoke")
    config.corpus.train_utterances = 240
    config.corpus.dev_utterances = 24
    config.corpus.test_utterances = 48
    config.tokenizer.size = 96
    config.model.layers, config.model.width, config.model.ffn = 2, 64, 128
    config.dense.steps, config.final.steps = 60, 20
    config.dense.frames = config.final.frames = 2500
    config.measurement.timing_seconds, config.measurement.timing_rounds = 2.0, 3
    return config


def small() -> Config:
    """About ten million weights; one GPU, about an hour a table."""
    config = Config(preset="small")
    config.corpus.train_utterances = 20000
    config.tokenizer.size = 256
    config.model.layers, config.model.width, config.model.heads, config.model.ffn = 8, 256, 4, 1024
    config.model.predictor_width, config.model.joint_width = 256, 256
    config.dense.steps, config.final.steps = 8000, 3000
    config.dense.frames = config.final.frames = 20000
    config.dense.learning_rate, config.final.learning_rate = 1e-3, 3e-4
    config.execution.jobs = 1
    return config


def paper() -> Config:
    """The published set-up: 18 layers of width 512 on LibriSpeech 960 h, eight GPUs, 10k ramp and 100k steps."""
    config = Config(preset="paper")
    corpus = config.corpus
    corpus.name = "librispeech"
    corpus.train = "train-clean-100+train-clean-360+train-other-500"
    config.tokenizer.size = 1024
    config.features.time_masks, config.features.time_width, config.features.frequency_width = 10, 50, 27
    model = config.model
    model.layers, model.width, model.heads, model.ffn, model.kernel, model.subsampling = 18, 512, 8, 1024, 3, 4
    model.predictor, model.predictor_layers, model.predictor_width, model.joint_width = "lstm", 2, 512, 512
    for fit in (config.dense, config.final):
        fit.devices, fit.accelerator, fit.frames = 8, "gpu", 400000
        fit.checkpoint_every = 2000
    config.dense.steps, config.dense.learning_rate, config.dense.warmup = 150000, 1.5e-3, 0.1
    config.final.steps, config.final.learning_rate = 110000, 3e-4
    pruning = config.pruning
    pruning.ramp, pruning.settle = 10 / 110, 1.0
    pruning.mask_learning_rate = pruning.multiplier_learning_rate = 1e-2
    config.execution.jobs = 1
    return config


PRESETS: dict[str, Callable[[], Config]] = {"smoke": smoke, "tiny": tiny, "small": small, "paper": paper}
