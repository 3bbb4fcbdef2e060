"""Data-driven scores against gates that are there and against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prune_bench.models.transformer_lm import LanguageModel
from prune_bench.pruning.criteria import taylor
from prune_bench.pruning.groups import Groups, output_factors
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import OneShot
from prune_bench.pruning.statistics import HORIZON, GradientSquares
from prune_bench.pruning.structures import Weights
from prune_bench.pruning.targets import find_targets
from tests.helpers.text import make_model


def backward(model: LanguageModel, seed: int) -> None:
    units = torch.randint(5, (4, 9), generator=torch.Generator().manual_seed(seed))
    model.zero_grad()
    model(units[:, :-1]).flatten(0, 1).log_softmax(-1).gather(1, units[:, 1:].reshape(-1, 1)).mean().backward()


def test_squares_are_averaged_batch_by_batch():
    squares = GradientSquares()
    for value in (1.0, -3.0):
        squares.add([("w", torch.tensor([value, 2.0]))])
    assert squares.means()["w"].tolist() == [5.0, 4.0]


def test_old_batches_fade_behind_the_horizon():
    squares = GradientSquares()
    for _ in range(HORIZON):
        squares.add([("w", torch.tensor([1.0]))])
    assert float(squares.means()["w"]) == pytest.approx(1.0, rel=1e-5)
    for _ in range(HORIZON):
        squares.add([("w", torch.tensor([0.0]))])
    assert float(squares.means()["w"]) == pytest.approx((1 - 1 / HORIZON) ** HORIZON, rel=1e-3)


def test_batches_share_one_buffer_of_the_size_of_the_weights():
    squares, change = GradientSquares(), torch.randn(5, 3)
    squares.add([("w", change)])
    before = squares.squares["w"].data_ptr()
    squares.add([("w", change)])
    assert [(one.shape, one.dtype, one.data_ptr()) for one in squares.squares.values()] == [
        (change.shape, torch.float32, before)
    ]


def test_scaled_losses_count_as_unscaled():
    plain, scaled = GradientSquares(), GradientSquares()
    plain.add([("w", torch.tensor([0.5, 2.0]))])
    scaled.add([("w", torch.tensor([0.5, 2.0]) * 1024)], scale=1024)
    torch.testing.assert_close(plain.means(), scaled.means())


def test_without_a_gradient_nothing_is_known():
    pruner = Pruner(taylor, Weights({"w": torch.randn(6)}), OneShot(0.5))
    with pytest.raises(ValueError, match="no gradient yet"):
        pruner.update(0)


def test_weights_are_ranked_as_by_hand():
    """On a linear model with squared loss, one batch: (g w)^2 with the gradient written out."""
    torch.manual_seed(0)
    layer, x, y = nn.Linear(6, 4, bias=False), torch.randn(10, 6), torch.randn(10, 4)
    (layer(x) - y).square().sum().backward()
    structure = Weights({"w": layer.weight})
    pruner = Pruner(taylor, structure, OneShot(0.5))
    pruner.observe()
    gradient = 2 * (x @ layer.weight.detach().T - y).T @ x
    expected = (gradient * layer.weight.detach()).square()
    torch.testing.assert_close(pruner.statistics.means()["w"], expected, rtol=1e-4, atol=1e-4)
    pruner.update(0)
    assert set(expected[~pruner.masks["w"]].tolist()) == set(expected.flatten().sort().values[:12].tolist())


@pytest.mark.parametrize("kind", ["heads", "ffn"])
def test_a_groups_change_is_the_gradient_of_its_gate(kind):
    model = make_model()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    groups = [group for group in model.units() if group.kind == kind]
    structure = Groups(model, find_targets(model), groups)
    backward(model, 0)
    changes = dict(structure.changes())
    for group in groups:
        for unit in range(0, group.size, 7):
            slope = _slope(model, group, unit)
            assert float(changes[group.name][unit]) == pytest.approx(slope, rel=0.05, abs=2e-4)


def _slope(model: LanguageModel, group, unit: int, by: float = 1e-2) -> float:
    """dL/dz of one unit's gate by finite differences."""
    losses = []
    for z in (1 + by, 1 - by):
        gates = {group.name: torch.ones(group.size)}
        gates[group.name][unit] = z
        parameters = dict(model.named_parameters())
        before = {name: value.detach().clone() for name, value in parameters.items()}
        for parameter, factor in output_factors(parameters, [group], gates):
            parameter.data.mul_(factor)
        units = torch.randint(5, (4, 9), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            scores = model(units[:, :-1]).double().flatten(0, 1).log_softmax(-1)
            losses.append(float(scores.gather(1, units[:, 1:].reshape(-1, 1)).mean()))
        for name, value in before.items():
            parameters[name].data.copy_(value)
    return (losses[0] - losses[1]) / (2 * by)


def test_units_are_ranked_by_what_they_matter_for_each_weight():
    model = make_model()
    structure = Groups(model, find_targets(model), model.units())
    squares = {group.name: torch.ones(group.size) for group in model.units()}
    ranked = structure.rank(squares)
    assert float(ranked["layers.0.ffn"][0]) == pytest.approx(1 / (2 * 16))
    assert float(ranked["layers.0.heads"][0]) == pytest.approx(1 / (4 * 16 * 8))


def test_state_survives():
    squares, again = GradientSquares(), GradientSquares()
    for seed in range(3):
        squares.add([("w", torch.randn(4, generator=torch.Generator().manual_seed(seed)))])
    again.load_state_dict(squares.state_dict())
    assert again.batches == 3
    assert torch.equal(again.means()["w"], squares.means()["w"])
