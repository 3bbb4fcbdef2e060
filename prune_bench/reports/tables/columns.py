"""The columns of tables: each turns one line's runs, and what was published of them, into a cell of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prune_bench.families import find_quantity
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.sheets import MINUS, MISSING, Heading, bracket
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Results

Published = Mapping[Cell, Mapping[str, float]]


@dataclass(frozen=True)
class Entry:
    """One line of a table: our runs of a cell, and the published figures of the same cell (may be empty)."""

    cell: Cell
    results: Results
    published: Mapping[str, float]
    label: str = ""

    @property
    def status(self) -> str:
        """`done`, `infeasible`, `failed`, or `pending` while nothing is known."""
        if self.results.members(self.cell):
            return "done"
        return next((row["status"] for row in self.results.unfinished.get(self.cell, [])), "pending")


Fill = Callable[[Entry], str]


@dataclass(frozen=True)
class Column:
    """A heading and how an entry fills it."""

    heading: Heading
    fill: Fill


def percent(value: float) -> str:
    """A relative change, as in `-11.3 %` with a minus sign."""
    return f"{100 * value:+.1f} %".replace("-", MINUS)


def sparsity(entry: Entry) -> str:
    return f"{100 * entry.cell.sparsity:g} %"


def method(entry: Entry) -> str:
    return METHODS[entry.cell.method].label


def seeds(entry: Entry) -> str:
    return str(len(entry.results.runs.get(entry.cell, {})))


def estimated(quantity: str, digits: int = 2) -> Fill:
    """A quantity with its 95 % interval where one is known, or why there is none."""

    def fill(entry: Entry) -> str:
        estimate = entry.results.estimate(quantity, entry.cell)
        if estimate is None:
            return MISSING if entry.status == "done" else entry.status
        return f"{estimate.mean:.{digits}f}\t{bracket(estimate, f'{{:.{digits}f}}'.format)}"

    return fill


def measured(quantity: str) -> Fill:
    """A quantity, in as many decimals as give the dense one three digits, and its change from dense."""

    def fill(entry: Entry) -> str:
        estimate = entry.results.estimate(quantity, entry.cell)
        if estimate is None:
            return MISSING
        change = entry.results.change(quantity, entry.cell)
        scale = entry.results.estimate(quantity, entry.cell.dense) or estimate
        decimals = max(0, 2 - math.floor(math.log10(scale.mean))) if scale.mean > 0 else 0
        return f"{estimate.mean:.{decimals}f}\t" + ("" if change is None else f"({percent(change)})")

    return fill


def published(quantity: str, digits: int, change: bool = False) -> Fill:
    """The published figure, with the published change from dense if asked."""

    def fill(entry: Entry) -> str:
        if quantity not in entry.published:
            return MISSING
        value = f"{entry.published[quantity]:.{digits}f}"
        if not change:
            return value
        relative = entry.published.get(f"{quantity}.change")
        return f"{value}\t" + ("" if relative is None else f"({percent(relative)})")

    return fill


def achieved(entry: Entry) -> str:
    """The fraction removed, of FLOPs where the method's target is FLOPs."""
    estimate = entry.results.estimate("achieved", entry.cell)
    if estimate is None:
        return MISSING
    unit = "FLOPs" if METHODS[entry.cell.method].target == "flops" else ""
    return f"{100 * estimate.mean:.1f} %\t{unit}"


def reductions(entry: Entry) -> str:
    """Change of the whole encoder's and of the whole model's parameters."""
    changes = [entry.results.change(quantity, entry.cell) for quantity in ("encoder", "model")]
    known = [percent(change) for change in changes if change is not None]
    return " /\t".join(known) if known else MISSING


def updates(entry: Entry) -> str:
    """Updates of the final fit and of all fits together."""
    counts = [entry.results.estimate(f"updates.{which}", entry.cell) for which in ("final", "total")]
    known = [f"{count.mean:.0f}" for count in counts if count is not None]
    return " / ".join(known) if known else MISSING


SPARSITY = Column(Heading("%"), lambda entry: sparsity(entry).removesuffix(" %"))
METHOD = Column(Heading("method"), method)
SETTING = Column(Heading("setting"), lambda entry: entry.label)


def languages(entry: Entry) -> str:
    """How many cells an average is over."""
    return str(len(entry.results.members(entry.cell)))


COUNT = Column(Heading("languages"), languages)
SEEDS = Column(Heading("seeds"), seeds)
ACHIEVED = Column(Heading("achieved", drop=3), achieved)
REDUCTIONS = Column(Heading("encoder / model", "parameters of", drop=5), reductions)
UPDATES = Column(Heading("final / all", "updates", drop=6), updates)


def plain(quantity: str, digits: int = 0) -> Fill:
    """A quantity as a number."""

    def fill(entry: Entry) -> str:
        estimate = entry.results.estimate(quantity, entry.cell)
        return MISSING if estimate is None else f"{estimate.mean:.{digits}f}"

    return fill


def column_of(name: str, task: str) -> Column:
    """A quantity as its family prints it: with its interval, with its change from dense, or plain."""
    quantity, which = find_quantity(name, [task])
    title, group = quantity.heading(which)
    if quantity.ratio:
        fill = estimated(name, quantity.digits)
    else:
        fill = measured(name) if quantity.compared else plain(name, quantity.digits)
    return Column(Heading(title, group, quantity.drop), fill)


def fine_tunings() -> tuple[Column, Column, Column]:
    """How often a method fine-tunes, ours and published, and the minutes of training that it took."""
    return (
        Column(Heading("ours", "fine-tunings"), plain("fine_tunings")),
        Column(Heading("paper", "fine-tunings", drop=1), published("fine_tunings", 0)),
        Column(Heading("minutes", "all fits", drop=4), plain("minutes", 1)),
    )


def accuracy(split: str, rate: str = "WER") -> tuple[Column, Column]:
    """Error rate on a split, ours and published."""
    group = f"{split}, {rate} %"
    return (
        Column(Heading("ours", group), estimated(f"wer.{split}")),
        Column(Heading("paper", group, drop=1), published(f"wer.{split}", 2)),
    )


def speed() -> tuple[Column, ...]:
    """Real-time factor of the encoder in eager PyTorch, as published, and under ONNX Runtime."""
    return (
        Column(Heading("ours", "encoder RTF"), measured("rtf")),
        Column(Heading("ONNX Runtime", "encoder RTF", drop=4), measured("rtf.onnx")),
        Column(Heading("paper", "encoder RTF", drop=2), published("rtf", 3, change=True)),
    )


SIZE = Column(Heading("ours", "block weights, M"), measured("size"))


def size() -> tuple[Column, Column]:
    """Weights of the encoder blocks' matrices in millions, ours and published."""
    return (
        SIZE,
        Column(Heading("paper", "block weights, M", drop=2), published("size", 1, change=True)),
    )
