"""A fit that stops anywhere and resumes must meet the batches, and take the steps, of one that never stopped."""

from __future__ import annotations

import lightning
import numpy as np
import pytest
import torch

from prune_bench.config import FitConfig
from prune_bench.data import Corpus, SpeechData
from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Characters

STEPS = 12


class Recorder(lightning.LightningModule):
    """Learns the mean of the features; notes which utterances came with which step."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(2))
        self.seen: list[tuple[int, int, list[int]]] = []

    def training_step(self, batch, batch_index):
        self.seen.append((self.global_step, batch_index, batch.indices.tolist()))
        return (batch.features.mean(dim=(0, 1)) - self.mean).square().sum()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


class SaveAt(lightning.Callback):
    """Writes a checkpoint after a given number of batches."""

    def __init__(self, batches: int, path) -> None:
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index):
        if batch_index + 1 == self.batches:
            trainer.save_checkpoint(self.path)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    random = np.random.default_rng(0)
    lengths = random.integers(20, 60, 40)
    features = random.standard_normal((lengths.sum(), 2)).astype(np.float16)
    names = [f"u{place}" for place in range(40)]
    store = FeatureStore(
        (features,),
        np.zeros_like(lengths),
        np.cumsum(lengths) - lengths,
        lengths,
        names,
        ["a"] * 40,
        names,
        lengths / 100,
        {},
    )
    return Corpus(dict.fromkeys(("train", "dev-clean"), store), Characters("a"))


def fit(corpus: Corpus, accumulate: int, callback=None, checkpoint=None, **options) -> Recorder:
    module = Recorder()
    trainer = lightning.Trainer(
        max_steps=STEPS, accumulate_grad_batches=accumulate, callbacks=[callback] if callback else [],
        use_distributed_sampler=False, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    trainer.fit(module, datamodule=SpeechData(corpus, FitConfig(frames=250), seed=5), ckpt_path=checkpoint)
    assert trainer.global_step == STEPS
    return module


@pytest.mark.parametrize(("accumulate", "batches"), [(1, 5), (1, 11), (3, 12), (3, 13), (3, 14), (3, 31)])
def test_resumed_fit_meets_the_same_batches_and_ends_with_the_same_weights(corpus, tmp_path, accumulate, batches):
    whole = fit(corpus, accumulate, SaveAt(batches, tmp_path / "stopped.ckpt"))
    resumed = fit(corpus, accumulate, checkpoint=tmp_path / "stopped.ckpt")
    assert len(whole.seen) == STEPS * accumulate
    assert resumed.seen == whole.seen[batches - batches % accumulate :]
    assert torch.equal(resumed.mean, whole.mean)


def test_epochs_of_a_limited_fit_continue_the_stream(corpus):
    whole, limited = fit(corpus, 1), fit(corpus, 1, limit_train_batches=5, max_epochs=-1)
    assert [indices for _, _, indices in limited.seen] == [indices for _, _, indices in whole.seen]


def test_fit_validates_on_dev_clean(corpus):
    counted = []

    class Validating(Recorder):
        def validation_step(self, batch, batch_index):
            counted.extend(batch.indices.tolist())

    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.validate(Validating(), datamodule=SpeechData(corpus, FitConfig(frames=250), seed=0), verbose=False)
    assert sorted(counted) == list(range(40))
