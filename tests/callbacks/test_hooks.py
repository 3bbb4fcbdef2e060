"""Weights that a module loads in its own `on_fit_start`, which Lightning calls after those of callbacks."""

from __future__ import annotations

import pytest
import torch
from lightning import Callback
from strangers import Classifier, loader, trainer

from prune_bench.callbacks import IMP, OMP, PARP, LowRank


class Loads(Classifier):
    """Loads weights when a fit begins, and notes which zeros the sanity check saw."""

    seen = None

    def on_fit_start(self):
        torch.manual_seed(7)
        self.given = Classifier().state_dict()
        self.load_state_dict(self.given)

    def validation_step(self, batch, batch_idx):
        if self.trainer.sanity_checking:
            self.seen = float((self.watched == 0).float().mean())


def given(module: Loads) -> Classifier:
    made = Classifier()
    made.load_state_dict(module.given)
    return made


@pytest.mark.parametrize("make", [lambda: OMP(0.5), lambda: PARP(0.5, interval=50), lambda: IMP(0.5)])
def test_masks_are_of_the_weights_that_the_module_loads(tmp_path, make):
    module, pruning = Loads(rate=0.0, decay=0.0), make()
    trainer(tmp_path, pruning).fit(module, loader(), loader(count=8))
    assert pruning.masks.checksum() == OMP(0.5).choose(given(module)).checksum()
    for name in ("layers.2.weight", "layers.4.weight"):
        assert torch.equal(module.get_parameter(name), given(module).get_parameter(name) * pruning.masks[name])
    if not isinstance(pruning, IMP):
        assert module.seen == pytest.approx(float((module.watched == 0).float().mean()))
    assert "on_fit_start" not in vars(module)


def test_factors_are_of_the_weights_that_the_module_loads(tmp_path):
    module, pruning = Loads(rate=0.0, decay=0.0), LowRank(0.5)
    trainer(tmp_path, pruning, steps=1).fit(module, loader())
    best = given(module)
    LowRank(0.5).factorise(best)
    assert torch.allclose(module.watched, best.watched, atol=1e-6)


def test_ranks_of_other_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"LowRank: ranks were chosen before other weights were loaded"):
        trainer(tmp_path, LowRank(0.5, allocation="global"), steps=1).fit(Loads(), loader())
    run = trainer(tmp_path, steps=1)
    run.fit(Classifier(), loader())
    run.save_checkpoint(tmp_path / "dense.ckpt")
    run = trainer(tmp_path, LowRank(0.5, allocation="global"), steps=2)
    with pytest.raises(ValueError, match=r"LowRank: ranks were chosen before other weights were loaded"):
        run.fit(Classifier(), loader(), ckpt_path=tmp_path / "dense.ckpt")
    trainer(tmp_path, LowRank(0.5, allocation="global"), steps=1).fit(Classifier(), loader())


def test_a_fit_that_breaks_before_it_begins_leaves_nothing_to_the_next_one(tmp_path):
    class Breaks(Callback):
        def on_fit_start(self, trainer, pl_module):
            raise KeyError("broken")

    module, first, second = Classifier(), OMP(0.5), OMP(0.8)
    with pytest.raises(KeyError, match="broken"):
        trainer(tmp_path, first, Breaks()).fit(module, loader())
    trainer(tmp_path, second, steps=2).fit(module, loader())
    assert sum(int((module.layers[i].weight == 0).sum()) for i in (2, 4)) == round(0.8 * 1536)
    with pytest.raises(RuntimeError, match="OMP has pruned nothing"):
        _ = first.achieved
