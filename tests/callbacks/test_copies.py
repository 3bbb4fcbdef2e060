"""Callbacks and modules that are copied, pickled, and fitted in other processes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from lightning import Callback

from prune_bench.callbacks import IMP, OMP, PARP, Gradual, LowRank, Taylor
from tests.helpers.strangers import Classifier, loader, trainer

MAKERS = {
    "OMP": lambda: OMP(0.5),
    "PARP": lambda: PARP(0.5),
    "IMP": lambda: IMP(0.5),
    "Gradual": lambda: Gradual(0.5),
    "Taylor": lambda: Taylor(0.5, at=0.3),
    "ranks": lambda: OMP(0.5, structure="ranks"),
    "LowRank": lambda: LowRank(0.5),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("method", MAKERS)
def test_callbacks_are_copied_before_and_after_a_fit(tmp_path, method):
    pruning, module = MAKERS[method](), Classifier()
    pruning = pickle.loads(pickle.dumps(copy.deepcopy(pruning)))
    trainer(tmp_path, pruning).fit(module, loader())
    for copied in (copy.deepcopy(pruning), pickle.loads(pickle.dumps(pruning))):
        assert copied.achieved == pruning.achieved
        trainer(tmp_path, copied).fit(Classifier(), loader())
        assert copied.achieved == pytest.approx(pruning.achieved, abs=0.1)
    pickle.dumps(module)


def test_a_copied_callback_leaves_the_module_of_the_first_alone(tmp_path):
    pruning, module = OMP(0.5), Classifier()
    trainer(tmp_path, pruning).fit(module, loader())
    copied = copy.deepcopy(pruning)
    with torch.no_grad():
        module.watched.fill_(1.0)
    copied.pruner.structure.apply(copied.masks)
    assert (module.watched == 1).all()


def test_a_module_that_is_copied_during_a_fit_saves_as_if_alone(tmp_path):
    copies = []

    class Copy(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            copies.append(copy.deepcopy(pl_module))

    trainer(tmp_path, PARP(0.5, interval=100), Copy(), steps=2).fit(Classifier(rate=0.05), loader())
    checkpoint = {"state_dict": copies[-1].state_dict()}
    copies[-1].on_save_checkpoint(checkpoint)
    assert torch.equal(checkpoint["state_dict"]["layers.2.weight"], copies[-1].watched)
    assert (copies[-1].watched == 0).float().mean() < 0.3


@pytest.mark.parametrize("method", ["PARP", "LowRank"])
def test_a_spawned_fit_brings_back_what_it_did(tmp_path, method):
    pruning, module = MAKERS[method](), Classifier()
    run = trainer(tmp_path, pruning, strategy="ddp_spawn", devices=1, steps=3)
    run.fit(module, loader())
    if method == "LowRank":
        assert torch.linalg.matrix_rank(module.watched) < 24
    else:
        assert pruning.achieved == pruning.masks.sparsity == 0.5
        assert all((module.get_parameter(name)[~mask] == 0).all() for name, mask in pruning.masks.items())
    assert pruning.state_dict()["step"] == 3
    assert not pruning._handover.path.exists()
