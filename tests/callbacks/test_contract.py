"""What every method of single weights keeps to, on a classifier and on a wav2vec 2.0 encoder."""

from __future__ import annotations

import pytest
import torch
from lightning import Callback
from torch import nn

from prune_bench.callbacks import IMP, MPI, OMP, PARP, RP
from prune_bench.pruning.masks import MaskSet, iou
from prune_bench.pruning.targets import find_core, find_targets
from tests.helpers.strangers import Classifier, SpeechClassifier, loader, trainer

SPARSITY, STEPS = 0.7, 20
MAKERS = {
    "RP": lambda module: RP(SPARSITY),
    "MPI": lambda module: MPI(SPARSITY),
    "OMP": lambda module: OMP(SPARSITY),
    "OMP, late": lambda module: OMP(SPARSITY, at=0.5),
    "OMP, another's mask": lambda module: OMP(SPARSITY, mask=another(module)),
    "IMP": lambda module: IMP(SPARSITY),
    "PARP": lambda module: PARP(SPARSITY, interval=3),
    "PARP, random": lambda module: PARP(SPARSITY, interval=3, mask=RP(SPARSITY, seed=3).choose(module)),
    "PARP, another's mask": lambda module: PARP(SPARSITY, interval=3, mask=another(module)),
    "PARP-P": lambda module: PARP(SPARSITY, interval=3, start=0.3),
}
MODULES = {"classifier": (Classifier, 10), "wav2vec2": (SpeechClassifier, 400)}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=MODULES)
def make(request):
    """Makes a module with the same weights every time, of a rate and a decay."""
    kind, width = MODULES[request.param]
    start = kind().state_dict()

    def module(**options) -> nn.Module:
        made = kind(**options)
        made.load_state_dict(start)
        return made

    module.batches = loader(width)
    return module


def another(module: nn.Module) -> MaskSet:
    """The mask of a model of the same shape."""
    other = type(module)()
    return OMP(SPARSITY).choose(other)


def snapshot(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in find_core(module).state_dict().items()}


def zeros(module: nn.Module, **choice) -> int:
    return sum(int((weight == 0).sum()) for weight in find_targets(module, **choice).values())


def total(module: nn.Module) -> int:
    return sum(weight.numel() for weight in find_targets(module).values())


class Watch(Callback):
    """Notes each drawn mask beside what the schedule asked for; it must come after the method."""

    def __init__(self, pruning):
        self.pruning = pruning
        self.counts, self.masks, self.weights = [], [], []

    def note(self, step, module):
        masks = self.pruning.masks
        if masks and (not self.masks or masks is not self.masks[-1]):
            removed = sum(int((~mask).sum()) for mask in masks.values())
            asked = self.pruning.pruner.schedule.sparsity_at(step)
            self.counts.append((removed, round(asked * sum(mask.numel() for mask in masks.values()))))
            self.masks.append(masks)
            self.weights.append(snapshot(module))

    def on_train_start(self, trainer, pl_module):
        self.note(0, pl_module)

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.note(trainer.global_step, pl_module)


@pytest.mark.parametrize("method", MAKERS)
def test_masks_are_exact_under_ties_and_zeros_and_touch_nothing_else(tmp_path, make, method):
    """Without a learning rate what was not drawn must stay bit-identical, whenever masks are drawn."""
    for rate in (1e-3, 0.0):
        module = make(rate=rate, decay=0.0)
        for weight in find_targets(module).values():
            weight.data.mul_(20).round_().div_(20)  # many ties, many zeros
        before = snapshot(module)
        pruning = MAKERS[method](module)
        watch = Watch(pruning)
        trainer(tmp_path, pruning, watch, steps=STEPS).fit(module, make.batches)
        assert watch.counts
        assert all(removed == asked for removed, asked in watch.counts)
        assert pruning.achieved == pytest.approx(SPARSITY, abs=1 / total(module))
        for name, weight in find_targets(module).items():
            assert (weight[~pruning.masks[name]] == 0).all()
    changed = {name for name, value in snapshot(module).items() if not torch.equal(value, before[name])}
    assert changed == set(find_targets(module))


@pytest.mark.parametrize("kind", [OMP, PARP, IMP])
def test_biases_are_prunable_with_their_layers(tmp_path, make, kind):
    module, pruning = make(), kind(SPARSITY, structure="weights+biases")
    nn.init.normal_(module.watched)
    trainer(tmp_path, pruning, steps=STEPS).fit(module, make.batches)
    prunable = find_targets(module, biases=True)
    assert sum(name.endswith("bias") for name in prunable) == len(find_targets(module))
    assert set(pruning.masks) == set(prunable)
    assert zeros(module, biases=True) == round(SPARSITY * sum(value.numel() for value in prunable.values()))


@pytest.mark.parametrize("method", MAKERS)
def test_what_the_first_mask_keeps_starts_as_it_was(tmp_path, make, method):
    module = make()
    before, pruning = snapshot(module), MAKERS[method](module)
    watch = Watch(pruning)
    trainer(tmp_path, pruning, watch, steps=STEPS).fit(module, make.batches)
    if method == "OMP, late":
        assert len(watch.masks) == 1  # of a trained model, whose weights go on
        return
    for name, mask in watch.masks[0].items():
        assert torch.equal(watch.weights[0][name], before[name] * mask)


@pytest.mark.parametrize(("step", "rounds"), [("original10", 9), ("remaining10", 22)])
def test_rounds_are_nested_and_go_back_to_the_start(tmp_path, make, step, rounds):
    module, pruning = make(), IMP(0.9, step=step, final=0.5)
    before, watch = snapshot(module), Watch(pruning)
    trainer(tmp_path, pruning, watch, steps=4 * rounds).fit(module, make.batches)
    assert pruning.rounds == rounds == len(watch.masks)
    for earlier, later in zip(watch.masks[:-1], watch.masks[1:], strict=True):
        assert all((later[name] <= earlier[name]).all() for name in later)
    for masks, weights in zip(watch.masks, watch.weights, strict=True):
        assert all(torch.equal(weights[name], before[name] * mask) for name, mask in masks.items())


def test_parp_trains_what_it_removed_and_judges_it_again(tmp_path, make):
    module, pruning = make(rate=0.05, decay=0.0), PARP(0.5, interval=4)
    gradients, memory, removed, masks = [], [], [], []

    class See(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            weight = pl_module.watched
            gradients.append(float(weight.grad[weight == 0].abs().sum()))
            memory.append(id(optimizer.state[weight]["exp_avg"]) if trainer.global_step else None)
            removed.append(zeros(pl_module))
            masks.append(pruning.masks)

    trainer(tmp_path, See(), pruning, steps=10).fit(module, make.batches)
    half = round(0.5 * total(module))
    assert gradients[0] > 0
    assert gradients[4] > 0
    assert len(set(memory[1:])) == 1
    assert removed[0] == removed[4] == zeros(module) == half
    assert removed[2] < half
    assert iou(masks[0], masks[-1]) < 1.0


def test_parp_without_learning_is_magnitude_pruning_and_with_little_almost(tmp_path, make):
    expected = OMP(SPARSITY).choose(make())
    for rate, least in ((0.0, 1.0), (1e-6, 0.99)):
        pruning = PARP(SPARSITY, interval=3)
        trainer(tmp_path, pruning, steps=8).fit(make(rate=rate, decay=0.0), make.batches)
        assert iou(pruning.masks, expected) >= least


def test_progressive_parp_rises_to_the_target_and_equals_parp_when_it_starts_there(tmp_path, make):
    levels = []

    class See(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            levels.append(pruning.achieved)

    module, pruning = make(), PARP(0.9, interval=2, start=0.5)
    trainer(tmp_path, See(), pruning, steps=STEPS).fit(module, make.batches)
    assert levels == sorted(levels)
    assert levels[0] == pytest.approx(0.5, abs=1e-3)
    assert max(levels) <= 0.9 + 1e-3
    assert zeros(module) == round(0.9 * total(module))
    finals = []
    for options in ({}, {"start": 0.8}):
        module = make()
        trainer(tmp_path, PARP(0.8, interval=2, **options), steps=9).fit(module, make.batches)
        finals.append(snapshot(module))
    assert all(torch.equal(finals[0][name], finals[1][name]) for name in finals[0])


def test_validation_sees_the_masked_copy_and_leaves_the_weights_alone(tmp_path, make):
    trained, seen = [], []

    class See(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            trained.append(snapshot(pl_module))

        def on_validation_end(self, trainer, pl_module):
            share = float(trainer.callback_metrics["zeros"])
            seen.append((trained[-1], share, pruning.masks, snapshot(pl_module)))

    module, pruning = make(rate=0.05), PARP(0.5, interval=100)
    validated = {"check_val_every_n_epoch": None, "val_check_interval": 3, "num_sanity_val_steps": 0}
    trainer(tmp_path, pruning, See(), steps=6, **validated).fit(module, make.batches, make.batches)
    assert len(seen) == 2
    name = next(name for name, weight in find_targets(module).items() if weight is module.watched)
    for before, share, masks, after in seen:
        assert share == pytest.approx(float((~masks[name]).float().mean()))
        assert float((before[name] == 0).float().mean()) < share
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("callback", [OMP, PARP])
def test_a_given_mask_stands_in_for_the_first_one(tmp_path, make, callback):
    given = RP(0.5, seed=3).choose(make())
    pruning = callback(0.5, mask=given)
    trainer(tmp_path, pruning, steps=2).fit(make(rate=0.0, decay=0.0), make.batches)
    assert iou(given, pruning.masks) == 1.0
