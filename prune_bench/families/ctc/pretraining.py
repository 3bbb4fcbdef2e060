"""A wav2vec 2.0 encoder and its own pretraining."""

from __future__ import annotations

from pathlib import Path

import torch

from prune_bench.config import Config, EncoderConfig
from prune_bench.data.store import FeatureStore
from prune_bench.files import cached_file
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch, read_convs
from prune_bench.tasks.clusters import ClusterTargets
from prune_bench.tasks.pretraining import PretrainingTask

CLUSTERED = 200  # utterances, evenly spaced, that the centres are found on


def make_pretraining(config: Config, store: FeatureStore, folder: Path) -> PretrainingTask:
    """An encoder at random weights that learns to predict clusters, whose centres are found once, in `folder`."""
    options = config.pretraining
    model = Wav2Vec2(make_arch(config.encoder))
    targets = ClusterTargets(model.arch, options.clusters, config.features.sample_rate)

    def find(path: Path) -> None:
        step = max(1, len(store) // CLUSTERED)
        targets.fit([store[index][:, 0] for index in range(0, len(store), step)], seed=options.seed)
        torch.save(targets.centres, path)

    targets.centres.copy_(torch.load(cached_file(folder / "clusters.pt", find), weights_only=True))
    return PretrainingTask(model, targets, options)


def make_arch(encoder: EncoderConfig) -> Wav2Vec2Arch:
    """The dense architecture of a configuration, without a head."""
    layers, width, heads, ffn = encoder.layers, encoder.width, encoder.heads, encoder.ffn
    if encoder.size == "large":
        layers, width, heads, ffn = 2 * layers, 4 * width // 3, 4 * heads // 3, 4 * ffn // 3
    return Wav2Vec2Arch(
        convs=read_convs(encoder.convs),
        norm=encoder.norm,
        conv_bias=encoder.norm == "layer_norm",
        width=width,
        head_width=width // heads,
        position_kernel=encoder.position_kernel,
        position_groups=encoder.position_groups,
        norm_first=encoder.norm_first,
        layers=(BlockArch(heads, ffn),) * layers,
        normalize=encoder.norm == "layer_norm",
    )
