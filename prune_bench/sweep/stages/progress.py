"""How far a stage is: workers write it to a file in their folder, the sweep reads it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from prune_bench.files import write_text
from prune_bench.sweep.runs.files import read_json

FILE = "progress.json"
INTERVAL = 1.0


@dataclass(frozen=True)
class Progress:
    """`done` of `total` parts of one phase, as of `time`; the process began at `since` with `start` done before."""

    phase: str
    done: int
    total: int
    start: int
    since: float
    time: float

    @property
    def remaining(self) -> float | None:
        """Seconds to the end of the phase at the pace so far, None before the first part is done."""
        if self.done <= self.start:
            return None
        return (self.time - self.since) / (self.done - self.start) * (self.total - self.done)


class Reporter:
    """Writes a stage's progress, at most once a second within a phase; `folder=None` writes nothing."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.phase, self.start, self.since, self.written = "", 0, 0.0, 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.time()
        if phase != self.phase:
            self.phase, self.start, self.since, self.written = phase, done, now, 0.0
        if self.folder and (now - self.written >= INTERVAL or done == total):
            self.written = now
            values = asdict(Progress(phase, done, total, self.start, self.since, now))
            write_text(self.folder / FILE, json.dumps(values), sync=False)


def read_progress(folder: Path) -> Progress | None:
    """The progress that the folder's worker wrote last; None before its first."""
    values = read_json(folder / FILE)
    return Progress(**values) if values else None


def clear_progress(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)
