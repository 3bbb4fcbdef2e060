"""Learned gates: the hard-concrete distribution, the expected cost of a model under it, and the constraint.

Louizos et al., Learning Sparse Neural Networks through L0 Regularization, ICLR 2018; Jiang et al., Accurate and
Structured Pruning for Efficient ASR, Interspeech 2023, equations 2-7 (with r > 1 in equation 5 and the stretched
distribution function taken at zero in equation 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.units import CostTerm, UnitGroup

LEFT, RIGHT = -0.1, 1.1
_EPSILON = 1e-6


def sample_gates(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """z in [0, 1] from uniform `noise`: a stretched, clipped binary concrete sample (equation 5)."""
    noise = noise.clamp(_EPSILON, 1 - _EPSILON)
    concrete = torch.sigmoid((noise.log() - (1 - noise).log() + logits) / temperature)
    return (concrete * (RIGHT - LEFT) + LEFT).clamp(0.0, 1.0)


def keep_probability(logits: Tensor, temperature: float) -> Tensor:
    """P(z != 0) in closed form (equation 6)."""
    return torch.sigmoid(logits - temperature * math.log(-LEFT / RIGHT))


def settled_gates(logits: Tensor, temperature: float) -> Tensor:
    """A noise-free gate value in (0, 1): sigma(0.8 logit / temperature), which never kills a unit that is kept."""
    return torch.sigmoid(0.8 * logits / temperature)


def affected(groups: Sequence[UnitGroup], kinds: Sequence[str]) -> list[UnitGroup]:
    """The groups of these kinds and those within one of them, whose units vanish with it."""
    chosen = {group.name for group in groups if group.kind in kinds}
    return [group for group in groups if group.name in chosen or group.within in chosen]


def effective(groups: Sequence[UnitGroup], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gate values by group with those `within` another multiplied by it. Groups that `values` leaves out are 1."""
    full = {group.name: values.get(group.name, torch.ones(group.size)).float() for group in groups}
    return {g.name: full[g.name] * full[g.within] if g.within in full else full[g.name] for g in groups}


def kept_counts(groups: Sequence[UnitGroup], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Units kept in each group, from probabilities or from 0/1 masks."""
    return {name: units.sum() for name, units in effective(groups, kept).items()}


def total_cost(terms: Sequence[CostTerm], counts: Mapping[str, Tensor]) -> Tensor:
    """Sum over terms of the coefficient times the product of counts (equation 2). Differentiable in the counts."""
    place = {name: position for position, name in enumerate(counts)}
    longest = max(len(term.groups) for term in terms)
    factors = [[place[n] for n in term.groups] + [len(place)] * (longest - len(term.groups)) for term in terms]
    values = torch.stack([*counts.values(), torch.ones(())]).double()
    coefficients = torch.tensor([term.coefficient for term in terms], dtype=torch.float64)
    return coefficients @ values[torch.tensor(factors, dtype=torch.long)].prod(-1)


class Gates(nn.Module):
    """One logit a removable unit. `initial` maps a kind of group to its starting logit."""

    def __init__(self, groups: Sequence[UnitGroup], initial: Mapping[str, float], temperature: float):
        super().__init__()
        self.groups = list(groups)
        self.temperature = temperature
        self.sizes = [group.size for group in groups]
        self.logits = nn.Parameter(torch.cat([torch.full((group.size,), initial[group.kind]) for group in groups]))

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """One random gate vector a group, shared by the whole batch."""
        noise = torch.cat([torch.rand(size, generator=generator) for size in self.sizes])
        return self._by_group(sample_gates(self.logits, noise, self.temperature))

    def probabilities(self) -> dict[str, Tensor]:
        """P(kept) for every unit."""
        return self._by_group(keep_probability(self.logits, self.temperature))

    def expected_masks(self) -> MaskSet:
        """In each group the expected number of units stays, largest logits first."""
        masks = MaskSet()
        for name, logits in self.scores().items():
            kept = round(float(keep_probability(logits, self.temperature).sum()))
            masks[name] = torch.zeros(len(logits), dtype=torch.bool)
            masks[name][logits.argsort(descending=True, stable=True)[:kept]] = True
        return masks

    def settled(self) -> dict[str, Tensor]:
        """Noise-free soft gate values by group."""
        return self._by_group(settled_gates(self.logits.detach(), self.temperature))

    def scores(self) -> dict[str, Tensor]:
        """Detached logits by group: the order in which units would go."""
        return self._by_group(self.logits.detach())

    def _by_group(self, values: Tensor) -> dict[str, Tensor]:
        parts = values.split(self.sizes)
        return {group.name: part for group, part in zip(self.groups, parts, strict=True)}


class Constraint(nn.Module):
    """lambda1 (s - t) + lambda2 (s - t)^2 for sparsity s and target t, both multipliers found by ascent (equation 7).

    Sparsities are fractions, never counts. lambda2's gradient is a square, so under ascent it never decreases.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.zeros(()))
        self.quadratic = nn.Parameter(torch.zeros(()))

    def forward(self, sparsity: Tensor, target: float) -> Tensor:
        gap = sparsity - target
        return self.linear * gap + self.quadratic * gap.square()


def meet_budget(
    masks: MaskSet,
    scores: Mapping[str, Tensor],
    groups: Sequence[UnitGroup],
    terms: Sequence[CostTerm],
    budget: float,
    adjustable: str = "ffn",
) -> MaskSet:
    """The masks with units of kind `adjustable` removed, or given back, until the cost is at most `budget`.

    Units go lowest score first and return highest score first; the result is within one such unit of the budget.
    Other kinds change only where all of the adjustable kind could not make up the difference.
    """
    masks = MaskSet({name: mask.clone() for name, mask in masks.items()})
    fine = [group.name for group in groups if group.kind == adjustable]
    coarse = [name for name in masks if name not in fine]

    def cost(**fill: bool) -> float:
        filled = {name: torch.full_like(masks[name], fill["fine"]) for name in fine} if fill else {}
        return float(total_cost(terms, kept_counts(groups, {**masks, **filled})))

    for name, index in _ranked(scores, coarse):
        if cost(fine=False) <= budget:
            break
        masks[name][index] = False
    for name, index in reversed(_ranked(scores, coarse)):
        if cost(fine=True) >= budget:
            break
        masks[name][index] = True
    _trim(masks, _ranked(scores, fine), _marginal_costs(fine, groups, masks, terms), cost(), budget)
    return masks


def _trim(
    masks: MaskSet, ranked: Sequence[tuple[str, int]], marginal: Mapping[str, float], cost: float, budget: float
) -> None:
    """Remove ranked units until the cost fits the budget, then give back those that still fit."""
    for name, index in ranked:
        if cost <= budget:
            break
        cost -= marginal[name] * int(masks[name][index])
        masks[name][index] = False
    for name, index in reversed(ranked):
        if not masks[name][index] and cost + marginal[name] <= budget:
            masks[name][index] = True
            cost += marginal[name]


def _ranked(scores: Mapping[str, Tensor], names: Sequence[str]) -> list[tuple[str, int]]:
    """(group, unit) of the named groups by rising score."""
    owners = [(name, index) for name in names for index in range(len(scores[name]))]
    order = torch.cat([scores[name] for name in names]).argsort(stable=True).tolist() if names else []
    return [owners[position] for position in order]


def _marginal_costs(
    names: Sequence[str], groups: Sequence[UnitGroup], masks: Mapping[str, Tensor], terms: Sequence[CostTerm]
) -> dict[str, float]:
    counts = kept_counts(groups, masks)
    here = total_cost(terms, counts)
    return {name: float(total_cost(terms, {**counts, name: counts[name] + 1}) - here) for name in names}
