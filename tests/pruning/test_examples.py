"""Gate gradients of single examples against a backward pass for each, and against the batch's."""

from __future__ import annotations

import pytest
import torch

from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.examples import ExampleGradients, find_readers
from prune_bench.pruning.groups import Groups
from prune_bench.pruning.low_rank import factorise
from prune_bench.pruning.ranks import Factors, Ranks
from prune_bench.pruning.statistics import GradientSquares
from prune_bench.pruning.targets import find_targets
from prune_bench.pruning.units import Slice
from tests.helpers.speech import batches, make_task
from tests.helpers.text import make_model


def lm_loss(model, tokens):
    scores = model(tokens[:, :-1]).log_softmax(-1)
    return -scores.gather(2, tokens[:, 1:, None]).mean()


def language_model():
    model = make_model()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    tokens = torch.randint(5, (6, 9), generator=torch.Generator().manual_seed(1))
    return model, Groups(model, find_targets(model), model.units()), tokens


def test_every_examples_gate_gradient_is_that_of_a_pass_of_its_own():
    model, structure, tokens = language_model()
    watch = structure.watch()
    lm_loss(model, tokens).backward()
    found = dict(watch.take())
    watch.release()
    for index in range(len(tokens)):
        model.zero_grad()
        lm_loss(model, tokens[index : index + 1]).backward()
        for name, alone in structure.changes():
            torch.testing.assert_close(len(tokens) * found[name][index], alone, rtol=1e-3, atol=1e-5)


def test_conformer_examples_add_up_to_the_batch_for_every_kind():
    task = make_task(4)
    model = task.model
    groups = [group for group in model.units() if group.kind in ("heads", "ffn", "conv")]
    structure = Groups(model, find_targets(model), groups)
    watch = structure.watch()
    batch = next(iter(batches(1)))
    task.losses(batch)["loss"].backward()
    found, whole = dict(watch.take()), dict(structure.changes())
    assert found.keys() == whole.keys() == {group.name for group in groups}
    for name, changes in found.items():
        assert changes.shape == (3, structure.groups[name].size)
        torch.testing.assert_close(changes.sum(0), whole[name], rtol=1e-3, atol=1e-5)


def test_rank_components_add_up_to_the_batch():
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4)
    thin = LowRankLinear.of(*factorise(layer.weight, 4), layer.bias)
    structure = Ranks({"w": Factors(thin.up.weight, thin.down.weight)}, ups={"w": thin.up})
    watch = structure.watch()
    thin(torch.randn(5, 7, 6)).square().mean().backward()
    torch.testing.assert_close(dict(watch.take())["w"].sum(0), dict(structure.changes())["w"])


def test_nothing_is_watched_without_gradients_nor_after_release_and_taking_forgets():
    model, structure, tokens = language_model()
    watch = structure.watch()
    with torch.no_grad():
        lm_loss(model, tokens)
    assert dict(watch.take()) == {}
    for _ in range(2):
        lm_loss(model, tokens).backward()
    assert {len(each) for _, each in watch.take()} == {12}
    watch.release()
    lm_loss(model, tokens).backward()
    assert dict(watch.take()) == {}


def test_squares_are_of_examples_and_not_of_their_mean():
    squares = GradientSquares()
    squares.add_examples([("w", torch.tensor([[1.0, 0.5], [-1.0, 0.5]]) / 2)])
    assert squares.means()["w"].tolist() == [1.0, 0.25]
    squares.add_examples([("w", torch.tensor([[3.0, 0.5]]) * 8)], scale=8)
    assert squares.means()["w"].tolist() == [5.0, 0.25]


def test_an_output_side_that_is_no_linear_layer_is_named():
    model = torch.nn.Sequential(torch.nn.Conv1d(2, 3, 1))
    with pytest.raises(ValueError, match="0 is a Conv1d: gates are differentiated through Linear layers"):
        find_readers(model, [Slice("0.weight", 1)], 2)
    assert ExampleGradients({}).found == {}
