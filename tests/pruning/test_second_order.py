"""Statistics of calibration batches, and what criteria and compensation make of them."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from prune_bench.callbacks import OMP, Prune
from prune_bench.pruning import statistics
from prune_bench.pruning.calibration import GradientSamples, InputHessians, InputNorms
from prune_bench.pruning.compensation import SecondOrder
from prune_bench.pruning.criteria import fisher, hessian, wanda
from prune_bench.pruning.methods import METHODS, SINGLE
from prune_bench.pruning.structures import Weights
from prune_bench.pruning.targets import find_targets
from tests.helpers.strangers import Classifier, loader, trainer

X = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) @ torch.randn(7, 7).add(torch.eye(7))
ONE_SHOT = replace(METHODS["omp"], structures=SINGLE)


def bound(inputs=7, outputs=5):
    torch.manual_seed(1)
    layer = nn.Linear(inputs, outputs)
    return layer, Weights({"weight": layer.weight}, layers={"weight": layer})


def passes(layer, target=None):
    """Runs a layer on two batches, one an item, with a backward pass where there is a target."""
    for part, wanted in zip(X.split(25), (target if target is not None else X).split(25), strict=True):
        layer.zero_grad()
        output = layer(part)
        if target is not None:
            (output - wanted).square().mean().backward()
        yield


def test_input_norms_are_those_of_all_positions():
    layer, structure = bound()
    norms = InputNorms()
    norms.collect(structure, passes(layer))
    torch.testing.assert_close(norms.of("weight", layer.weight), X.norm(dim=0))


def test_input_hessians_in_one_block_are_the_damped_product_and_its_inverse():
    layer, structure = bound()
    hessians = InputHessians(block=8, damping=0.01)
    hessians.collect(structure, passes(layer))
    product = (X.T @ X).double()
    expected = torch.linalg.inv(product + 0.01 * product.diagonal().sum() / 8 * torch.eye(7))
    torch.testing.assert_close(hessians.inverses("weight")[0][:7, :7], expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(hessians.of("weight", layer.weight), expected.diagonal().float(), rtol=1e-3, atol=1e-6)


def test_gradient_samples_give_the_inverse_of_the_damped_fisher_block():
    layer, structure = bound(4, 3)
    layer.weight.data[0, 0] = 0.0  # pruned: its gradient does not count
    samples, seen = GradientSamples(block=5, damping=0.1), []

    def run():
        for part in X[:, :4].split(10):
            layer.zero_grad()
            layer(part).square().mean().backward()
            gradient = layer.weight.grad.clone()
            gradient[0, 0] = 0.0
            seen.append(gradient.flatten())
            yield

    samples.collect(structure, run())
    gradients = torch.stack(seen).double()
    for number, inverse in enumerate(torch.cat(list(samples.inverses("weight")))[:2]):
        block = gradients[:, 5 * number : 5 * number + 5]
        expected = torch.linalg.inv(0.1 * torch.eye(5) + block.T @ block / len(block))
        torch.testing.assert_close(inverse, expected, rtol=1e-6, atol=1e-8)
    assert samples.of("weight", layer.weight).shape == layer.weight.shape


def test_an_input_that_is_always_zero_has_weights_that_cost_least():
    layer, structure = bound()
    layer.weight.data.fill_(1.0)
    hessians = InputHessians(block=7)
    inputs = X * torch.tensor([0.0, 9, 9, 9, 9, 9, 9])
    hessians.collect(structure, (layer(inputs) is None for _ in range(1)))
    assert int(hessian(layer.weight, hessians.of("weight", layer.weight))[0].argmin()) == 0


def test_a_layer_that_no_batch_reaches_is_named():
    layer, structure = bound()
    norms = InputNorms()
    norms.collect(structure, iter(()))
    with pytest.raises(ValueError, match="no calibration batch reached weight"):
        norms.of("weight", layer.weight)


def test_memory_is_bounded_before_it_is_taken(monkeypatch):
    layer, structure = bound()
    monkeypatch.setattr(statistics, "MOST_BYTES", 4 * 7 * 7)
    with pytest.raises(ValueError, match="input Hessians take 0 GiB, more than 0: lower block or calibration_batches"):
        InputHessians(block=16).collect(structure, passes(layer))
    with pytest.raises(ValueError, match="gradient samples take"):
        GradientSamples().collect(structure, passes(layer, X[:, :5]))


def test_removing_one_weight_costs_its_score_and_the_others_absorb_it():
    """On a least-squares layer with the exact Hessian the loss rises by w^2 / (2 [H^-1]_qq) (Hassibi & Stork, 1993)."""
    layer, structure = bound(8, 1)
    inputs = torch.randn(200, 8, generator=torch.Generator().manual_seed(3))
    inputs[:, 1] += inputs[:, 0]
    wanted, before = layer(inputs).detach(), layer.weight.detach().clone()
    hessians = InputHessians(block=8, damping=1e-9)
    hessians.collect(structure, (layer(inputs) is None for _ in range(1)))
    score = float(hessian(layer.weight, hessians.of("weight", layer.weight))[0, 1])
    mask = torch.ones_like(layer.weight, dtype=torch.bool)
    mask[0, 1] = False
    SecondOrder().adjust(structure.targets, {"weight": mask}, hessians)
    layer.weight.data.mul_(mask)
    loss = 0.5 * float((layer(inputs) - wanted).square().sum())
    alone = 0.5 * float((inputs[:, 1] * before[0, 1]).square().sum())
    assert loss == pytest.approx(score, rel=1e-3)
    assert loss < 0.7 * alone


@pytest.mark.parametrize("criterion", [wanda, hessian, fisher])
def test_a_row_with_calibration_prunes_a_strangers_module_exactly_and_repeats_itself(criterion):
    row = replace(ONE_SHOT, criterion=criterion)
    options = {"calibration_batches": 4, **({"block": 16, "damping": 1e-6} if criterion is not wanda else {})}

    def fit(**more):
        torch.manual_seed(0)
        module, pruning = Classifier(rate=0.0, decay=0.0), Prune(row, 0.5, **options, **more)
        before = copy.deepcopy(module.state_dict())
        trainer(None, pruning, steps=2).fit(module, loader())
        return module, pruning, before

    module, pruning, before = fit()
    assert sum(int((weight == 0).sum()) for weight in find_targets(module).values()) == 24 * 32
    for name, weight in find_targets(module).items():
        assert torch.equal(weight, before[name] * pruning.masks[name])
    assert all(torch.equal(mask, fit()[1].masks[name]) for name, mask in pruning.masks.items())
    magnitude_masks = OMP(0.5).choose(module_at(before))
    assert any(not torch.equal(magnitude_masks[name], mask) for name, mask in pruning.masks.items())
    other = fit(calibration_data=list(loader(count=16))[1:])[1].masks
    assert any(not torch.equal(other[name], mask) for name, mask in pruning.masks.items())


def module_at(state):
    module = Classifier()
    module.load_state_dict(state)
    return module


def test_wanda_scores_are_magnitudes_times_input_norms_of_a_fit():
    torch.manual_seed(0)
    module = Classifier(rate=0.0, decay=0.0)
    data = list(loader())[:4]
    hidden = torch.cat([batch[0] for batch in data])
    scores = {}
    with torch.no_grad():
        for index, layer in enumerate(module.layers):
            if index in (2, 4):
                scores[f"layers.{index}.weight"] = layer.weight.abs() * hidden.norm(dim=0)
            hidden = layer(hidden)
    flat = torch.cat([score.flatten() for score in scores.values()])
    threshold = flat.sort().values[len(flat) // 2]
    pruning = Prune(replace(ONE_SHOT, criterion=wanda), 0.5, calibration_batches=4)
    trainer(None, pruning, steps=1).fit(module, loader())
    for name, mask in pruning.masks.items():
        assert torch.equal(mask, scores[name] >= threshold)


@pytest.mark.parametrize("criterion", [hessian, fisher])
def test_compensation_moves_the_kept_weights_and_lowers_the_loss(criterion):
    losses = {}
    for name in ("unchanged", "second order"):
        torch.manual_seed(0)
        module = Classifier(rate=0.0, decay=0.0)
        row = replace(ONE_SHOT, criterion=criterion)
        row = replace(row, compensation=SecondOrder()) if name == "second order" else row
        warmed = Classifier(rate=1e-2, decay=0.0)
        warmed.load_state_dict(module.state_dict())
        trainer(None, steps=60).fit(warmed, loader())
        module.load_state_dict(warmed.state_dict())
        before = copy.deepcopy(module.state_dict())
        pruning = Prune(row, 0.3, calibration_batches=8, block=64, damping=1e-2)
        trainer(None, pruning, steps=1).fit(module, loader())
        inputs = loader().dataset.tensors[0]
        with torch.no_grad():
            dense = module_at(before).layers(inputs)
            losses[name] = float((module.layers(inputs) - dense).square().mean())
        moved = any((weight[pruning.masks[key]] != before[key][pruning.masks[key]]).any()
                    for key, weight in find_targets(module).items())  # fmt: skip
        assert moved == (name == "second order")
    if criterion is hessian:
        assert losses["second order"] < losses["unchanged"]


def test_calibration_leaves_the_random_state_the_mode_and_the_log_alone():
    class Noisy(Classifier):
        modes: list[bool]

        def training_step(self, batch, batch_idx):
            self.modes.append(self.training)
            self.log("noise", torch.rand(()))
            return super().training_step(batch, batch_idx)

    after = []
    for pruning in (OMP(0.5), Prune(replace(ONE_SHOT, criterion=wanda), 0.5, calibration_batches=2)):
        torch.manual_seed(3)
        module = Noisy()
        module.modes = []
        trainer(None, pruning, steps=3).fit(module, loader())
        after.append(torch.rand(()))
    assert torch.equal(*after)
    assert module.modes == [False, False, True, True, True]
    assert "log" not in module.__dict__


def test_a_module_that_steps_its_optimizers_itself_is_refused_calibration():
    module = Classifier()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match="calibration runs training_step, which in this module steps optimizers"):
        trainer(None, Prune(replace(ONE_SHOT, criterion=wanda), 0.5), steps=1).fit(module, loader())


def test_a_target_that_is_no_linear_weight_is_named():
    structure = Weights({"bias": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"bias is not the weight of a Linear layer: add exclude=\['bias'\]"):
        InputNorms().collect(structure, iter(()))


def test_second_order_updates_go_with_second_order_criteria_alone():
    with pytest.raises(ValueError, match="a second-order update needs the criterion fisher or hessian"):
        replace(ONE_SHOT, compensation=SecondOrder())
