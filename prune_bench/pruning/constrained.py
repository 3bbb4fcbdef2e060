"""The gates of a model, trained under a constraint on its cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from prune_bench.pruning import Infeasible
from prune_bench.pruning.gates import Constraint, Gates, kept_counts, meet_budget, total_cost
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet

COUNTERS = {"exact": "size", "paper_eq3": "size_eq3"}


class ConstrainedGates:
    """A gate a unit of `kinds`, and the Lagrangian constraint that drives the cost of `model` down by `sparsity`.

    The cost is its size as `knobs.counter` counts it, or with `target` "flops" the operations for `frames` feature
    frames. The model offers `units()` and `cost_terms(quantity, frames)`.

    Raises:
        Infeasible: the model offers no costs, or removing every unit would not reach the sparsity.
    """

    def __init__(self, model: Any, kinds: tuple[str, ...], sparsity: float, target: str, frames: int, knobs: Knobs):
        if not hasattr(model, "cost_terms"):
            raise Infeasible(f"{type(model).__name__} offers no cost_terms(): gates need them and units()")
        self.kinds, self.sparsity = kinds, sparsity
        self.all_groups = model.units()
        self.groups = [group for group in self.all_groups if group.kind in kinds]
        self.terms = model.cost_terms("flops" if target == "flops" else COUNTERS[knobs.counter], frames)
        self.dense_cost = float(total_cost(self.terms, kept_counts(self.all_groups, {})))
        most = self.saved({group.name: torch.zeros(group.size) for group in self.groups})
        if most < sparsity:
            raise Infeasible(
                f"removing every unit of {', '.join(kinds)} saves {most:.1%}, less than the asked {sparsity:.1%}"
            )
        initial = {kind: knobs.ffn_gate_init if kind == "ffn" else knobs.gate_init for kind in kinds}
        self.gates, self.constraint = Gates(self.groups, initial, knobs.temperature), Constraint()
        optimizer = partial(torch.optim.AdamW, weight_decay=0.0, fused=True)
        self.optimizers: list[torch.optim.Optimizer] = [
            optimizer(self.gates.parameters(), lr=knobs.mask_learning_rate),
            optimizer(self.constraint.parameters(), lr=knobs.multiplier_learning_rate, maximize=True),
        ]

    def saved(self, masks: Mapping[str, Tensor]) -> float:
        """The removed fraction of the cost."""
        return 1 - float(total_cost(self.terms, kept_counts(self.all_groups, masks))) / self.dense_cost

    def expected(self) -> Tensor:
        """1 - E[cost] / dense cost, differentiable in the logits."""
        return 1 - total_cost(self.terms, kept_counts(self.all_groups, self.gates.probabilities())) / self.dense_cost

    def choose(self) -> MaskSet:
        """The masks of the asked sparsity that the gates give as they are."""
        budget = (1 - self.sparsity) * self.dense_cost
        masks = self.gates.expected_masks()
        return meet_budget(masks, self.gates.scores(), self.all_groups, self.terms, budget, self.adjustable)

    @property
    def adjustable(self) -> str:
        """The kind of unit that is removed or given back until the budget is met."""
        return "ffn" if "ffn" in self.kinds else self.kinds[0]

    @property
    def grain(self) -> float:
        """What one unit of that kind costs at most."""
        return max(
            self.saved({group.name: (torch.arange(group.size) > 0).float()})
            for group in self.groups
            if group.kind == self.adjustable
        )

    def metrics(self) -> dict[str, float]:
        """Multipliers, and the mean probability of a unit to be kept, by kind."""
        kept: dict[str, list[Tensor]] = {}
        for group, probability in zip(self.groups, self.gates.probabilities().values(), strict=True):
            kept.setdefault(f"kept_{group.kind}", []).append(probability.detach())
        multipliers = {"lambda1": self.constraint.linear.item(), "lambda2": self.constraint.quadratic.item()}
        return {**multipliers, **{kind: float(torch.cat(values).mean()) for kind, values in kept.items()}}
