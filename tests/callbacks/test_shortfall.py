"""A fit that ends short of the asked sparsity says so, and so does a best checkpoint from before."""

from __future__ import annotations

import warnings

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from prune_bench.callbacks import IMP, OMP, PARP, Gradual, LowRank, Taylor
from prune_bench.callbacks.shortfall import SparsityWarning
from tests.helpers.strangers import Classifier, FirstIsBest, loader, trainer

RISING = {
    "Gradual": lambda: Gradual(0.5),
    "IMP": lambda: IMP(0.5),
    "PARP-P": lambda: PARP(0.5, start=0.1),
    "OMP": lambda: OMP(0.5, at=0.5),
    "Taylor": lambda: Taylor(0.5),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def told(run, module, checkpoint=None) -> list[str]:
    """The warnings of a fit about its sparsity."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.fit(module, loader(), loader(count=8), ckpt_path=checkpoint)
    return [str(one.message) for one in caught if one.category is SparsityWarning]


@pytest.mark.parametrize("method", RISING)
def test_a_fit_that_stops_early_says_what_it_reached(tmp_path, method):
    pruning = RISING[method]()
    run = trainer(tmp_path, pruning, EarlyStopping("loss", patience=2), steps=-1, max_epochs=100)
    [message] = told(run, FirstIsBest())
    assert f"ended at a sparsity of {pruning.achieved:.2%}, not at the asked 50.00%" in message
    assert "after 24 of 800 planned updates" in message
    assert message.startswith(type(pruning).__name__)


@pytest.mark.parametrize("method", [*RISING, "at once"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_best_checkpoint_from_before_the_asked_sparsity_is_announced(tmp_path, method, alone):
    pruning = RISING.get(method, lambda: OMP(0.5))()
    saver = ModelCheckpoint(tmp_path, "best", monitor="loss", save_weights_only=alone)
    options = {"max_epochs": 6, "enable_checkpointing": True, "num_sanity_val_steps": 0}
    messages = told(trainer(tmp_path, pruning, saver, steps=-1, **options), FirstIsBest())
    weights = torch.load(saver.best_model_path, weights_only=True)["state_dict"]
    zeros = sum(int((weights[f"layers.{i}.weight"] == 0).sum()) for i in (2, 4))
    assert pruning.achieved == 0.5
    if zeros == 768:
        assert messages == []
        return
    assert method != "at once"
    [message] = messages
    assert f"best checkpoint {saver.best_model_path} has a sparsity of {zeros / 1536:.2%}" in message


def test_the_sparsity_of_the_best_checkpoint_outlives_an_interruption(tmp_path):
    def fit(checkpoint=None, **options):
        saver = ModelCheckpoint(tmp_path, "{step}", monitor="loss", save_last=True)
        options = {"enable_checkpointing": True, "num_sanity_val_steps": 0, **options}
        return told(trainer(tmp_path, Gradual(0.5), saver, steps=48, **options), FirstIsBest(), checkpoint), saver

    _, saver = fit(max_epochs=2)
    [message], after = fit(saver.last_model_path)
    assert after.best_model_path == saver.best_model_path
    assert f"best checkpoint {after.best_model_path} has a sparsity of" in message


def test_whole_ranks_fall_short_without_a_word(tmp_path):
    pruning = LowRank(0.5)
    assert told(trainer(tmp_path, pruning, limit_val_batches=0), Classifier()) == []
    assert pruning.achieved != 0.5
