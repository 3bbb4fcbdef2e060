"""What claims compare: quantities of lines, and what can be made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from prune_bench.families import find_quantity
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.sheets import MINUS
from prune_bench.reports.rows.cells import DENSE, Cell
from prune_bench.reports.tables.columns import Published


class ValueSource(Protocol):
    """Where numbers come from: our results, or a paper."""

    def values(self, quantity: str, cell: Cell) -> Mapping[int, float]:
        """A quantity by seed."""


@dataclass(frozen=True)
class Paper:
    """Published numbers as the values of one run, here called seed 0."""

    published: Published

    def values(self, quantity: str, cell: Cell) -> Mapping[int, float]:
        printed = self.published.get(cell, {})
        return {0: printed[quantity]} if quantity in printed else {}


class Weighted(NamedTuple):
    """A term's share of a sum."""

    weight: float
    term: Term


@dataclass(frozen=True)
class Term:
    """A quantity of one line of a table, under a `name` of its own where the line's method does not tell it apart."""

    quantity: str
    cell: Cell
    name: str = ""

    def __str__(self) -> str:
        if self.name:
            return self.name
        at = f" {100 * self.cell.sparsity:g} %" if self.cell.sparsity else ""
        name = f"{METHODS[self.cell.method].label}{at}"
        return f"{name}, {self.quantity.partition('.')[2]}" if self.quantity.startswith("lost.") else name

    @property
    def parts(self) -> tuple[Weighted, ...]:
        """The terms whose weighted sum this is; none where it is not such a sum."""
        return (Weighted(1.0, self),)

    def values(self, source: ValueSource) -> Mapping[int, float]:
        return source.values(self.quantity, self.cell)


@dataclass(frozen=True)
class AtSizeOf:
    """A quantity of `method` at the size of another line: linear between the method's own sparsities and dense.

    Beyond its smallest model the last segment is extended.
    """

    quantity: str
    method: str
    cell: Cell
    sparsities: tuple[float, ...]

    parts = ()

    def __str__(self) -> str:
        return f"{METHODS[self.method].label} at the same size"

    def values(self, source: ValueSource) -> Mapping[int, float]:
        cells = [DENSE, *(Cell(self.method, sparsity) for sparsity in self.sparsities)]
        curve = [(source.values("size", cell), source.values(self.quantity, cell)) for cell in cells]
        interpolated = {}
        for seed, size in source.values("size", self.cell).items():
            points = sorted((sizes[seed], values[seed]) for sizes, values in curve if seed in sizes and seed in values)
            if len(points) > 1:
                interpolated[seed] = interpolate(size, points)
        return interpolated


@dataclass(frozen=True)
class Where:
    """A quantity of the seeds on which `small` is below a `share` of `large`, and of sources that do not tell."""

    term: Term
    small: str
    large: str
    share: float

    @property
    def quantity(self) -> str:
        return self.term.quantity

    @property
    def cell(self) -> Cell:
        return self.term.cell

    @property
    def parts(self) -> tuple[Weighted, ...]:
        return self.term.parts

    def __str__(self) -> str:
        return str(self.term)

    def values(self, source: ValueSource) -> Mapping[int, float]:
        small, large = source.values(self.small, self.cell), source.values(self.large, self.cell)
        known = self.term.values(source).items()
        return {seed: v for seed, v in known if seed not in small or small[seed] < self.share * large[seed]}


@dataclass(frozen=True)
class Level:
    """A constant, for each seed of a line."""

    value: float
    quantity: str
    cell: Cell

    parts = ()

    def __str__(self) -> str:
        return f"{self.value:g}"

    def values(self, source: ValueSource) -> Mapping[int, float]:
        return dict.fromkeys(source.values(self.quantity, self.cell), self.value)


@dataclass(frozen=True)
class Gain:
    """How much smaller a quantity is on one line than on another."""

    small: Term
    large: Term

    @property
    def quantity(self) -> str:
        return self.small.quantity

    @property
    def cell(self) -> Cell:
        return self.small.cell

    @property
    def parts(self) -> tuple[Weighted, ...]:
        return Weighted(1.0, self.large), Weighted(-1.0, self.small)

    def __str__(self) -> str:
        return f"gain of {self.small} over {self.large}"

    def values(self, source: ValueSource) -> Mapping[int, float]:
        small, large = self.small.values(source), self.large.values(source)
        return {seed: large[seed] - small[seed] for seed in small if seed in large}


@dataclass(frozen=True)
class Comparison:
    """`a < b`, or with a relative margin `a < b (1 + margin)`, or with an absolute one `a < b + plus`."""

    a: Term | Where | Level | Gain
    b: Term | AtSizeOf | Level | Gain
    margin: float = 0.0
    plus: float = 0.0

    def __str__(self) -> str:
        quantity, which = find_quantity(self.a.quantity)
        above = signed(100 * self.margin, " %") if self.margin else signed(self.plus) if self.plus else ""
        return f"{self.a} < {self.b}{above}" + (f", {which}" if quantity.ratio and which else "")


def signed(value: float, unit: str = "") -> str:
    """What is added to a bound, in words."""
    return f" {'+' if value > 0 else MINUS} {abs(value):.3g}{unit}"


def interpolate(size: float, points: Sequence[tuple[float, float]]) -> float:
    """The piecewise linear function through sorted points, its end segments extended."""
    right = next((i for i in range(1, len(points)) if points[i][0] >= size), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (size - x0) / (x1 - x0)
