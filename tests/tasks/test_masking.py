"""Hidden frames and channels: as many as fairseq hides, where it hides them, by the vector of pretraining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from prune_bench.config import FeatureConfig, FinetuningConfig, FitConfig
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch
from prune_bench.tasks.ctc import CtcTask
from prune_bench.tasks.masking import fixed_spans, mask_features

ROWS = 2000
ARCH = Wav2Vec2Arch(
    convs=((16, 10, 5), (16, 8, 4)), norm="layer_norm", conv_bias=True, width=32, head_width=16, position_kernel=8,
    position_groups=4, norm_first=True, layers=(BlockArch(2, 64),), vocabulary=6, mask_embedding=True,
)  # fmt: skip
TUNING = FinetuningConfig(mask_prob=0.65, mask_length=4)


def published_share(end: int, probability: float, length: int, random: np.random.Generator) -> float:
    """The mean share of hidden places of a row, by the published definition, a row at a time."""
    hidden = 0
    for _ in range(ROWS):
        spans = int(probability * end / length + random.random())
        starts = random.choice(end - length, spans, replace=False)
        hidden += len({start + offset for start in starts.tolist() for offset in range(length)})
    return hidden / ROWS / end


@pytest.mark.parametrize(("end", "probability", "length"), [
    (50, 0.65, 10), (100, 0.65, 10), (200, 0.75, 10), (500, 0.65, 10), (800, 0.65, 10), (800, 0.75, 10),
    (768, 0.256, 64), (1024, 0.512, 64),
])  # fmt: skip
def test_as_much_is_hidden_as_published(end, probability, length):
    torch.manual_seed(0)
    found = fixed_spans(torch.full((ROWS,), end), end, probability, length).float().mean()
    assert float(found) == pytest.approx(published_share(end, probability, length, np.random.default_rng(1)), abs=0.008)


def test_half_of_an_utterance_is_hidden_on_ten_hours():
    torch.manual_seed(0)
    assert float(fixed_spans(torch.full((ROWS,), 600), 600, 0.65, 10).float().mean()) == pytest.approx(0.486, abs=0.01)


def test_spans_have_their_length_and_lie_within_each_row():
    torch.manual_seed(0)
    ends = torch.tensor([30, 100, 64] * 100)
    hidden = fixed_spans(ends, 100, 0.3, 10, fewest=1)
    assert bool(hidden.any(1).all())
    assert not bool((hidden & (torch.arange(100) >= ends[:, None] - 1)).any())
    edges = torch.nn.functional.pad(hidden.int(), (1, 1)).diff(dim=1)
    (_, begun), (_, ended) = (edges == 1).nonzero().T, (edges == -1).nonzero().T
    assert int((ended - begun).min()) == 10
    assert {0, 1} <= set(begun.tolist())


@pytest.mark.parametrize(("end", "fewest", "most"), [(3, 1, 3), (10, 1, 10), (12, 10, 12)])
def test_a_row_shorter_than_its_spans_is_hidden_in_part_or_whole(end, fewest, most):
    torch.manual_seed(0)
    count = fixed_spans(torch.full((ROWS,), end), 20, 0.65, 10, fewest=2).sum(1)
    assert (int(count.min()) >= fewest, int(count.max()) <= most) == (True, True)


def make_task(**changes) -> CtcTask:
    torch.manual_seed(0)
    arch = replace(ARCH, mask_embedding=changes.pop("embedding", True))
    return CtcTask(Wav2Vec2(arch), FitConfig(steps=4), FeatureConfig(time_masks=5), replace(TUNING, **changes))


def projected_and_hidden(task: CtcTask, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the projection of the features puts out, and what of it the Transformer reads."""
    seen = []
    task.model.encoder.feature_projection.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    task.model.encoder.transformer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    task.model(torch.randn(len(lengths), int(lengths.max())), lengths)
    features, read = seen
    projection = task.model.encoder.feature_projection
    return projection.projection(projection.layer_norm(features)), read


def test_hidden_frames_hold_the_embedding_and_others_what_they_held():
    task, lengths = make_task(), torch.tensor([4000, 2000])
    projected, read = projected_and_hidden(task, lengths)
    embedding = task.model.mask_embedding
    hidden = (read == embedding).all(2)
    inside = torch.arange(read.shape[1]) < task.frames[:, None]
    assert torch.equal(read[inside & ~hidden], projected[inside & ~hidden])
    assert not bool(read[~inside].any())
    assert not bool((hidden & ~inside).any())
    for row, end in zip(hidden, task.frames.tolist(), strict=True):
        assert 0.3 < float(row[:end].float().mean()) < 0.65


def test_without_an_embedding_hidden_frames_are_zeros():
    task = make_task(embedding=False)
    _, read = projected_and_hidden(task, torch.tensor([4000]))
    assert 0.3 < float((read == 0).all(2).float().mean()) < 0.65


def test_spans_of_channels_are_zero_in_all_frames():
    task = make_task(mask_prob=0.65, mask_channel_prob=0.5, mask_channel_length=8)
    _, read = projected_and_hidden(task, torch.tensor([4000]))
    silent = (read[0] == 0).all(0)
    assert 8 <= int(silent.sum()) <= 16
    hidden = (read[0] == task.model.mask_embedding.where(~silent, 0.0)).all(1)
    assert 0.3 < float(hidden.float().mean()) < 0.65


def test_nothing_is_hidden_but_in_training():
    task = make_task(mask_channel_prob=0.5, mask_channel_length=8).eval()
    projected, read = projected_and_hidden(task, torch.tensor([4000]))
    assert torch.equal(read, projected)


def test_the_embedding_is_trained_and_stands_for_no_more_than_it_hides():
    features, embedding = torch.randn(2, 50, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    torch.manual_seed(0)
    read = mask_features(features, torch.tensor([50, 20]), embedding, TUNING)
    read.sum().backward()
    hidden = (read == embedding).all(2)
    assert torch.equal(embedding.grad, torch.full((8,), float(hidden.sum())))
    assert torch.equal(features.grad[..., 0] == 0, hidden)
