"""Loops that tune a Trainer before or in a fit, and fits without a planned end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader, IterableDataset

import prune_bench
from prune_bench.callbacks import IMP, OMP, PARP, Gradual, LowRank, Taylor
from tests.helpers.strangers import Classifier, loader, trainer

MAKERS = {
    "OMP": lambda: OMP(0.5),
    "PARP": lambda: PARP(0.5),
    "IMP": lambda: IMP(0.5),
    "Taylor": lambda: Taylor(0.5, at=0.3),
    "LowRank": lambda: LowRank(0.5),
}


class Tuned(Classifier):
    def __init__(self):
        super().__init__()
        self.lr, self.batch_size = 1e-2, 2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self):
        return DataLoader(loader().dataset, batch_size=self.batch_size)

    def val_dataloader(self):
        return loader(count=8)


class Stream(IterableDataset):
    def __iter__(self):
        yield from loader().dataset


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("method", MAKERS)
@pytest.mark.parametrize("loop", ["rate", "batch", "callback"])
def test_a_fit_after_a_tuner_ends_at_the_asked_sparsity(tmp_path, method, loop):
    pruning, module = MAKERS[method](), Tuned()
    finder = BatchSizeFinder(max_trials=2, init_val=2, steps_per_trial=2)
    run = trainer(tmp_path, pruning, *([finder] if loop == "callback" else []), steps=-1, max_epochs=4)
    if loop == "rate":
        Tuner(run).lr_find(module, num_training=5, update_attr=False)
    elif loop == "batch":
        Tuner(run).scale_batch_size(module, max_trials=2, init_val=2, steps_per_trial=2)
    run.fit(module)
    assert pruning._step == run.global_step
    if method == "LowRank":
        assert pruning.achieved == pytest.approx(0.5, abs=0.1)
    else:
        assert sum(int((module.layers[i].weight == 0).sum()) for i in (2, 4)) == 768


@pytest.mark.parametrize("make", [lambda: OMP(0.5), lambda: PARP(0.5, interval=5), lambda: LowRank(0.5)])
def test_what_asks_for_no_end_needs_none(tmp_path, make):
    pruning = make()
    run = trainer(tmp_path, pruning, steps=-1, max_epochs=2)
    run.fit(Classifier(), DataLoader(Stream(), batch_size=8))
    assert pruning.achieved == pytest.approx(0.5, abs=0.1)


def test_a_schedule_in_a_stream_without_length_asks_for_updates(tmp_path):
    with pytest.raises(ValueError, match=r"Gradual: the training data have no length.*max_steps"):
        trainer(tmp_path, Gradual(0.5), steps=-1, max_epochs=2).fit(Classifier(), DataLoader(Stream(), batch_size=8))


@pytest.mark.parametrize("make", [*MAKERS.values(), lambda: Gradual(0.5, sizes=(0.2,))])
def test_a_run_of_one_batch_says_nothing_of_schedules(tmp_path, make):
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pruning = make()
    lightning.Trainer(fast_dev_run=True, callbacks=[pruning], **options).fit(Classifier(), loader())
    assert pruning._step == 1


def test_type_checkers_know_the_options(tmp_path):
    (tmp_path / "user.py").write_text(
        "from prune_bench.callbacks import OMP\n\nOMP(0.5, include=['a'])\nOMP(0.5, nonsense=True)\nOMP(0.5, at='no')\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--no-error-summary", "user.py"]
    found = {**os.environ, "MYPYPATH": str(Path(prune_bench.__file__).parents[1])}
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=found).stdout
    assert [line.split(":")[1] for line in shown.splitlines() if "error" in line] == ["4", "5"]
    assert 'Unexpected keyword argument "nonsense" for "OMP"' in shown


def test_a_finder_between_epochs_changes_nothing_of_what_lies_under_the_mask(tmp_path):
    class Between(LearningRateFinder):
        def on_fit_start(self, trainer, pl_module):
            pass

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)

    ends, start = [], Classifier(rate=0.05).state_dict()
    for others in ([], [Between(num_training_steps=3, update_attr=False)]):
        module, pruning = Classifier(rate=0.05), PARP(0.5, interval=100)
        module.load_state_dict(start)
        trainer(tmp_path, pruning, *others, steps=-1, max_epochs=3).fit(module, loader())
        ends.append(module.watched.detach().clone())
        assert pruning._step == 24
    assert torch.equal(*ends)
