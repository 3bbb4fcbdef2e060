"""The axes put together: one object that keeps a model's masks up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prune_bench.pruning.compensation import Compensation, Unchanged
from prune_bench.pruning.criteria import Criterion
from prune_bench.pruning.examples import ExampleGradients
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.masks import MaskSet, Scores
from prune_bench.pruning.revival import Hard, Revival
from prune_bench.pruning.schedules import Consecutive, Schedule, is_due
from prune_bench.pruning.statistics import GradientSquares, mean_over_ranks
from prune_bench.pruning.structures import Structure

Batches = Callable[[bool], Iterator[None]]


@dataclass
class Pruner:
    """Draws masks when the schedule says so and sets to zero what they remove.

    `updates` is the length of the fit. `initial` takes the place of the first draw: a mask from another model, task or
    language; ValueError for one of other shapes. The criterion's `statistics` are fed by `observe` after each backward
    pass where they are running ones; the others are collected before each draw from `batches`, which runs the model on
    calibration batches, with a backward pass where its argument is true.
    """

    criterion: Criterion
    structure: Structure
    schedule: Schedule
    revival: Revival = field(default_factory=Hard)
    updates: int = 0
    compensation: Compensation = field(default_factory=Unchanged)
    seed: int = 0
    initial: Mapping[str, Tensor] | None = None
    batches: Batches | None = None
    knobs: Knobs = field(default_factory=Knobs)
    masks: MaskSet = field(default_factory=MaskSet)
    asked: float = 0.0
    churn: float = 0.0
    step: int = -1
    examples: ExampleGradients | None = None
    _counted: tuple[MaskSet | None, float] = (None, 0.0)

    def __post_init__(self) -> None:
        self.statistics = self.criterion.make_statistics(self.knobs)
        if self.initial is not None:
            MaskSet(self.initial).match(self.structure.shapes())

    def update(self, step: int) -> bool:
        """Act after `step` finished optimizer updates; True when a new mask was drawn."""
        drawn = is_due(self.schedule, self.step, step) and not self.rests(step)
        self.step = step
        if self.masks and self.revival.holds:
            self.structure.apply(self.masks)
        if drawn:
            self.draw(step)
        return drawn

    def rests(self, step: int) -> bool:
        """Whether the masks can stay: no more is to be removed, and nothing is exchanged or ranked again."""
        more = self.schedule.sparsity_at(step) > self.asked
        return bool(self.masks) and not more and not self.acts(step)

    def acts(self, step: int) -> bool:
        """Whether units are exchanged or ranked again: not where a model is saved, as what has grown is zero."""
        saved = self.schedule.ends if isinstance(self.schedule, Consecutive) else {}
        return step not in saved and self.revival.acts(step, self.updates)

    def draw(self, step: int) -> None:
        """Rank all units anew at the schedule's sparsity and set the removed ones to zero."""
        self.asked = max(self.schedule.sparsity_at(step), self.asked if self.revival.holds else 0.0)
        masks = self.select(step) if self.masks or self.initial is None else MaskSet(self.initial)
        self.churn = masks.churn(self.masks) if self.masks else 0.0
        self.masks = masks
        self.structure.apply(masks)

    def select(self, step: int) -> MaskSet:
        """The masks of the asked sparsity, after compensation and regrowth."""
        if self.asked == 0:
            shapes = self.structure.shapes()
            return MaskSet({name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()})
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        masks = self.structure.select(self.rank(generator), self.asked)
        self.compensation.adjust(self.structure.targets, masks, self.statistics)
        if self.acts(step):
            progress = step / max(1, self.updates)
            masks = self.revival.revise(masks, self.structure.targets, self.criterion, progress, generator)
        return masks

    def rank(self, generator: torch.Generator) -> Mapping[str, Tensor | Scores]:
        """Scores of all units; those that cannot be chosen again below all others."""
        barred = self.revival.barred(self.masks)
        if isinstance(self.statistics, GradientSquares):
            means = self.statistics.means()
            return self.structure.rank(mean_over_ranks(means) if self.examples is not None else means, barred)
        if self.statistics is not None:
            if self.batches is None:
                raise ValueError(f"criterion {self.criterion.label} needs calibration batches: give a loader of some")
            self.statistics.collect(self.structure, self.batches(self.statistics.gradients))
        return self.structure.scores(self.scoring(generator), barred)

    def scoring(self, generator: torch.Generator) -> Callable[[str, Tensor], Tensor | Scores]:
        """The criterion as a function of a tensor and its name, with its statistics."""

        def score(name: str, weight: Tensor) -> Tensor | Scores:
            if self.criterion.elementwise:
                return Scores(self.criterion, weight)
            statistic = self.statistics.of(name, weight) if self.statistics is not None else None
            return self.criterion(weight, statistic, generator)

        return score

    @property
    def learns(self) -> bool:
        """Whether it takes in the gradients of batches, for a mask that is still to be drawn."""
        if not isinstance(self.statistics, GradientSquares):
            return False
        more = self.asked < self.schedule.sparsity_at(self.updates)
        return not self.masks or more or self.revival.acts(self.step + 1, self.updates)

    def watch(self) -> None:
        """Begin to take in gradients; `release` ends it."""
        if self.learns:
            self.examples = self.structure.watch()

    def release(self) -> None:
        if self.examples is not None:
            self.examples.release()
            self.examples = None

    def observe(self, scale: float = 1.0, valid: bool = True) -> None:
        """Take the gradients of one batch, of a loss `scale` times too large, into running statistics; only forget them
        where they are not `valid`.
        """
        changes = self.examples.take() if self.examples is not None else self.structure.changes()
        if not valid or not isinstance(self.statistics, GradientSquares):
            return
        if self.examples is not None:
            self.statistics.add_examples(changes, scale)
        else:
            self.statistics.add(changes, scale)

    def finish(self, step: int) -> None:
        """Leave the model exactly sparse: free units are ranked a last time."""
        if self.masks and not self.revival.holds:
            self.draw(step)
        elif self.masks:
            self.structure.apply(self.masks)

    def carries(self, masks: Mapping[str, Tensor]) -> bool:
        """Whether all that `masks` remove is zero in the model."""
        if {name: mask.shape for name, mask in masks.items()} != self.structure.shapes():
            return False
        pairs = self.structure.factors(masks)
        return all(not bool((weight * ~factor.to(weight.device)).any()) for weight, factor in pairs)

    @property
    def achieved(self) -> float:
        """The removed fraction of the denominator that holds now; 0 before the first mask."""
        if self._counted[0] is not self.masks:
            self._counted = self.masks, self.structure.achieved(self.masks) if self.masks else 0.0
        return self._counted[1]

    def state_dict(self) -> dict[str, Any]:
        statistics = self.statistics.state_dict() if self.statistics is not None else None
        return {
            "masks": dict(self.masks), "asked": self.asked, "churn": self.churn, "step": self.step,
            "statistics": statistics,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        masks = MaskSet(state["masks"])
        if masks:
            masks.match(self.structure.shapes())
        self.masks, self.churn = masks, state["churn"]
        self.asked, self.step = state["asked"], state["step"]
        if self.statistics is not None:
            self.statistics.load_state_dict(state["statistics"])
