"""Several pruning callbacks in one Trainer, and layers that a loss does not reach."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from strangers import Classifier, loader, trainer
from torch import nn

from prune_bench.callbacks import OMP, PARP, Taylor

PAIRS = {
    "OMP": lambda: (OMP(0.75, include="layers.2"), OMP(0.5, include="layers.4")),
    "PARP": lambda: (PARP(0.75, include="layers.2", interval=50), PARP(0.5, include="layers.4", interval=50)),
    "OMP and PARP": lambda: (OMP(0.75, include="layers.2"), PARP(0.5, include="layers.4", interval=50)),
}


class Noting(Classifier):
    """Remembers what is logged."""

    def __init__(self):
        super().__init__(rate=0.05)
        self.logged = {}

    def log_dict(self, values, **options):
        self.logged.update(values)


def zeros(module: nn.Module) -> list[float]:
    return [float((module.layers[i].weight == 0).float().mean()) for i in (2, 4)]


@pytest.mark.parametrize("name", PAIRS)
def test_two_of_a_kind_prune_a_part_each(tmp_path, name):
    parts, module = PAIRS[name](), Noting()
    saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5, save_top_k=-1)
    trainer(tmp_path, *parts, saver, enable_checkpointing=True, log_every_n_steps=4).fit(module, loader())
    assert zeros(module) == [0.75, 0.5]
    assert [list(part.masks) for part in parts] == [["layers.2.weight"], ["layers.4.weight"]]
    assert [part.achieved for part in parts] == [0.75, 0.5]
    assert module.logged["prune/sparsity"] == 0.75
    assert module.logged["prune2/sparsity"] == 0.5
    saved = torch.load(tmp_path / "step=5.ckpt", weights_only=True)
    loaded = Classifier()
    loaded.load_state_dict(saved["state_dict"])
    assert zeros(loaded) == [0.75, 0.5]
    assert len({part.state_key for part in parts} & saved["callbacks"].keys()) == 2
    assert "on_save_checkpoint" not in vars(module)


@pytest.mark.parametrize("name", PAIRS)
def test_both_go_on_from_a_checkpoint_as_if_never_interrupted(tmp_path, name):
    start, ends = Classifier().state_dict(), []
    for checkpoint in (None, tmp_path / "step=8.ckpt"):
        parts, module = PAIRS[name](), Classifier(rate=0.05)
        module.load_state_dict(start)
        saver = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=8, save_top_k=-1)
        others = [] if checkpoint else [saver]
        run = trainer(tmp_path, *parts, *others, steps=16, enable_checkpointing=bool(others))
        run.fit(module, loader(), ckpt_path=checkpoint, weights_only=False)
        ends.append(module.state_dict())
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key


def test_two_of_the_same_arguments_are_refused(tmp_path):
    with pytest.raises(RuntimeError, match="Found more than one stateful callback of type `OMP`"):
        trainer(tmp_path, OMP(0.5), OMP(0.5))


def test_what_is_frozen_cannot_be_ranked_by_gradients(tmp_path):
    module = Classifier()
    module.layers[4].requires_grad_(False)
    run = trainer(tmp_path, Taylor(0.5, include=["layers.2", "layers.4"]))
    with pytest.raises(ValueError, match=r"layers\.4\.weight is frozen and got no gradient.*exclude it"):
        run.fit(module, loader())
    trainer(tmp_path, pruning := Taylor(0.5)).fit(module, loader())
    assert list(pruning.masks) == ["layers.2.weight"]


class Spare(Classifier):
    """A layer that the loss does not reach."""

    def __init__(self):
        super().__init__()
        self.layers[1] = self.layers[3] = self.layers[5] = nn.Tanh()  # no gradient of the others is zero
        self.spare = nn.Linear(16, 16)


@pytest.mark.parametrize("structure", ["weights", "ranks"])
def test_what_gets_no_gradient_goes_first_by_taylor(tmp_path, structure):
    sparsity = 256 / 1792 if structure == "weights" else 0.1  # of the spare layer alone
    pruning = Taylor(sparsity, at=0.5, structure=structure, include=["spare", "layers.[24]"])
    trainer(tmp_path, pruning).fit(Spare(), loader())
    kept = {name.removesuffix(".weight"): mask.float().mean() for name, mask in pruning.masks.items()}
    assert kept["layers.2"] == kept["layers.4"] == 1.0
    assert kept["spare"] < 0.2
    assert pruning.achieved == pytest.approx(sparsity, abs=pruning.grain)
