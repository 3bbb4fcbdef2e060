"""Callbacks and modules that are copied, pickled, and fitted in other processes."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys

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
        rank = pruning.ranks["layers.2"]
        assert torch.linalg.matrix_rank(module.watched) == rank < 24
        assert pruning.achieved == pytest.approx(0.5, abs=0.1)
        small = pruning.export(module)
        assert small.layers[2].down.weight.shape == (rank, 24)
        inputs = next(iter(loader()))[0]
        assert torch.allclose(small.layers(inputs), module.layers(inputs), atol=1e-5)
        assert sum(layer.weight.numel() for layer in module.layers[::2]) > sum(p.numel() for p in small.parameters())
    else:
        assert pruning.achieved == pruning.masks.sparsity == 0.5
        assert all((module.get_parameter(name)[~mask] == 0).all() for name, mask in pruning.masks.items())
    assert pruning.state_dict()["step"] == 3
    assert not pruning._handover.path.exists()


def test_what_a_spawned_fit_left_and_nobody_read_goes(tmp_path):
    pruning = OMP(0.5)
    trainer(tmp_path, pruning, strategy="ddp_spawn", devices=1, steps=2).fit(Classifier(), loader())
    path = pruning._handover.path
    assert path.exists()
    del pruning
    gc.collect()
    assert not path.exists()


FIT = """
import pickle, sys
from pathlib import Path
from tests.helpers.strangers import Classifier, loader, trainer

pruning = pickle.loads(Path(sys.argv[1]).read_bytes())
trainer(sys.argv[2], pruning, steps=2).fit(Classifier(), loader())
print(pruning.pruner.achieved)
"""


def test_a_callback_that_another_process_unpickles_leaves_nothing(tmp_path):
    (tmp_path / "pruning").write_bytes(pickle.dumps(pruning := OMP(0.5)))
    (folder := tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FIT, str(tmp_path / "pruning"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.split()[-1] == "0.5"
    assert not list(folder.glob("prune-bench-*"))
    assert not pruning._handover.path.exists()
