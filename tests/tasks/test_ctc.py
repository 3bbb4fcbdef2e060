"""The CTC task: it learns, freezes what it should, hides what it should, and resumes."""

from __future__ import annotations

import copy
from dataclasses import replace

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from prune_bench.config import FeatureConfig, FinetuningConfig, FitConfig
from prune_bench.data.batches import Batch
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch
from prune_bench.tasks.ctc import CtcTask

ARCH = Wav2Vec2Arch(
    convs=((16, 10, 5), (16, 8, 4)), norm="layer_norm", conv_bias=True, width=32, head_width=16, position_kernel=8,
    position_groups=4, norm_first=True, layers=(BlockArch(2, 64),), vocabulary=6,
)  # fmt: skip
PLAIN = FeatureConfig(time_masks=0)


def batch() -> Batch:
    """Each token is a tone of its own."""
    targets = torch.tensor([[1, 2, 3], [4, 5, 0]])
    time = torch.arange(300) / 300
    tones = [torch.cat([torch.sin(40 * token * time) for token in row]) for row in targets.tolist()]
    lengths = torch.tensor([900, 600])
    return Batch(torch.stack(tones)[..., None], lengths, targets, torch.tensor([3, 2]), torch.arange(2))


PUBLISHED = FinetuningConfig(mask_prob=0.65, mask_length=4, mask_channel_prob=0.5, mask_channel_length=8)


def make_task(steps: int, features: FeatureConfig = PLAIN, model: Wav2Vec2 | None = None, **options) -> CtcTask:
    torch.manual_seed(0)
    return CtcTask(model or Wav2Vec2(ARCH), FitConfig(steps=steps, learning_rate=5e-3), features, **options)


def train(task, steps, checkpoint=None, **options):
    trainer = lightning.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options,
    )  # fmt: skip
    parts = [batch()] * (steps if checkpoint is None else task.fit.steps)
    trainer.fit(task, DataLoader(parts, batch_size=None), DataLoader([batch()], batch_size=None), ckpt_path=checkpoint)
    return trainer


def test_learns_two_utterances_by_heart_and_leaves_the_convolutions_alone():
    task = make_task(200)
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    trainer = train(task, 200)
    assert task.recognise(batch()) == [[1, 2, 3], [4, 5]]
    assert trainer.callback_metrics["valid/wer"] == 0.0
    moved = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in moved if name.startswith("feature_extractor")]
    assert [name for name in moved if name.startswith("encoder.transformer.layers.0.attention")]


def test_the_head_learns_alone_at_first():
    model = Wav2Vec2(replace(ARCH, mask_embedding=True))
    task = make_task(10, model=model, finetuning=replace(PUBLISHED, head_only=0.5))
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    train(task, 5)
    moved = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"aux.weight", "aux.bias"}
    train(task, 8)
    assert not torch.equal(task.model.mask_embedding, before["mask_embedding"])


def test_stretches_are_hidden_in_training_alone():
    task = make_task(1, FeatureConfig(time_masks=2, time_width=8))
    projected = torch.ones(3, 40, 4)
    hidden = task.hide(task.model.encoder.feature_projection, (), projected)
    assert 0 < int((hidden == 0).sum()) <= 3 * 2 * 8 * 4
    assert torch.equal(task.eval().hide(task.model.encoder.feature_projection, (), projected), projected)


@pytest.mark.parametrize("published", [False, True])
def test_resumed_equals_uninterrupted(tmp_path, published):
    masked, options = FeatureConfig(time_masks=2, time_width=8), {}
    if published:
        torch.manual_seed(0)
        model = Wav2Vec2(replace(ARCH, mask_embedding=True), layer_drop=0.3, activation_dropout=0.2, final_dropout=0.1)
        options = {"finetuning": PUBLISHED}
    straight, first, second = (
        make_task(6, masked, copy.deepcopy(model) if published else None, **options) for _ in range(3)
    )
    train(straight, 6)
    train(first, 3).save_checkpoint(tmp_path / "last.ckpt")
    train(second, 6, tmp_path / "last.ckpt")
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_an_encoder_without_a_head_is_refused():
    with pytest.raises(ValueError, match="no CTC head"):
        CtcTask(Wav2Vec2(Wav2Vec2Arch(**{**vars(ARCH), "vocabulary": 0})), FitConfig(), PLAIN)
