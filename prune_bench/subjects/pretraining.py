"""A wav2vec 2.0 encoder's own pretraining in a sweep."""

from __future__ import annotations

from pathlib import Path

import torch

from prune_bench.config import Config
from prune_bench.data.store import FeatureStore, cached
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.subjects.ctc import make_arch
from prune_bench.tasks.pretraining import PretrainingTask
from prune_bench.tasks.units import AcousticUnits

HEARD_FOR_UNITS = 200


def make_pretraining(config: Config, store: FeatureStore, folder: Path) -> PretrainingTask:
    """An encoder at random weights that learns to predict units, whose centres are found once, in `folder`."""
    heard = config.pretraining
    model = Wav2Vec2(make_arch(config.encoder))
    units = AcousticUnits(model.arch, heard.clusters, config.features.sample_rate)

    def find(path: Path) -> None:
        step = max(1, len(store) // HEARD_FOR_UNITS)
        units.fit([store[index][:, 0] for index in range(0, len(store), step)], seed=heard.seed)
        torch.save(units.centres, path)

    units.centres.copy_(torch.load(cached(folder / "units.pt", find), weights_only=True))
    return PretrainingTask(model, units, heard)
