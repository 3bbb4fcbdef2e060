"""A method of pruning: a value on every axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prune_bench.pruning.allocation import GLOBAL, Allocation, Lagrangian
from prune_bench.pruning.axes import MASKS
from prune_bench.pruning.compensation import Compensation, SecondOrder, Unchanged
from prune_bench.pruning.criteria import Criterion, LearnedGates, SingularValues
from prune_bench.pruning.knobs import STRUCTURES
from prune_bench.pruning.objectives import Objective
from prune_bench.pruning.plans import Iteratively, Once, Plan
from prune_bench.pruning.revival import Hard, Revival

STARTS = ("random", "pretrained", "dense")


@dataclass(frozen=True)
class Method:
    """A method's axes, and where it stands among the fits of a sweep.

    Axes: a `criterion` ranks what `structures` offer (None: nothing is removed), an `allocation` spreads the budget, a
    `schedule` says when, a `revival` whether removed units come back, a `compensation` what the others do, and
    `objectives` join the loss. `kinds` are those of the groups that may go.

    `start` is whose weights a fit starts from: "random" ones, those of the "pretrained" model (of the dense one where
    nothing is pretrained), of the "dense" model, or of the method of that name at `behind` less sparsity.
    `mask_source` is whose weights choose the first mask: those it starts from ("start"), the "dense" model's, those of
    the dense model of another "language", those of iterative "rounds", or nobody's ("chance").
    A `sized` method is told a sparsity. An `unfrozen` one trains all weights from the start where
    `finetuning.head_only` lets the others begin with the head, as PARP's authors do. `fit` is the section of the
    configuration that its training follows and `share` the knob with its part of those updates; `sections` are those
    that shape it beside what shapes every dense model, or alone where it reads no labels (`supervised` false).

    Raises:
        ValueError: values on two axes that do not go together.
    """

    name: str
    label: str
    criterion: Criterion | SingularValues | LearnedGates | None = None
    structures: tuple[str, ...] = ()
    allocation: Allocation | Lagrangian = GLOBAL
    schedule: Plan = field(default_factory=Once)
    revival: Revival = field(default_factory=Hard)
    compensation: Compensation = field(default_factory=Unchanged)
    objectives: tuple[Objective, ...] = ()
    start: str = "pretrained"
    mask_source: str = "start"
    behind: float = 0.0
    kinds: tuple[str, ...] = ("heads", "ffn", "conv")
    sized: bool = True
    unfrozen: bool = False
    fit: str = "final"
    share: str = ""
    sections: tuple[str, ...] = ("method", "sparsity", "final", "pruning")
    supervised: bool = True
    source: str = ""

    def __post_init__(self) -> None:
        if self.criterion is not None:
            self._check_axes()

    def _check_axes(self) -> None:
        for value in (*self._axes, *self.objectives):
            if self.means not in value.means:
                raise ValueError(f"method {self.name}: {value.label} does not go with {self.criterion}")
        for structure in self.structures:
            if why := self.refusal(structure):
                raise ValueError(f"method {self.name} {why}: leave {structure!r} out of its structures")
        if self.mask_source == "rounds" and not isinstance(self.schedule, Iteratively):
            raise ValueError(f"method {self.name} takes its mask from rounds: give it an iterative schedule")
        inverse = isinstance(self.criterion, Criterion) and "damping" in self.criterion.knobs
        if isinstance(self.compensation, SecondOrder) and not inverse:
            raise ValueError(f"method {self.name}: a second-order update needs the criterion fisher or hessian")

    @property
    def _axes(self) -> tuple[Any, ...]:
        return self.criterion, self.allocation, self.schedule, self.revival, self.compensation

    @property
    def means(self) -> str:
        """How it prunes: by masks, factors or gates; "" where it removes nothing."""
        return "" if self.criterion is None else self.criterion.means[0]

    @property
    def removes(self) -> bool:
        """Whether a fit of it removes anything."""
        return self.criterion is not None

    @property
    def is_dense(self) -> bool:
        """Whether it is the reference that the others start from."""
        return not self.removes and self.start == "pretrained" and self.fit == "dense"

    @property
    def continues(self) -> bool:
        """Whether it trains the dense model on and removes nothing."""
        return not self.removes and self.start == "dense"

    @property
    def is_narrow(self) -> bool:
        """Whether it is a dense model made at the asked size."""
        return not self.removes and self.sized

    @property
    def staged(self) -> bool:
        """Whether it goes on from another method's run."""
        return self.start not in STARTS

    @property
    def target(self) -> str:
        """What the asked fraction is a fraction of: "size" or "flops"."""
        return getattr(self.allocation, "quantity", "size")

    @property
    def knobs(self) -> tuple[str, ...]:
        """The knobs that shape it."""
        if self.criterion is None:
            return ()
        source = {"language": ("mask_language",), "rounds": ("round",)}.get(self.mask_source, ())
        own = (name for value in (*self._axes, *self.objectives) for name in value.knobs)
        mask = ("structure", "allocation") if self.means == MASKS else ()
        return tuple(dict.fromkeys((*mask, *own, *source)))

    def refusal(self, structure: str) -> str:
        """Why it cannot remove what a structure offers, in words that follow its name; empty where it can."""
        reasons = (value.refuses.get(structure, "") for value in (*self._axes, *self.objectives))
        known = "" if structure in self.structures else f"removes {', '.join(self.structures) or 'nothing'}"
        return next(filter(None, reasons), known)

    def check_structure(self, structure: str, owner: str) -> None:
        """Raise ValueError, with the reason, unless it can remove what `structure` offers."""
        if structure not in STRUCTURES:
            raise ValueError(f"structure={structure!r}: choose {', '.join(STRUCTURES)}")
        if why := self.refusal(structure):
            raise ValueError(f"{owner} {why}: in place of structure={structure!r} choose {', '.join(self.structures)}")
