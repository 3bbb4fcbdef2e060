"""Noise differs between updates, the batches of one update, and ranks, and is the same when they are met again."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from prune_bench.config import FeatureConfig, FinetuningConfig, FitConfig
from prune_bench.data.batches import Batch
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch
from prune_bench.tasks.ctc import CtcTask
from prune_bench.tasks.transducer import TransducerTask

MASKED = FeatureConfig(mels=20, time_masks=2, time_width=8, frequency_width=6)
ENCODER = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=2, ffn=64, kernel=5, layers=1)
ARCH = Wav2Vec2Arch(
    convs=((16, 10, 5), (16, 8, 4)), norm="layer_norm", conv_bias=True, width=32, head_width=16, position_kernel=8,
    position_groups=4, norm_first=True, layers=(BlockArch(2, 64),), vocabulary=6,
)  # fmt: skip
TARGETS = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]), torch.arange(2)
WAVEFORMS = Batch(torch.ones(2, 900, 1), torch.tensor([900, 600]), *TARGETS)


def transducer(seed: int):
    torch.manual_seed(5)
    arch = TransducerArch(ENCODER, 6, "stateless", 16, 1, 16)
    return TransducerTask(arch, FitConfig(steps=4), MASKED, dropout=0.2, seed=seed)


def ctc(seed: int):
    torch.manual_seed(5)
    return CtcTask(Wav2Vec2(ARCH), FitConfig(steps=4), MASKED, seed=seed)


def ctc_as_published(seed: int):
    torch.manual_seed(5)
    tuning = FinetuningConfig(mask_prob=0.5, mask_length=4)
    return CtcTask(Wav2Vec2(ARCH), FitConfig(steps=4), MASKED, tuning, seed=seed)


CASES = {
    "transducer": (transducer, Batch(torch.ones(2, 60, 20), torch.tensor([60, 52]), *TARGETS), "augment"),
    "ctc": (ctc, WAVEFORMS, "model.encoder.feature_projection"),
    "ctc as published": (ctc_as_published, WAVEFORMS, "model.encoder.feature_projection"),
}


class Recorder:
    """Notes what a module of the task puts out in training."""

    def __init__(self, task, name: str):
        self.seen: list[torch.Tensor] = []
        task.get_submodule(name).register_forward_hook(self.note)

    def note(self, module, inputs, output):
        self.seen.append(output.detach().clone())


def distinct(tensors: list[torch.Tensor]) -> int:
    return len({tuple((tensor == 0).flatten().tolist()) for tensor in tensors})


@pytest.mark.parametrize("case", CASES)
def test_each_accumulated_batch_has_noise_of_its_own(case):
    make, batch, name = CASES[case]
    task = make(0)
    recorder = Recorder(task, name)
    lightning.Trainer(
        max_steps=2, accumulate_grad_batches=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(task, DataLoader([batch] * 6, batch_size=None))  # fmt: skip
    assert len(recorder.seen) == distinct(recorder.seen) == 6


@pytest.mark.parametrize("case", CASES)
def test_noise_is_a_function_of_seed_update_batch_and_rank(case):
    make, batch, name = CASES[case]
    places = list(itertools.product(range(2), range(3), range(2), range(2)))
    seen = []
    for start in (0, 1):
        torch.manual_seed(start)
        for seed, update, part, rank in places if start == 0 else reversed(places):
            task = make(seed)
            recorder = Recorder(task, name)
            task.trainer = SimpleNamespace(
                global_step=update, accumulate_grad_batches=2, world_size=2, global_rank=rank
            )
            task.on_train_batch_start(batch, 2 * update + part)
            task.losses(batch)
            seen += recorder.seen
    once, again = seen[: len(places)], seen[len(places) :][::-1]
    assert distinct(once) == len(places)
    assert all(torch.equal(first, second) for first, second in zip(once, again, strict=True))
