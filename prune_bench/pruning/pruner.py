"""The five axes put together: one object that keeps a model's masks up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prune_bench.pruning.criteria import DATA_DRIVEN, Criterion
from prune_bench.pruning.evidence import Evidence
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.schedules import Schedule
from prune_bench.pruning.structures import Structure

REVIVALS = ("hard", "free")


@dataclass
class Pruner:
    """Draws masks when the schedule says so and zeroes what they remove.

    `revival` "hard" zeroes removed units after every update, so that they stay dead; "free" zeroes them only when a
    mask is drawn, so that they train on from zero and are judged again (PARP, Algorithm 1). `initial` takes the place
    of the first draw: a mask from another model, task or language; ValueError for one of other shapes. A data-driven
    criterion is fed by `observe` after each backward pass. With hard revival nothing is judged again until more must
    go.
    """

    criterion: Criterion
    structure: Structure
    schedule: Schedule
    revival: str
    seed: int = 0
    initial: Mapping[str, Tensor] | None = None
    masks: MaskSet = field(default_factory=MaskSet)
    churn: float = 0.0
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        if self.criterion in DATA_DRIVEN:
            self.evidence = Evidence()
        if self.initial is not None:
            MaskSet(self.initial).match(self.structure.shapes())

    def update(self, step: int) -> bool:
        """Act after `step` finished optimizer updates; True when a new mask was drawn."""
        drawn = self.schedule.is_update_step(step) and not self.rests(step)
        if drawn:
            self.draw(step)
        elif self.masks and self.revival == "hard":
            self.structure.apply(self.masks)
        return drawn

    def rests(self, step: int) -> bool:
        """Whether the masks can stay: removed units cannot come back, and no more are to go."""
        asked = self.schedule.sparsity_at
        return bool(self.masks) and self.revival == "hard" and asked(step) == asked(step - 1)

    def draw(self, step: int) -> None:
        """Judge all units anew at the schedule's sparsity and zero the removed ones."""
        masks = self.select(step) if self.masks or self.initial is None else MaskSet(self.initial)
        self.churn = masks.churn(self.masks) if self.masks else 0.0
        self.masks = masks
        self.structure.apply(masks)

    def select(self, step: int) -> MaskSet:
        kept, sparsity = self.masks if self.revival == "hard" else {}, self.schedule.sparsity_at(step)
        if sparsity == 0:
            return MaskSet(
                {name: torch.ones(shape, dtype=torch.bool) for name, shape in self.structure.shapes().items()}
            )
        if self.evidence is not None:
            return self.structure.select(self.structure.rank(self.evidence.means(), kept), sparsity)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return self.structure.select(self.structure.scores(self.criterion, generator, kept), sparsity)

    def observe(self, scale: float = 1.0) -> None:
        """Take the gradients of one batch, of a loss `scale` times too large, as evidence."""
        if self.evidence is not None:
            self.evidence.add(self.structure.changes(), scale)

    def finish(self, step: int) -> None:
        """Leave the model exactly sparse: free units are judged a last time."""
        if self.revival == "free":
            self.draw(step)
        elif self.masks:
            self.structure.apply(self.masks)

    @property
    def achieved(self) -> float:
        """The removed fraction of the denominator that holds now; 0 before the first mask."""
        return self.structure.achieved(self.masks) if self.masks else 0.0

    def state_dict(self) -> dict[str, Any]:
        evidence = self.evidence.state_dict() if self.evidence is not None else None
        return {"masks": dict(self.masks), "churn": self.churn, "evidence": evidence}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        masks = MaskSet(state["masks"])
        if masks:
            masks.match(self.structure.shapes())
        self.masks, self.churn = masks, state["churn"]
        if self.evidence is not None:
            self.evidence.load_state_dict(state["evidence"])
