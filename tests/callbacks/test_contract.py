"""What every mask of single weights keeps to, on a classifier and on a wav2vec 2.0 encoder."""

from __future__ import annotations

import pytest
import torch
from lightning import Callback

from prune_bench.callbacks import IMP, MPI, OMP, PARP, RP
from prune_bench.pruning.targets import find_targets
from tests.helpers.strangers import Classifier, SpeechClassifier, loader, trainer

SPARSITY, STEPS = 0.7, 20
MAKERS = {
    "RP": lambda: RP(SPARSITY),
    "MPI": lambda: MPI(SPARSITY),
    "OMP": lambda: OMP(SPARSITY),
    "OMP, late": lambda: OMP(SPARSITY, at=0.5),
    "IMP": lambda: IMP(SPARSITY),
    "PARP": lambda: PARP(SPARSITY, interval=3),
    "PARP-P": lambda: PARP(SPARSITY, interval=3, start=0.3),
}
MODULES = {"classifier": (Classifier, 10), "wav2vec2": (SpeechClassifier, 400)}


class Watch(Callback):
    """Notes each drawn mask beside what the schedule asked for, and what the first draw did to the rest."""

    def __init__(self, pruning, module):
        self.pruning = pruning
        self.before = {name: value.clone() for name, value in module.state_dict().items()}
        self.counts, self.last, self.nested = [], None, True

    def note(self, step):
        masks = self.pruning.masks
        if masks and masks is not self.last:
            total = sum(mask.numel() for mask in masks.values())
            removed = sum(int((~mask).sum()) for mask in masks.values())
            asked = self.pruning.pruner.schedule.sparsity_at(step)
            self.counts.append((removed, round(asked * total)))
            self.nested &= self.last is None or all((masks[name] <= self.last[name]).all() for name in masks)
            self.last = masks

    def on_train_start(self, trainer, pl_module):
        targets = {f"{prefix}{name}" for prefix in ("", "wav2vec2.") for name in find_targets(pl_module)}
        now = pl_module.state_dict()
        self.touched = {name for name in now if not torch.equal(now[name], self.before[name])} - targets
        self.note(0)

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.note(trainer.global_step)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("method", MAKERS)
def test_masks_are_exact_under_ties_and_zeros_and_touch_nothing_else(tmp_path, method, module):
    make, width = MODULES[module]
    torch.manual_seed(0)
    task = make()
    for weight in find_targets(task).values():
        weight.data.mul_(20).round_().div_(20)  # many ties, many zeros
    pruning = MAKERS[method]()
    watch = Watch(pruning, task)
    trainer(tmp_path, pruning, watch, steps=STEPS).fit(task, loader(width))
    assert watch.counts
    assert all(removed == asked for removed, asked in watch.counts)
    assert watch.touched == set()
    total = sum(mask.numel() for mask in pruning.masks.values())
    assert pruning.achieved == pytest.approx(SPARSITY, abs=1 / total)
    for name, weight in find_targets(task).items():
        assert (weight[~pruning.masks[name]] == 0).all()


@pytest.mark.parametrize("module", MODULES)
def test_rounds_are_nested(tmp_path, module):
    make, width = MODULES[module]
    task, pruning = make(), IMP(SPARSITY)
    watch = Watch(pruning, task)
    trainer(tmp_path, pruning, watch, steps=STEPS).fit(task, loader(width))
    assert len(watch.counts) == 7
    assert watch.nested


@pytest.mark.parametrize("method", ["RP", "MPI", "OMP"])
@pytest.mark.parametrize("module", MODULES)
def test_what_is_removed_at_the_start_stays_and_what_is_kept_starts_as_it_was(tmp_path, method, module):
    make, width = MODULES[module]
    task, pruning = make(), MAKERS[method]()
    before = {name: weight.detach().clone() for name, weight in find_targets(task).items()}
    seen = {}

    class Start(Callback):
        def on_train_start(self, trainer, pl_module):
            seen.update({name: weight.detach().clone() for name, weight in find_targets(pl_module).items()})

    trainer(tmp_path, pruning, Start(), steps=4).fit(task, loader(width))
    for name, mask in pruning.masks.items():
        assert torch.equal(seen[name], before[name] * mask)
