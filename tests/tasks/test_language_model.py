"""A language model in training."""

from __future__ import annotations

import math

import pytest
import torch
from lightning import Trainer

from prune_bench.config import FitConfig
from prune_bench.data.text.batches import TextData
from prune_bench.measurement.perplexity import perplexity, score_sentences
from prune_bench.tasks.language_model import LanguageModelTask
from tests.helpers.text import make_model, make_store

FIT = FitConfig(steps=200, frames=64, learning_rate=1e-2)


def fit(folder, task, splits, steps, checkpoint=None):
    trainer = Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, use_distributed_sampler=False, enable_checkpointing=False,
    )  # fmt: skip
    data = TextData(splits, FIT, 0)
    trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=False)
    return trainer


@pytest.fixture
def splits(tmp_path):
    store = make_store(tmp_path / "store", ("a b c d",) * 20 + ("d c",) * 20)
    return {"train": store, "dev": store}


def test_it_learns_the_sentences_it_reads(tmp_path, splits):
    task = LanguageModelTask(make_model(), FIT)
    before = score_sentences(task.model, splits["dev"]).sum()
    fit(tmp_path, task, splits, 200)
    after = score_sentences(task.model, splits["dev"])
    assert after.sum() < 0.3 * before
    # Two sentences, equally often: nothing but which of them is left to guess.
    assert after.mean() == pytest.approx(math.log(2), abs=0.2)


def test_validation_reports_the_perplexity(tmp_path, splits):
    task = LanguageModelTask(make_model(), FIT)
    (found,) = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, use_distributed_sampler=False,
    ).validate(task, datamodule=TextData(splits, FIT, 0), verbose=False)  # fmt: skip
    store = splits["dev"]
    counts = [len(store[index]) + 1 for index in range(len(store))]
    assert found["valid/perplexity"] == pytest.approx(perplexity(score_sentences(task.model, store), counts), rel=1e-4)


def test_a_resumed_fit_ends_at_the_same_weights(tmp_path, splits):
    whole, parts = (LanguageModelTask(make_model(), FIT) for _ in range(2))
    fit(tmp_path, whole, splits, 12)
    fit(tmp_path, parts, splits, 5).save_checkpoint(tmp_path / "half.ckpt")
    again = LanguageModelTask(make_model(1), FIT)
    fit(tmp_path, again, splits, 12, checkpoint=tmp_path / "half.ckpt")
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
