"""Rank components of factorised matrices as units (arXiv 2310.03424's incremental low-rank layers, reconstructed).

A matrix of a x b numbers stands as up @ down with min(a, b) components. With k of them left it costs k (a + b)
numbers, or a b, as it was, where that is less: such a matrix loses nothing, for removals before the break-even cost
accuracy and save nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prune_bench.pruning.allocation import GLOBAL, Allocation, Ranked
from prune_bench.pruning.criteria import gate_gradient
from prune_bench.pruning.examples import ExampleGradients, Reader
from prune_bench.pruning.low_rank import factorise
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.rank_budget import cost
from prune_bench.pruning.structures import NOTHING, Masks, Score, Zeroing, lower, whole


class Factors(NamedTuple):
    """`up` (a, r) and `down` (r, b), whose product is the matrix."""

    up: Tensor
    down: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of the product."""
        return torch.Size((self.up.shape[0], self.down.shape[1]))


class Ranks:
    """Components of all `factors`, ranked together; `fixed` target weights belong to no matrix and stay. `ups` are the
    layers that hold the `up` factors.

    Magnitude ranks by singular values: each time it judges, factors are turned into those of the product's own
    decomposition, which leaves the product as it is. With the others they stay as trained.
    """

    def __init__(
        self,
        factors: Mapping[str, Factors],
        fixed: int = 0,
        allocation: Allocation = GLOBAL,
        ups: Mapping[str, nn.Linear] = MappingProxyType({}),
    ):
        self.pairs, self.fixed, self.allocation = dict(factors), fixed, allocation
        self.ups = ups
        self.replaced: list[Tensor] = []
        self.targets: dict[str, Tensor] = {}
        self.layers: dict[str, nn.Module] = {}
        self.apply = Zeroing(self.factors)
        self.total = fixed + sum(pair.shape.numel() for pair in self.pairs.values())
        self.grain = max(sum(pair.shape) for pair in self.pairs.values()) / self.total
        self.most = 1 - (fixed + sum(cost(1, pair.shape) for pair in self.pairs.values())) / self.total

    def scores(self, score: Score, kept: Masks = NOTHING) -> dict[str, Tensor]:
        """Squared strengths: dropping components of orthogonal factors costs their sum in squared error."""
        if kept:
            self.apply(MaskSet(kept))
        self.turn()
        strengths = {name: up.norm(dim=0) * down.norm(dim=1) for name, (up, down) in self.pairs.items()}
        scores = {name: whole(score(name, one.detach())).square() for name, one in strengths.items()}
        # Strongest first: what was removed has become the last ones.
        return lower(scores, {name: mask.sort(descending=True).values for name, mask in kept.items()})

    @torch.no_grad()
    def turn(self) -> None:
        """Replace all factors by balanced ones with orthogonal components, strongest first."""
        for up, down in self.pairs.values():
            new_up, new_down = factorise(up @ down, up.shape[1])
            up.copy_(new_up)
            down.copy_(new_down)
        self.replaced = list(self.zeroed())

    def watch(self) -> ExampleGradients:
        return ExampleGradients({name: [Reader(up, up.in_features, 1, 1)] for name, up in self.ups.items()})

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        for name, (up, _) in self.pairs.items():
            if up.grad is not None:
                yield name, gate_gradient(up, up.grad, 1)

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> dict[str, Tensor]:
        zeros = {name: torch.zeros(shape) for name, shape in self.shapes().items()}
        return lower({**zeros, **squares}, kept)

    def select(self, scores: Ranked, sparsity: float) -> MaskSet:
        """The components whose removal costs least for what it saves, at most one component short of the budget."""
        held = {name: one for name, one in scores.items() if isinstance(one, Tensor)}
        shapes = {name: self.pairs[name].shape for name in held}
        budget = self.total - round(sparsity * self.total) - self.fixed
        alive = {name: one[one.isfinite()].double().cpu() for name, one in held.items()}
        counts = self.allocation.ranks(alive, shapes, budget)
        return MaskSet({name: strongest(one, counts[name]) for name, one in held.items()})

    def factors(self, masks: Masks) -> Iterator[tuple[Tensor, Tensor]]:
        for name, (up, down) in self.pairs.items():
            yield up, masks[name]
            yield down, masks[name][:, None]

    def achieved(self, masks: MaskSet) -> float:
        counts = {name: int(mask.sum()) for name, mask in masks.items()}
        held = sum(cost(count, self.pairs[name].shape) for name, count in counts.items())
        return 1 - (self.fixed + held) / self.total

    def shapes(self) -> dict[str, torch.Size]:
        return {name: torch.Size((up.shape[1],)) for name, (up, _) in self.pairs.items()}

    def zeroed(self) -> Iterable[Tensor]:
        return [part for pair in self.pairs.values() for part in pair]


def strongest(scores: Tensor, count: int) -> Tensor:
    """Bool tensor that marks the `count` highest scores."""
    mask = torch.zeros(scores.shape, dtype=torch.bool)
    mask[scores.argsort(descending=True, stable=True)[:count].cpu()] = True
    return mask
