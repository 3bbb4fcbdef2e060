"""A wav2vec 2.0 encoder with a CTC head at four sizes. Batches are counted in samples, 16,000 a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prune_bench.config import Config

SECOND = 16000
STEPS, HEAD_ONLY = 20_000, 10_000  # published updates on ten hours of labels, and those of the head alone on any
# Published mask_prob, mask_channel_prob and updates from one mask of PARP to the next: 5 epochs of ten hours and 50 of
# fewer, in updates of 1,600 s, where an epoch of ten minutes is one.
SCRIPTS = {"10h": (0.65, 0.256, 112), "1h": (0.75, 0.256, 112), "10min": (0.75, 0.512, 50)}


def base(name: str) -> Config:
    """What all sizes share: waveforms, letters, single weights."""
    config = Config(preset=name, task="ctc")
    config.features.kind = "waveform"
    config.pretraining.unmasked_weight = 1.0
    config.features.time_masks, config.features.time_width = 2, 10
    config.tokenizer.kind = "characters"
    config.pruning.structure = "weights"
    config.measurement.batch_frames = 100 * SECOND
    for fit in (config.pretraining.fit, config.dense, config.final):
        fit.frames = 25 * SECOND
    return config


def tiny() -> Config:
    """Under three million weights, pretrained on six hours of synthetic speech in 22 minutes on two cores."""
    config = base("tiny")
    config.corpus.train_utterances, config.corpus.dev_utterances, config.corpus.test_utterances = 4000, 100, 400
    config.encoder.convs = "[(64, 20, 10)] + [(64, 3, 2)] * 3 + [(64, 2, 2)] * 2"
    config.pretraining.mask_start = 0.04
    fit = config.pretraining.fit
    fit.steps, fit.devices, fit.learning_rate = 3700, 2, 2e-3
    for fit in (config.dense, config.final):
        fit.steps, fit.frames, fit.learning_rate = 800, 25 * SECOND // 2, 4e-3
    return config


def smoke() -> Config:
    """Every stage in a few minutes; the numbers mean nothing."""
    config = base("smoke")
    config.corpus.train_utterances, config.corpus.dev_utterances, config.corpus.test_utterances = 40, 10, 20
    encoder, pretraining = config.encoder, config.pretraining
    encoder.convs = "[(32, 10, 5)] + [(32, 3, 2)] * 4 + [(32, 2, 2)] * 2"
    encoder.layers, encoder.width, encoder.ffn = 2, 48, 96
    pretraining.utterances, pretraining.clusters, pretraining.fit.steps = 96, 20, 30
    config.dense.steps = config.final.steps = 10
    for fit in (pretraining.fit, config.dense, config.final):
        fit.frames = 12 * SECOND
    return config


def small() -> Config:
    """About ten million weights; one GPU."""
    config = base("small")
    config.corpus.train_utterances, config.corpus.test_utterances = 2000, 1000
    config.encoder.convs = "[(256, 10, 5)] + [(256, 3, 2)] * 4 + [(256, 2, 2)] * 2"
    config.encoder.layers, config.encoder.width, config.encoder.heads, config.encoder.ffn = 8, 384, 6, 1536
    config.pretraining.utterances = 40000
    fit = config.pretraining.fit
    fit.steps, fit.frames, fit.learning_rate = 20000, 200 * SECOND, 5e-4
    for fit in (config.dense, config.final):
        fit.steps, fit.frames, fit.learning_rate = 3000, 100 * SECOND, 2e-4
    config.execution.jobs = 1
    return config


def paper() -> Config:
    """The published set-up: wav2vec 2.0 base, and 20k updates of 1,600 s on the ten hours of Libri-light, four GPUs.

    Masks, dropouts, optimiser, schedule, precision, the updates of the head alone and how often PARP judges anew are
    those of its authors' scripts, biases are prunable, and a round of IMP has 2k updates. `adapted` says what is
    different for fewer labels and a large encoder, docs/decisions.md what differs from the publication.
    """
    config = base("paper")
    config.corpus.name, config.corpus.train = "librispeech", "train-clean-100"
    config.pretraining.source = "wav2vec2"
    encoder, tuning = config.encoder, config.finetuning
    encoder.convs = "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2"
    encoder.norm, encoder.norm_first = "group_norm", False
    encoder.layers, encoder.width, encoder.heads, encoder.ffn = 12, 768, 12, 3072
    encoder.position_kernel = 128
    config.features.time_masks = 0
    tuning.mask_length, tuning.mask_channel_length, tuning.activation_dropout = 10, 64, 0.1
    config.pruning.structure, config.pruning.round = "weights+biases", 0.1
    for fit in (config.dense, config.final):
        fit.steps, fit.frames, fit.devices, fit.accumulate = STEPS, 400 * SECOND, 4, 4
        fit.schedule, fit.warmup, fit.hold, fit.weight_decay, fit.clip = "tri_stage", 0.1, 0.4, 0.0, 0.0
        fit.accelerator, fit.precision, fit.checkpoint_every = "gpu", "32-true", 1000
    config.execution.jobs = 1
    for key, value in published(config).items():
        section, name = key.split(".")
        setattr(getattr(config, section), name, value)
    return config


PRESETS: dict[str, Callable[[], Config]] = {"smoke": smoke, "tiny": tiny, "small": small, "paper": paper}

# Updates of a fit on fewer labels, as a fraction of those on ten hours: 12k and 15k of 20k, as published for PARP.
SHARES = {"10min": 0.6, "1h": 0.75}
# Updates of a large encoder's pretraining, as a fraction of a base one's, where both are to take equally long.
LARGE_SHARES = {"tiny": 0.35}


def adapted(config: Config) -> dict[str, Any]:
    """The values that keys of a preset take for fewer labels or a larger encoder."""
    share = SHARES.get(config.corpus.labels, 1.0)
    values: dict[str, Any] = {f"{fit}.steps": round(share * getattr(config, fit).steps) for fit in ("dense", "final")}
    if config.encoder.size == "large":
        values["pretraining.fit.steps"] = round(LARGE_SHARES.get(config.preset, 1.0) * config.pretraining.fit.steps)
    return {**values, **published(config)} if config.preset == "paper" else values


def published(config: Config) -> dict[str, float]:
    """What PARP's authors' scripts say for an amount of labels and a size; without labels, for ten hours."""
    labels, large = config.corpus.labels or "10h", config.encoder.size == "large"
    mask_prob, mask_channel_prob, interval = SCRIPTS[labels]
    steps, rate = STEPS * SHARES.get(labels, 1.0), 1e-4 if large and labels == "10h" else 5e-5
    return {
        "dense.learning_rate": rate,
        "final.learning_rate": rate,
        "finetuning.mask_prob": mask_prob,
        "finetuning.mask_channel_prob": mask_channel_prob,
        "finetuning.layer_drop": 0.1 if large else 0.05,
        "finetuning.head_only": HEAD_ONLY / steps,
        "pruning.interval": interval / steps,
    }
