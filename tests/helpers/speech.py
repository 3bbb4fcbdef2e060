"""A transducer task of a few thousand weights on a few random utterances."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from prune_bench.config import FeatureConfig, FitConfig
from prune_bench.data.batches import Batch
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.tasks.transducer import TransducerTask


def make_task(steps: int, seed: int = 0, kind: type[TransducerTask] = TransducerTask) -> TransducerTask:
    torch.manual_seed(seed)
    encoder = ConformerArch.dense(mels=8, subsampling=4, width=16, heads=2, ffn=24, kernel=3, layers=2)
    arch = TransducerArch(encoder, 6, "stateless", 8, 1, 8)
    fit = FitConfig(steps=steps, learning_rate=2e-3)
    return kind(arch, fit, FeatureConfig(mels=8, time_width=4, frequency_width=2), dropout=0.1, seed=seed)


def batches(count: int = 4) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    items = []
    for i in range(count):
        lengths = torch.tensor([40, 33, 24])
        features = torch.randn(3, 40, 8, generator=generator)
        targets = torch.randint(1, 6, (3, 4), generator=generator)
        items.append(Batch(features, lengths, targets, torch.tensor([4, 3, 2]), torch.arange(3) + 3 * i))
    return DataLoader(items, batch_size=None)
