"""A sweep on the terminal: one line per running stage with the time it still needs, and rows as they finish."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Lines

from prune_bench.families import FAMILIES, Row, expand, find_quantity
from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.runs.dependencies import label
from prune_bench.sweep.stages.progress import Progress, read_progress

QUIET_INTERVAL = 60.0


class Display:
    """Prints finished rows; on a terminal with live lines below, elsewhere with a line a stage and minute."""

    def __init__(self, console: Console, total: int, shown: bool = True):
        self.console, self.total = console, total
        self.shown, self.live = shown, shown and console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[eta]}"),
        )
        self.lines = Lines(*columns, console=console, refresh_per_second=2, disable=not self.live, transient=True)
        self.all = self.lines.add_task("rows", total=total, eta="")
        self.ids: dict[Task, TaskID] = {}
        self.said: dict[Task, float] = {}

    def __enter__(self) -> Display:
        self.lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.stop()

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show_row(self, row: Row, text: str, done: int, left: str) -> None:
        """One line of the growing table, the `done`-th; `left` is the time the whole sweep still needs."""
        place = f"{done}/{self.total}"
        self.say(f"{place:>7}  {text:<40}  {describe_row(row)}")
        self.lines.update(self.all, completed=done, eta=left)

    def show_tasks(self, running: Sequence[Task]) -> None:
        """Bring the lines of running tasks up to date and drop the others."""
        if not self.shown:
            return
        for task in running:
            progress = read_progress(task.folder)
            if self.live:
                self._draw(task, progress)
            elif time.monotonic() - self.said.get(task, float("-inf")) >= QUIET_INTERVAL:
                self.said[task] = time.monotonic()
                self.say(f"{'':7}  {describe_task(task)}: {describe_progress(progress)}")
        for task in set(self.ids) - set(running):
            self.lines.remove_task(self.ids.pop(task))

    def _draw(self, task: Task, progress: Progress | None) -> None:
        if task not in self.ids:
            self.ids[task] = self.lines.add_task("", total=None, eta="")
        text = f"{describe_task(task)}, {progress.phase if progress else 'starting'}"
        done, total = (progress.done, progress.total) if progress else (0, None)
        self.lines.update(self.ids[task], description=text, completed=done, total=total, eta=remaining(progress))


def describe_task(task: Task) -> str:
    return label(task.config) if task.stage in ("fit", "run") else task.folder.name


def describe_progress(progress: Progress | None) -> str:
    if progress is None:
        return "starting"
    return f"{progress.phase} {progress.done}/{progress.total} {remaining(progress)}".strip()


def remaining(progress: Progress | None) -> str:
    """The time a phase still needs, empty while nobody knows."""
    seconds = progress.remaining if progress else None
    return "" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def describe_row(row: Row) -> str:
    """Accuracy and size of a finished run, or why there are none."""
    if row["status"] != "done":
        return f"{row['status']}: {row['reason']}"
    known = []
    for name in expand(FAMILIES.find(row["task"]).scores, row):
        quantity, which = find_quantity(name, [row["task"]])
        value = quantity.value(row, {}, which)
        known += [] if value is None else [f"{quantity.label(which)} {value:.{quantity.digits}f}"]
    size, trained = f"blocks {row['size.blocks_nonzero'] / 1e6:.2f} M", f"{duration(row['seconds.train'])} training"
    return "  ".join([*known, size, trained])


def estimate_left(rows: Sequence[Row], runs: int, slots: int) -> str:
    """How long the runs still missing take at the pace of the finished ones; empty while none has finished."""
    spent = [row["seconds.train"] + row["seconds.evaluate"] for row in rows if row["status"] == "done"]
    left = runs - len(rows)
    return f"about {duration(fmean(spent) * left / slots)} left" if spent and left else ""
