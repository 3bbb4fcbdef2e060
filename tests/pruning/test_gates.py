from __future__ import annotations

import pytest
import torch

from prune_bench.pruning.gates import (
    Constraint,
    Gates,
    effective,
    keep_probability,
    kept_counts,
    meet_budget,
    sample_gates,
    settled_gates,
    total_cost,
)
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.units import CostTerm, UnitGroup


@pytest.mark.parametrize("temperature", [2 / 3, 1.0])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
def test_keep_probability_matches_sampling(temperature, logit):
    generator = torch.Generator().manual_seed(0)
    samples = sample_gates(torch.full((100_000,), logit), torch.rand(100_000, generator=generator), temperature)
    expected = float(keep_probability(torch.tensor(logit), temperature))
    assert float((samples > 0).float().mean()) == pytest.approx(expected, abs=0.005)
    assert float(samples.min()) >= 0.0
    assert float(samples.max()) <= 1.0


def test_keep_probability_at_zero():
    zero = torch.zeros(())
    assert float(keep_probability(zero, 2 / 3)) == pytest.approx(0.832, abs=5e-4)
    assert float(keep_probability(zero, 1.0)) == pytest.approx(0.917, abs=5e-4)


def test_settled_gates_are_deterministic_monotone_and_never_zero():
    values = settled_gates(torch.linspace(-4, 4, 9), 2 / 3)
    assert bool((values.diff() > 0).all())
    assert float(values.min()) > 0


def _fit_toy(maximize: bool) -> tuple[float, list[float], Gates, torch.Tensor]:
    torch.manual_seed(0)
    worth = torch.linspace(0, 0.003, 200)
    gates = Gates([UnitGroup("g", "ffn", 200)], {"ffn": 2.5}, 2 / 3)
    constraint = Constraint()
    mask_optimizer = torch.optim.AdamW(gates.parameters(), lr=0.05, weight_decay=0.0)
    multipliers = torch.optim.AdamW(constraint.parameters(), lr=0.05, weight_decay=0.0, maximize=maximize)
    generator, quadratic = torch.Generator().manual_seed(1), []
    for _ in range(1500):
        sample = gates.sample(generator)["g"]
        sparsity = 1 - gates.probabilities()["g"].mean()
        loss = (worth * (1 - sample)).sum() + constraint(sparsity, 0.5)
        for optimizer in (mask_optimizer, multipliers):
            optimizer.zero_grad()
        loss.backward()
        for optimizer in (mask_optimizer, multipliers):
            optimizer.step()
        quadratic.append(constraint.quadratic.item())
    return 1 - gates.probabilities()["g"].mean().item(), quadratic, gates, worth


def test_ascent_on_the_multipliers_meets_the_target_and_drops_the_worthless_half():
    sparsity, quadratic, gates, worth = _fit_toy(maximize=True)
    assert sparsity == pytest.approx(0.5, abs=0.01)
    assert quadratic == sorted(quadratic)
    kept = gates.expected_masks()["g"]
    assert float(worth[kept].mean()) > 2 * float(worth[~kept].mean())


def test_descent_on_the_multipliers_misses_the_target():
    sparsity, quadratic, _, _ = _fit_toy(maximize=False)
    assert abs(sparsity - 0.5) > 0.2
    assert quadratic[-1] < 0


def test_cost_counts_units_within_others_once():
    groups = [
        UnitGroup("wide", "hidden_global", 4),
        UnitGroup("local", "hidden_local", 4, within="wide"),
        UnitGroup("f", "ffn", 3),
    ]
    masks = {"wide": torch.tensor([1, 1, 0, 1]), "local": torch.tensor([1, 0, 1, 1]), "f": torch.tensor([1, 0, 1])}
    counts = kept_counts(groups, masks)
    assert {name: int(count) for name, count in counts.items()} == {"wide": 3, "local": 2, "f": 2}
    terms = [CostTerm(2.0, ("f", "wide")), CostTerm(1.0, ("f", "local")), CostTerm(5.0, ())]
    assert float(total_cost(terms, counts)) == 2 * 2 * 3 + 2 * 2 + 5
    assert effective(groups, masks)["local"].tolist() == [1, 0, 0, 1]


def test_gradient_of_the_expected_cost_reaches_the_logits():
    groups = [UnitGroup("f", "ffn", 5)]
    gates = Gates(groups, {"ffn": 1.0}, 2 / 3)
    total_cost([CostTerm(3.0, ("f",))], kept_counts(groups, gates.probabilities())).backward()
    assert bool((gates.logits.grad > 0).all())


@pytest.mark.parametrize("budget", [100, 61, 33])
def test_meet_budget_ends_within_one_channel(budget):
    groups = [UnitGroup("h", "heads", 2), UnitGroup("f", "ffn", 20)]
    terms = [CostTerm(10.0, ("h",)), CostTerm(4.0, ("f",))]
    scores = {"h": torch.rand(2), "f": torch.rand(20)}
    for start in (torch.ones(20, dtype=torch.bool), torch.zeros(20, dtype=torch.bool)):
        masks = meet_budget(
            MaskSet(h=torch.ones(2, dtype=torch.bool), f=start), scores, groups, terms, budget
        )  # fmt: skip
        cost = float(total_cost(terms, kept_counts(groups, masks)))
        assert budget - 4 < cost <= budget
        if masks["f"].any() and not masks["f"].all():
            assert scores["f"][masks["f"]].min() > scores["f"][~masks["f"]].max()
