"""A fit that is killed and resumed ends as one that was not."""

from __future__ import annotations

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from prune_bench.callbacks import IMP, OMP, PARP, Prune
from tests.helpers.strangers import Classifier, loader, trainer

FITS = {
    "omp": (lambda: OMP(0.6, at=0.4), 10, (4, 5, 6)),
    "parp": (lambda: PARP(0.6, interval=3), 10, (4, 5, 6)),
    "imp": (lambda: IMP(0.4), 24, (2, 3, 4, 11)),
    "granet": (lambda: Prune("granet", 0.5, interval=3), 12, (2, 3, 7)),
}


class Kill(lightning.Callback):
    def __init__(self, step: int | None):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise KeyError("killed")


@pytest.mark.parametrize(("name", "killed"), [(name, step) for name, (*_, kills) in FITS.items() for step in kills])
def test_a_killed_run_resumes_to_identical_weights_and_masks(tmp_path, name, killed):
    make, steps, _ = FITS[name]
    torch.manual_seed(0)
    start = Classifier().state_dict()

    def fit(step: int | None = None, checkpoint: str | None = None):
        module, pruning = Classifier(), make()
        module.load_state_dict(start)
        saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
        run = trainer(tmp_path, pruning, Kill(step), saver, steps=steps, enable_checkpointing=True)
        run.fit(module, loader(count=8), ckpt_path=checkpoint, weights_only=False)
        return module, pruning

    with pytest.raises(KeyError, match="killed"):
        fit(killed)
    resumed, resumed_pruning = fit(checkpoint=str(tmp_path / f"step={killed}.ckpt"))
    whole, whole_pruning = fit()
    assert whole_pruning.masks.checksum() == resumed_pruning.masks.checksum()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
