"""Iterative pruning: nested masks, exact sparsity, rewound weights, optimizers without memory."""

from __future__ import annotations

import lightning
import pytest
import torch
from strangers import Classifier, SpeechClassifier, loader, trainer

from prune_bench.callbacks import IMP
from prune_bench.pruning.targets import find_targets


class Watch(lightning.Callback):
    """Masks, weights and optimizer memory at the start of every update."""

    def __init__(self, pruning: IMP):
        self.pruning = pruning
        self.masks, self.weights, self.memory = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.masks.append({name: mask.clone() for name, mask in self.pruning.masks.items()})
        self.weights.append({name: value.clone() for name, value in pl_module.state_dict().items()})
        self.memory.append(len(trainer.optimizers[0].state))


def fit(tmp_path, module, pruning, steps, **options):
    watch = Watch(pruning)
    origin = {name: value.clone() for name, value in module.state_dict().items()}
    trainer(tmp_path, watch, pruning, steps=steps).fit(module, loader(**options))
    return watch, origin


@pytest.mark.parametrize(("step", "rounds"), [("original10", 9), ("remaining10", 22)])
def test_every_round_removes_its_share_and_goes_back_to_the_start(tmp_path, step, rounds):
    torch.manual_seed(0)
    module, pruning = Classifier(), IMP(0.9, step=step, final=0.5)
    watch, origin = fit(tmp_path, module, pruning, steps=4 * rounds)
    total = 24 * 32 * 2
    assert pruning.rounds == rounds
    for number, target in enumerate(pruning.targets, start=1):
        before, after = watch.masks[2 * number - 1], watch.masks[2 * number]
        assert sum(int((~mask).sum()) for mask in after.values()) == round(target * total)
        assert all(not (after[name] & ~before[name]).any() for name in before)
        for name, value in watch.weights[2 * number].items():
            expected = origin[name] * after[name] if name in after else origin[name]
            assert torch.equal(value, expected), name
        assert watch.memory[2 * number] == 0
        assert watch.memory[2 * number - 1] > 0
    assert sum(int((weight == 0).sum()) for weight in find_targets(module).values()) == round(0.9 * total)
    assert pruning.achieved == pytest.approx(0.9, abs=1e-3)


def test_the_mask_follows_what_was_trained_not_the_start(tmp_path):
    torch.manual_seed(0)
    module, pruning = Classifier(rate=0.05), IMP(0.5)
    _, origin = fit(tmp_path, module, pruning, steps=40)
    flat = torch.cat([origin[name].abs().flatten() for name in pruning.masks])
    kept = torch.cat([mask.flatten() for mask in pruning.masks.values()])
    assert flat[~kept].max() > flat[kept].min()


def test_wav2vec2_is_pruned_in_rounds(tmp_path):
    module, pruning = SpeechClassifier(), IMP(0.25)
    watch, _ = fit(tmp_path, module, pruning, steps=6, width=800, count=16)
    assert pruning.targets == (0.1, 0.2, 0.25)
    assert pruning.achieved == pytest.approx(0.25, abs=1e-3)
    assert watch.masks[0] == {}


def test_a_second_fit_goes_back_to_its_own_start(tmp_path):
    pruning = IMP(0.2, final=0.5)
    fit(tmp_path, Classifier(), pruning, steps=8)
    watch, origin = fit(tmp_path, Classifier(), pruning, steps=8)
    assert torch.equal(watch.weights[4]["layers.0.weight"], origin["layers.0.weight"])


def test_too_short_a_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"9 rounds need more than 50% of the fit's 12 updates"):
        trainer(tmp_path, IMP(0.9), steps=12).fit(Classifier(), loader())
