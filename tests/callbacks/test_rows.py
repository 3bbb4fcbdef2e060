"""Each published row does what its paper says: masks by hand, and what else a wrong axis would change."""

from __future__ import annotations

import copy

import lightning
import pytest
import torch

from prune_bench.callbacks import Prune
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.targets import find_targets
from tests.helpers.strangers import Classifier, loader, trainer

SPARSITY = 0.6
TOTAL = 2 * 24 * 32


class Watch(lightning.Callback):
    """Weights, masks and gradients after every update, before anything else happens."""

    def __init__(self, pruning):
        self.pruning, self.weights, self.masks, self.gradients = pruning, [], [], []

    def note(self, module):
        targets = find_targets(module)
        self.weights.append({name: weight.detach().clone() for name, weight in targets.items()})
        self.masks.append({name: mask.clone() for name, mask in self.pruning.masks.items()})

    def on_train_start(self, trainer, pl_module):
        self.note(pl_module)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.gradients.append({name: weight.grad.clone() for name, weight in find_targets(pl_module).items()})

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.note(pl_module)


def fit(name, updates=12, rate=1e-2, sparsity=SPARSITY, **options):
    torch.manual_seed(0)
    module = Classifier(rate=rate)
    start = {key: weight.detach().clone() for key, weight in find_targets(module).items()}
    pruning = Prune(name, sparsity, **options)
    watch = Watch(pruning)
    trainer(None, pruning, watch, steps=updates).fit(module, loader())
    return watch, start, module


def smallest(weights, count) -> MaskSet:
    """The mask that keeps all but the `count` smallest magnitudes over all tensors."""
    flat = torch.cat([weight.abs().flatten() for weight in weights.values()])
    keep = torch.ones(flat.numel(), dtype=torch.bool)
    keep[flat.argsort(stable=True)[:count]] = False
    parts = keep.split([weight.numel() for weight in weights.values()])
    return MaskSet({name: part.view(weights[name].shape) for name, part in zip(weights, parts, strict=True)})


def same(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first.keys() | second.keys())


def removed(masks) -> float:
    return sum(int((~mask).sum()) for mask in masks.values()) / TOTAL


@pytest.mark.parametrize("name", ["mpi", "omp", "omp_continue", "transfer"])
def test_magnitude_rows_keep_the_globally_largest_weights_of_the_start_for_good(name):
    watch, start, _ = fit(name)
    expected = smallest(start, round(SPARSITY * TOTAL))
    assert all(same(masks, expected) for masks in watch.masks)
    assert all((weight[~expected[key]] == 0).all() for key, weight in watch.weights[5].items())


def test_random_pruning_does_not_look_at_the_weights():
    watch, start, _ = fit("rp")
    other, _, _ = fit("rp", rate=0.5)
    seeded, _, _ = fit("rp", seed=1)
    assert same(watch.masks[0], other.masks[-1])
    assert not same(watch.masks[0], seeded.masks[0])
    kept = torch.cat([start[key].abs()[mask] for key, mask in watch.masks[0].items()])
    everything = torch.cat([weight.abs().flatten() for weight in start.values()])
    assert float(kept.mean()) == pytest.approx(float(everything.mean()), rel=0.1)


@pytest.mark.parametrize("name", ["parp", "parp_random", "parp_transfer"])
def test_parp_rows_start_at_the_asked_sparsity_and_rank_all_weights_again(name):
    watch, start, _ = fit(name, interval=4, rate=0.05)
    assert same(watch.masks[0], smallest(start, round(SPARSITY * TOTAL)))
    assert {round(removed(masks), 3) for masks in watch.masks} == {SPARSITY}
    assert any((weight[~watch.masks[2][key]] != 0).any() for key, weight in watch.weights[2].items())
    assert any((watch.masks[4][key] & ~watch.masks[3][key]).any() for key in start)


def test_parp_ranks_the_weights_that_it_ends_with_a_last_time():
    watch, _, module = fit("parp", interval=5, updates=8, rate=0.05)
    expected = smallest(watch.weights[8], round(SPARSITY * TOTAL))
    assert same(watch.pruning.masks, expected)
    assert not same(watch.masks[8], expected)
    assert all(torch.equal(weight == 0, ~expected[key]) for key, weight in find_targets(module).items())


@pytest.mark.parametrize(("name", "behind"), [("parp_p", 0.2), ("parp_p_staged", 0.1)])
def test_progressive_parp_rises_linearly_from_behind_its_target(name, behind):
    watch, _, _ = fit(name, interval=1, progress=0.5, rate=0.05)
    expected = [SPARSITY - behind + behind * min(1.0, step / 6) for step in range(13)]
    assert [removed(masks) for masks in watch.masks] == pytest.approx(expected, abs=1e-3)
    assert any((watch.masks[4][key] & ~watch.masks[3][key]).any() for key in watch.masks[3])


@pytest.mark.parametrize("name", ["gradual", "taylor_gradual", "granet"])
def test_gradual_rows_rise_as_a_cubic(name):
    watch, _, _ = fit(name, interval=1, progress=0.5)
    expected = [SPARSITY * (1 - (1 - min(1.0, step / 6)) ** 3) for step in range(13)]
    offset = int(name == "taylor_gradual")  # nothing has been learned at the start, where nothing is removed either
    assert [removed(masks) for masks in watch.masks[offset:]] == pytest.approx(expected[offset:], abs=1e-3)


@pytest.mark.parametrize("name", ["gradual", "taylor_gradual"])
def test_what_gradual_rows_removed_stays_removed(name):
    watch, _, _ = fit(name, interval=1, progress=0.9)
    for before, after in zip(watch.masks[:-1], watch.masks[1:], strict=True):
        assert not any((after[key] & ~before[key]).any() for key in before)


def test_gradual_removes_the_smallest_magnitudes():
    watch, _, _ = fit("gradual", interval=12, progress=0.5, updates=7)
    assert same(watch.masks[-1], smallest(watch.weights[5] | _trained(watch, 6), round(SPARSITY * TOTAL)))


def _trained(watch, step):
    """Weights at an update, with what was just removed as it was one update before."""
    return {
        key: torch.where(watch.masks[step][key], weight, watch.weights[step - 1][key])
        for key, weight in watch.weights[step].items()
    }


def test_taylor_ranks_by_mean_squared_gradient_times_weight():
    watch, _, _ = fit("taylor", calibration=0.25, rate=0.0)
    batches, weights = watch.gradients[:3], watch.weights[0]
    scores = {key: sum((batch[key] * weights[key]).square() for batch in batches) for key in weights}
    assert watch.masks[2] == {}
    assert same(watch.masks[3], smallest(scores, round(SPARSITY * TOTAL)))


def test_iterative_pruning_rewinds_all_weights_after_each_tenth():
    watch, start, _ = fit("imp", sparsity=0.3, updates=12)
    assert [round(removed(watch.masks[step]), 2) for step in (1, 2, 4, 6, 12)] == [0, 0.1, 0.2, 0.3, 0.3]
    for step in (2, 4, 6):
        assert all(torch.equal(watch.weights[step][key], start[key] * watch.masks[step][key]) for key in start)


def test_singular_values_keep_the_same_share_of_every_matrix():
    start, module = fit_factors("svd")
    rank = round(0.4 * 24 * 32 / 56)
    for index, key in ((2, "layers.2.weight"), (4, "layers.4.weight")):
        layer = module.layers[index]
        assert layer.down.out_features == pytest.approx(rank, abs=1)
        left, values, right = torch.linalg.svd(start[key])
        best = left[:, : layer.down.out_features] * values[: layer.down.out_features] @ right[: layer.down.out_features]
        torch.testing.assert_close(layer.up.weight.detach() @ layer.down.weight.detach(), best, rtol=1e-3, atol=1e-4)


def fit_factors(name):
    torch.manual_seed(0)
    module = Classifier(rate=0.0, decay=0.0)
    start = copy.deepcopy({key: weight.detach() for key, weight in find_targets(module).items()})
    trainer(None, Prune(name, SPARSITY), steps=2).fit(module, loader())
    return start, module


def test_every_row_is_run_by_its_name_or_refused_on_a_strangers_module():
    for name, method in METHODS.items():
        if not method.removes:
            with pytest.raises(ValueError, match=f"method {name} removes nothing"):
                Prune(name, 0.5)
        else:
            assert Prune(name, 0.5).method is method
    with pytest.raises(ValueError, match="method='granett': choose dense"):
        Prune("granett", 0.5)
    with pytest.raises(TypeError, match=r"granet.* has no option 'intervall': did you mean 'interval'"):
        Prune("granet", 0.5, intervall=2)
    with pytest.raises(ValueError, match="exchanges single weights within each tensor"):
        Prune("granet", 0.5, structure="groups")
