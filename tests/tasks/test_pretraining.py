"""Pretraining: clusters at the encoder's frames, hidden stretches, and that prediction beats chance."""

from __future__ import annotations

import math

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from prune_bench.config import FitConfig, PretrainingConfig
from prune_bench.data.batches import Batch
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch
from prune_bench.tasks.clusters import ClusterTargets, frame_shape, k_means, nearest
from prune_bench.tasks.pretraining import PretrainingTask, spans

ARCH = Wav2Vec2Arch(
    convs=((16, 20, 10), (16, 8, 4), (16, 8, 8)), norm="layer_norm", conv_bias=True, width=32, head_width=16,
    position_kernel=8, position_groups=4, norm_first=True, layers=(BlockArch(2, 64),),
)  # fmt: skip
LENGTHS = torch.tensor([16000, 12000])


def tones(seed: int) -> torch.Tensor:
    """A second of tones that change every tenth, in an order that repeats."""
    order = torch.tensor([1, 2, 3, 4] * 3)[:10].roll(seed)
    time = torch.arange(1600) / 16000
    return torch.cat([torch.sin(2 * torch.pi * 300 * pitch * time) for pitch in order])


def batch() -> Batch:
    waveforms = torch.stack([tones(0), tones(1)])
    none = torch.zeros(2, 0, dtype=torch.long)
    return Batch(waveforms[..., None], LENGTHS, none, torch.zeros(2, dtype=torch.long), torch.arange(2))


def chance(targets: torch.Tensor, clusters: int) -> float:
    """Nats of a guess that knows how frequent clusters are: what a prediction has to beat."""
    share = torch.bincount(targets.flatten(), minlength=clusters).double() / targets.numel()
    return -sum(p * math.log(p) for p in share.tolist() if p > 0)


@pytest.fixture(scope="module")
def clusters() -> ClusterTargets:
    clusters = ClusterTargets(ARCH, clusters=6)
    clusters.fit([tones(seed) for seed in range(4)])
    return clusters


def test_clusters_are_one_for_each_frame_of_the_encoder(clusters):
    model = Wav2Vec2(ARCH)
    for samples in (16000, 15999, 4321):
        waveform = torch.randn(1, samples)
        assert clusters(waveform).shape[1] == model(waveform)[0].shape[1]
    assert frame_shape(ARCH) == (20 + 7 * 10 + 7 * 40, 320)
    published = ((1, 10, 5), *((1, 3, 2),) * 4, *((1, 2, 2),) * 2)
    assert frame_shape(Wav2Vec2Arch(**{**vars(ARCH), "convs": published})) == (400, 320)


def test_an_utterances_clusters_do_not_depend_on_its_padding(clusters):
    frames = torch.tensor([clusters(tones(0)[None]).shape[1], clusters(tones(1)[None, :12000]).shape[1]])
    padded = torch.stack([tones(0), tones(1) * (torch.arange(16000) < 12000)])
    found = clusters(padded, frames)
    alone = clusters(tones(1)[None, :12000])
    assert torch.equal(found[1, : frames[1]], alone[0])


def test_k_means_finds_separate_clusters():
    torch.manual_seed(0)
    true = torch.randn(5, 8) * 10
    points = (true[:, None] + 0.1 * torch.randn(5, 200, 8)).flatten(0, 1)
    centres = min(
        (k_means(points, 5, 30, seed) for seed in range(8)), key=lambda c: float(torch.cdist(true, c).amin(1).max())
    )
    assert float(torch.cdist(true, centres).amin(1).max()) < 0.5
    assert len(nearest(points, centres).unique()) == 5
    assert torch.equal(k_means(points, 5, 3, seed=1), k_means(points, 5, 3, seed=1))
    with pytest.raises(ValueError, match="4 frames for 5 clusters"):
        k_means(points[:4], 5, 3)


def test_hidden_stretches_have_their_length_and_every_row_has_one():
    torch.manual_seed(0)
    hidden = spans(torch.Size((200, 100)), 0.02, 10, torch.device("cpu"))
    assert bool(hidden.any(1).all())
    assert 0.1 < float(hidden.float().mean()) < 0.35
    edges = torch.nn.functional.pad(hidden.int(), (1, 0)).diff(dim=1)
    first = (edges == 1).nonzero()
    inside = first[first[:, 1] < 90]
    assert all(bool(hidden[row, place : place + 10].all()) for row, place in inside.tolist())


def test_hidden_clusters_are_predicted_better_than_by_their_frequency(clusters):
    torch.manual_seed(0)
    options = PretrainingConfig(mask_start=0.1, mask_length=3, fit=FitConfig(steps=150, learning_rate=5e-3))
    task = PretrainingTask(Wav2Vec2(ARCH), clusters, options)
    trainer = lightning.Trainer(
        max_steps=150, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, DataLoader([batch()] * 150, batch_size=None), DataLoader([batch()], batch_size=None))
    targets = clusters(batch().features.squeeze(-1))
    assert trainer.callback_metrics["valid/loss"] < 0.5 * chance(targets, 6)
    assert trainer.callback_metrics["valid/accuracy"] > 0.6


@torch.no_grad()
@pytest.mark.parametrize("visible", [0.0, 0.5, 1.0])
def test_visible_frames_count_as_asked_and_accuracy_is_of_hidden_ones(clusters, visible):
    task = PretrainingTask(
        Wav2Vec2(ARCH), clusters, PretrainingConfig(mask_start=0.1, mask_length=3, unmasked_weight=visible)
    ).eval()
    waveforms = batch().features.squeeze(-1)
    torch.manual_seed(1)
    found = task.losses(batch())
    torch.manual_seed(1)
    states, frames = task.model(waveforms, LENGTHS)
    loss, weight, right = 0.0, 0.0, []
    for row, end in enumerate(frames.tolist()):
        targets = clusters(waveforms, frames)[row, :end]
        logits = task.head(states[row, :end])
        nats = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        share = torch.where(task.hidden[row, :end], 1.0, visible)
        loss, weight = loss + float((share * nats).sum()), weight + float(share.sum())
        right += (logits.argmax(1) == targets)[task.hidden[row, :end]].tolist()
    assert float(found["loss"]) == pytest.approx(loss / weight, rel=1e-5)
    assert float(found["accuracy"]) == pytest.approx(sum(right) / len(right))
