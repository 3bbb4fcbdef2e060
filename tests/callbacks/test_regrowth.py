"""GraNet, RigL and SET: what is exchanged, when, and what the optimizer remembers."""

from __future__ import annotations

import math

import lightning
import pytest
import torch

from prune_bench.callbacks import GraNet, Prune
from prune_bench.pruning.criteria import gradient, magnitude
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.revival import Regrow, extreme
from prune_bench.pruning.targets import find_targets
from tests.callbacks.test_rows import TOTAL, fit, removed
from tests.helpers.strangers import Classifier, loader, trainer


def exchange(weight, grad, mask, share):
    weight = torch.tensor(weight, requires_grad=True)
    weight.grad = torch.tensor(grad)
    revival = Regrow(gradient, swap=share, last=share)
    chance = torch.Generator().manual_seed(0)
    return revival.revise(MaskSet({"w": torch.tensor(mask)}), {"w": weight}, magnitude, 0.5, chance)["w"].tolist()


def test_the_smallest_kept_weight_gives_way_to_the_largest_gradient():
    kept = [True, True, True, False, False]
    assert exchange([5.0, 1.0, 3.0, 0.0, 0.0], [0.0, 0.1, 0.0, 0.2, 9.0], kept, 1 / 3) == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_what_was_just_removed_may_come_back_at_once():
    kept = [True, True, True, False, False]
    assert exchange([5.0, 1.0, 3.0, 0.0, 0.0], [0.0, 7.0, 0.0, 0.2, 0.1], kept, 1 / 3) == kept


def test_equal_scores_fall_by_chance_and_exactly_as_many_as_asked():
    scores, among = torch.zeros(100), torch.arange(100) < 60
    marks = [extreme(scores, among, 10, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert all(int(mark.sum()) == 10 and not (mark & ~among).any() for mark in marks)
    assert torch.equal(marks[0], marks[1])
    assert not torch.equal(marks[0], marks[2])


def test_the_exchanged_share_falls_as_a_cosine():
    revival = Regrow(gradient, swap=0.5, last=0.005)
    expected = [0.005 + (0.5 - 0.005) * (1 + math.cos(math.pi * progress)) / 2 for progress in (0, 0.25, 0.5, 1)]
    assert [revival.share(progress) for progress in (0, 0.25, 0.5, 1)] == pytest.approx(expected)
    assert Regrow(gradient, swap=0.3, until=0.75).share(0.75) == pytest.approx(0.0)


def test_granet_exchanges_within_layers_by_this_updates_gradient_and_meets_every_size_exactly():
    watch, _, _ = fit("granet", interval=3, progress=0.5, updates=12, rate=0.02)
    for step in (3, 6, 9):
        asked = round(0.6 * (1 - (1 - min(1.0, step / 6)) ** 3) * TOTAL)
        assert sum(int((~mask).sum()) for mask in watch.masks[step].values()) == asked
    for key, after in watch.masks[9].items():
        before = watch.masks[8][key]
        assert int(after.sum()) == int(before.sum())
        grown = after & ~before
        share = 0.005 + 0.495 * (1 + math.cos(math.pi * 9 / 12)) / 2
        assert 0 < int(grown.sum()) <= round(share * int(before.sum()))
        slope = watch.gradients[8][key].abs()
        assert float(slope[grown].min()) >= float(slope[~after].max())
        assert (watch.weights[9][key][grown] == 0).all()


def test_no_exchange_is_the_last_act_of_a_fit():
    """Grown weights are zero until the next update: exchanged at the end they would count as removed."""
    watch, _, module = fit("granet", interval=3, progress=0.5, updates=12)
    zeros = sum(int((weight == 0).sum()) for weight in find_targets(module).values())
    assert zeros == round(0.6 * TOTAL)
    assert all(torch.equal(watch.masks[12][key], watch.masks[11][key]) for key in watch.masks[12])


def test_models_saved_on_the_way_have_their_sizes():
    """But for weights without a gradient since they came back, of which there are few."""
    torch.manual_seed(0)
    module, pruning = Classifier(), Prune("granet", 0.8, interval=1, intermediate="0.5+0.3")
    trainer(None, pruning, steps=12).fit(module, loader())
    for size, (_, then) in pruning.export_sizes(module).items():
        zeros = sum(int((weight == 0).sum()) for weight in find_targets(then).values())
        assert size * TOTAL <= zeros + 0.5 < (size + 0.03) * TOTAL


@pytest.mark.parametrize(("name", "exchanged"), [("rigl", {3, 6}), ("set", {3, 6, 9})])
def test_fixed_sparsity_rows_exchange_until_their_end(name, exchanged):
    watch, _, _ = fit(name, interval=3, updates=12)
    assert {round(removed(masks), 3) for masks in watch.masks} == {0.6}
    moved = {
        step
        for step in range(1, 13)
        if any(not torch.equal(watch.masks[step][key], watch.masks[step - 1][key]) for key in watch.masks[step])
    }
    assert moved == exchanged


def test_set_grows_by_chance_and_rigl_by_gradients():
    watch, _, _ = fit("set", interval=3, updates=6)
    rigl, _, _ = fit("rigl", interval=3, updates=6)
    key = "layers.2.weight"
    grown = [run.masks[3][key] & ~run.masks[2][key] for run in (watch, rigl)]
    ranks = [run.gradients[2][key].abs()[mask].mean() for run, mask in zip((watch, rigl), grown, strict=True)]
    assert ranks[1] > 1.5 * ranks[0]


def test_both_moments_of_removed_and_regrown_entries_are_forgotten():
    seen = {}

    class See(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            for key, weight in find_targets(pl_module).items():
                state = trainer.optimizers[0].state[weight]
                moments = state["exp_avg"].clone(), state["exp_avg_sq"].clone()
                seen[trainer.global_step, key] = pruning.masks[key].clone(), *moments

    pruning = GraNet(0.6, interval=3, ramp=0.5)
    trainer(None, pruning, See(), steps=9).fit(Classifier(), loader())
    for key in ("layers.2.weight", "layers.4.weight"):
        before, (mask, first, second) = seen[5, key][0], seen[6, key]
        out = ~mask | (mask & ~before)
        assert (first[out] == 0).all()
        assert (second[out] == 0).all()
        assert float((first[mask & before] != 0).float().mean()) > 0.5


def test_no_exchange_is_plain_gradual_pruning():
    plain, _, _ = fit("gradual", interval=3, progress=0.5)
    without, _, _ = fit("granet", interval=3, progress=0.5, swap=0.0)
    assert all(torch.equal(plain.weights[-1][key], without.weights[-1][key]) for key in plain.weights[-1])
