"""Two processes keep the same masks, or the fit stops."""

from __future__ import annotations

import copy
from pathlib import Path

import lightning
import pytest
import torch
from speech import batches, make_task
from strangers import Classifier, loader, trainer
from torch import distributed as dist
from torch.utils.data import DataLoader, IterableDataset

from prune_bench.callbacks import L0, OMP, PARP, Gradual, Taylor
from prune_bench.pruning.criteria import CRITERIA, Criterion

PROCESSES = {"strategy": "ddp_spawn", "devices": 2, "use_distributed_sampler": True}


class Record(lightning.Callback):
    """Writes each rank's mask checksum and weights."""

    def __init__(self, folder: Path, pruning):
        self.folder, self.pruning = folder, pruning

    def on_fit_end(self, trainer, pl_module):
        state = {name: value.clone() for name, value in pl_module.state_dict().items()}
        torch.save((self.pruning.masks.checksum(), state), self.folder / f"{trainer.global_rank}.pt")


MAKERS = {
    "PARP": lambda: PARP(0.5, interval=2),
    "random": lambda: OMP(0.5, criterion="random"),
    "Taylor": lambda: Taylor(0.5, at=0.5),
    "gradual Taylor": lambda: Gradual(0.5, ramp=0.9, interval=1, criterion="taylor"),
    "gradual, ranks": lambda: Gradual(0.5, ramp=0.9, interval=1, structure="ranks"),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_ranks_agree_on_masks_and_weights(tmp_path, make):
    pruning = make()
    trainer(tmp_path, pruning, Record(tmp_path, pruning), steps=4, **PROCESSES).fit(Classifier(), loader())
    (first, weights), (second, others) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    assert all(torch.equal(weights[name], others[name]) for name in weights)


class Shares(IterableDataset):
    """Batches of sixteen, of which each process takes its share."""

    def __iter__(self):
        rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        for batch in DataLoader(loader().dataset, batch_size=16):
            yield [part[rank::size] for part in batch]


def test_taylor_scores_are_of_the_whole_batch_whatever_the_processes(tmp_path):
    pruning, alone = (Taylor(0.5, at=0.75) for _ in range(2))
    torch.manual_seed(0)
    module = Classifier()
    twin, data = copy.deepcopy(module), DataLoader(Shares(), batch_size=None)
    options = {**PROCESSES, "use_distributed_sampler": False}
    trainer(tmp_path, pruning, Record(tmp_path, pruning), steps=4, **options).fit(module, data)
    trainer(tmp_path, alone, steps=4).fit(twin, data)
    checksum, _ = torch.load(tmp_path / "0.pt")
    assert checksum == alone.masks.checksum()


def test_gates_agree_across_ranks(tmp_path):
    pruning = L0(0.5, settle=0.5, mask_learning_rate=0.3, multiplier_learning_rate=0.3, reference_frames=20)
    options = {**PROCESSES, "use_distributed_sampler": False}
    trainer(tmp_path, pruning, Record(tmp_path, pruning), steps=6, **options).fit(make_task(6), batches())
    (first, weights), (second, others) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    keys = [name for name in weights if "batch_norm.running" not in name]
    assert all(torch.equal(weights[name], others[name]) for name in keys)


def _rank_dependent(weight, statistic, generator):
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    return weight.detach().abs() * (1 if rank == 0 else -1)


def test_diverging_masks_stop_the_fit(tmp_path, monkeypatch):
    monkeypatch.setitem(CRITERIA, "rank", Criterion("rank", _rank_dependent))
    with pytest.raises(Exception, match="differ across ranks"):
        trainer(tmp_path, PARP(0.5, interval=2, criterion="rank"), steps=4, **PROCESSES).fit(Classifier(), loader())
