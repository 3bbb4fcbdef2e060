"""A checkpoint holds the masked model and brings its masks along."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import nn

from prune_bench.callbacks import IMP, OMP, PARP, Gradual
from tests.helpers.strangers import Classifier, Graded, loader, trainer

EPOCHS = {"max_epochs": 4, "num_sanity_val_steps": 0, "enable_checkpointing": True}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def share(module: nn.Module) -> float:
    """The removed fraction of both prunable layers."""
    weights = [module.layers[2].weight, module.layers[4].weight]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def fitted(folder, pruning, *others, **saving):
    """A module after four epochs, its Trainer, and what wrote its checkpoints."""
    module, saver = Graded(rate=0.05), ModelCheckpoint(folder, monitor="loss", **saving)
    run = trainer(folder, pruning, *others, saver, steps=-1, **EPOCHS)
    run.fit(module, loader(), loader(count=32))
    return module, run, saver


def test_the_best_checkpoint_of_free_revival_is_tested_as_it_was_validated(tmp_path):
    pruning = PARP(0.5, interval=12)
    module, run, saver = fitted(tmp_path, pruning)
    last, best = pruning.masks, saver.best_model_path
    assert share(Graded.load_from_checkpoint(best)) == 0.5
    for again, callback in ((run, pruning), (trainer(tmp_path, fresh := PARP(0.5, interval=12)), fresh)):
        for evaluate in (again.test, again.validate):
            seen = evaluate(module, loader(count=32), ckpt_path=best, verbose=False)[0]
            assert seen["loss"] == pytest.approx(float(saver.best_model_score), abs=1e-6)
        assert share(module) == callback.achieved == 0.5
        assert all((module.layers[i].weight[~callback.masks[f"layers.{i}.weight"]] == 0).all() for i in (2, 4))
        assert callback.masks.checksum() != last.checksum()
    assert torch.equal(fresh.export(module).layers[2].weight, module.layers[2].weight)


def test_a_checkpoint_of_a_test_is_no_beginning_of_the_next_fit(tmp_path):
    pruning = OMP(0.5, at=0.5)
    module, run, saver = fitted(tmp_path, pruning)
    run.test(module, loader(count=32), ckpt_path=saver.best_model_path, verbose=False)
    trainer(tmp_path, pruning, steps=4).fit(fresh := Graded(), loader())
    assert pruning._step == 4
    assert share(fresh) == 0.5


@pytest.mark.parametrize("make", [lambda: OMP(0.5), lambda: PARP(0.5, interval=50)])
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("alone", [False, True])
def test_files_of_weights_alone_and_of_averages_are_sparse(tmp_path, make, averaged, alone):
    seen = []

    class Seeing(Graded):
        def validation_step(self, batch, batch_idx):
            seen.append(share(self))
            super().validation_step(batch, batch_idx)

    others = [EMAWeightAveraging(decay=0.5)] if averaged else []
    pruning, module = make(), Seeing(rate=0.05)
    saver = ModelCheckpoint(tmp_path, save_last=True, save_weights_only=alone)
    run = trainer(tmp_path, pruning, *others, saver, steps=-1, **{**EPOCHS, "max_epochs": 2})
    run.fit(module, loader(), loader(count=8))
    assert share(Graded.load_from_checkpoint(saver.last_model_path)) == 0.5
    assert seen == [0.5, 0.5]
    run.save_checkpoint(tmp_path / "after.ckpt")
    assert share(module) == share(Graded.load_from_checkpoint(tmp_path / "after.ckpt")) == 0.5


@pytest.mark.parametrize("make", [lambda: OMP(0.5), lambda: PARP(0.5), lambda: IMP(0.5), lambda: Gradual(0.5)])
def test_a_checkpoint_may_be_saved_before_a_fit(tmp_path, make):
    pruning, module = make(), Classifier()
    run = trainer(tmp_path, pruning)
    run.strategy.connect(module)
    run.save_checkpoint(tmp_path / "before.ckpt")
    assert share(Classifier.load_from_checkpoint(tmp_path / "before.ckpt")) == 0.0
    assert pruning.state_dict() == {}
    trainer(tmp_path, pruning).fit(module, loader(), ckpt_path=tmp_path / "before.ckpt")
    assert share(module) == 0.5


def test_an_interrupted_fit_leaves_the_masked_model_to_what_comes_next(tmp_path):
    class Breaks(Graded):
        def training_step(self, batch, batch_idx):
            if self.global_step == 5:
                raise KeyError("broken")
            return super().training_step(batch, batch_idx)

    module, pruning = Breaks(rate=0.05), PARP(0.5, interval=50)
    run = trainer(tmp_path, pruning)
    with pytest.raises(KeyError, match="broken"):
        run.fit(module, loader())
    assert share(module) < 0.5
    [seen] = run.test(module, loader(count=8), verbose=False)
    assert share(module) == 0.5
    assert seen["zeros"] == pytest.approx(float((module.watched == 0).float().mean()))
    assert "on_save_checkpoint" not in vars(module)


def test_a_resumed_fit_goes_on_with_its_averages_as_they_were(tmp_path):
    start, ends = Graded(rate=0.05).state_dict(), []
    for checkpoint in (None, tmp_path / "epoch=1.ckpt"):
        module, saver = Graded(rate=0.05), ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
        module.load_state_dict(start)
        others = [EMAWeightAveraging(decay=0.99), PARP(0.5, interval=50), saver]
        run = trainer(tmp_path, *others, steps=-1, **EPOCHS)
        run.fit(module, loader(), loader(count=8), ckpt_path=checkpoint, weights_only=False)
        ends.append(module.state_dict())
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
