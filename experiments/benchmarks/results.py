"""What a benchmark gives: a table, goals and the raw seconds; printed and written as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from prune_bench.files import write_text
from prune_bench.sweep.runs.rows import now, processor

WIDTH = 120


@dataclass(frozen=True)
class Goal:
    """A measured value and the bound it should keep; `at_least` says on which side."""

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{self.text}: {self.value:.3g}, {side} {self.bound:g}: {'met' if self.met else 'missed'}"


@dataclass
class Result:
    """`rows` are printed as they are, one dict of columns each; `seconds` holds every timing behind them."""

    title: str
    rows: list[dict[str, str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def show(result: Result) -> None:
    """Print the table, the notes and the goals."""
    console = Console(highlight=False)
    console.width = max(console.width, WIDTH)
    table = Table(title=result.title, title_justify="left", box=SIMPLE_HEAD)
    for position, column in enumerate(result.rows[0]):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    for row in result.rows:
        table.add_row(*row.values())
    console.print(table)
    for line in (*result.notes, *map(str, result.goals)):
        console.print(f"  {line}", soft_wrap=True)
    console.print()


def write(result: Result, path: Path, device: str) -> None:
    """Write the result with the hardware, threads and versions it was measured on."""
    goals = [{**asdict(goal), "met": goal.met} for goal in result.goals]
    where = {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "finished": now(),
    }
    values: dict[str, Any] = {**asdict(result), "goals": goals, "hardware": where}
    write_text(path, json.dumps(values, indent=1))


def spread(seconds: Sequence[float]) -> str:
    """Median and range in milliseconds."""
    low, middle, high = (f"{1000 * value:.3g}" for value in (min(seconds), median(seconds), max(seconds)))
    return f"{middle} ({low}-{high})"


def ratio(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """Median over rounds of one variant's time divided by the baseline's in the same round."""
    return median(value / base for value, base in zip(seconds, baseline, strict=True))
