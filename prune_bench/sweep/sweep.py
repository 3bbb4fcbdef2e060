"""A whole sweep: corpus, dense models, runs, timing. Whatever is finished is left alone."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from prune_bench.config import Config
from prune_bench.data.contents import with_contents
from prune_bench.families import Row
from prune_bench.sweep.launch.display import Display, estimate_left
from prune_bench.sweep.launch.plan import plan_runs
from prune_bench.sweep.launch.processes import Handle, Task, run_tasks, start_local
from prune_bench.sweep.runs.dependencies import label, reference_runs, run_id, with_dependencies
from prune_bench.sweep.runs.files import write_lines
from prune_bench.sweep.runs.folders import READY, cache_folder, corpus_folder, named_before, run_folder
from prune_bench.sweep.runs.rows import finished_runs, is_timed, read_row, unfinished, write_row
from prune_bench.sweep.stages.overlaps import is_compared

UNBOUNDED = 10_000


class CorpusError(Exception):
    """The corpus could not be prepared; its stage has said why."""


class Sweep:
    """The runs `configs` and the `folder` of their table. All must share one preset and one corpus.

    `rows` holds the finished, infeasible and failed rows known so far; `failed` tells that something went wrong.
    """

    def __init__(
        self, configs: list[Config], folder: Path, console: Console, timed: bool = True, compared: bool = False
    ):
        self.configs, self.folder, self.timed, self.compared = configs, folder, timed, compared
        self.execution = configs[0].execution
        self.slots = self.execution.jobs if self.execution.launcher == "local" else UNBOUNDED
        self.display = Display(console, len(configs), self.execution.progress)
        self.rows: list[Row] = []
        self.failed = False

    def run(self) -> list[Row]:
        """Do what is missing and return all rows, in the order of the configurations.

        Raises:
            CorpusError: nothing could be started.
        """
        self.configs = self.read_contents()
        if old := named_before(Path(self.execution.output)):
            count = "1 run" if old == 1 else f"{old} runs"
            verb = "is" if old == 1 else "are"
            self.display.say(f"{count} in {self.execution.output}/runs {verb} named by an earlier version: left alone")
        tasks = plan_runs(self.configs)
        todo = {task.folder for task in tasks if task.stage == "run"}
        if tasks:
            self.prepare_corpora()
        with self.display:
            for config in self.configs:
                if run_folder(config) not in todo:
                    self.add_row(config, shown=bool(tasks))
            run_tasks(tasks, self.start, self.slots, self.end, self.display.show_tasks)
            if self.timed and not is_timed(self.folder, self.rows, self.configs[0]):
                self.measure_together("time")
            if self.compared and not is_compared(self.folder, self.rows):
                self.measure_together("compare")
        return self.rows

    def read_contents(self) -> list[Config]:
        """The configurations with what their corpora hold, by which their runs are named."""
        try:
            return with_contents(self.configs, cache_folder(self.configs[0]), self.execution.progress)
        except ValueError as error:
            print(error, file=sys.stderr)
            raise CorpusError from None

    def prepare_corpora(self) -> None:
        """Prepare the corpora of the runs and of their dependencies, in the foreground, one after the other."""
        needed: dict[Path, Config] = {}
        for run in (run for config in self.configs for run in with_dependencies(config)):
            needed.setdefault(corpus_folder(run), run)
        codes: list[int | None] = []
        tasks = [Task("corpus", path, run) for path, run in needed.items() if not (path / READY).exists()]
        foreground = partial(start_local, foreground=True)
        run_tasks(tasks, foreground, 1, lambda task, code: codes.append(code), lambda running: None)
        if any(codes):
            raise CorpusError

    def start(self, task: Task) -> Handle:
        if self.execution.launcher == "local":
            return start_local(task)
        from prune_bench.sweep.launch.slurm import start_slurm  # submitit takes a second to import

        return start_slurm(task, Path(self.execution.output))

    def end(self, task: Task, code: int | None) -> None:
        """Make sure that a run that ended has a row, and show it."""
        finished = code == 0 and task.stage != "run"
        if not finished and read_row(task.folder) is None:
            write_row(task.folder, unfinished(task.config, "failed", self.explain(task, code)))
        if task.stage == "run":
            self.add_row(task.config)

    def explain(self, task: Task, code: int | None) -> str:
        """Why a task that left no row of its own did not finish."""
        if code is None:
            needed = [*with_dependencies(task.config)[:-1], *reference_runs(task.config)]
            rows = [(run, read_row(run_folder(run))) for run in needed]
            reasons = [f"{label(run)}: {row['reason']}" for run, row in rows if row and row["status"] != "done"]
            return f"it needs {next(iter(reasons), 'a run that is missing')}"
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code} before its row was written"

    def add_row(self, config: Config, shown: bool = True) -> None:
        """Take a run's row into the table on disk and on the screen."""
        folder = run_folder(config)
        row = read_row(folder)
        assert row is not None
        self.rows.append(row)
        order = {run_id(config): place for place, config in enumerate(self.configs)}
        self.rows.sort(key=lambda row: order[row["run"]])
        write_lines(self.folder / "rows.jsonl", self.rows)
        self.failed |= row["status"] == "failed"
        if shown:
            left = estimate_left(self.rows, len(self.configs), self.execution.jobs)
            self.display.show_row(row, label(config), len(self.rows), left)
            if row["status"] == "failed":
                self.display.say(f"{'':9}log: {folder / 'log.txt'}")

    def measure_together(self, stage: str) -> None:
        """Time all finished models, or compare their masks, alone."""
        if not finished_runs(self.rows):
            return
        codes: list[int | None] = []
        task = Task(stage, self.folder, self.configs[0])
        run_tasks([task], self.start, 1, lambda task, code: codes.append(code), self.display.show_tasks)
        if codes != [0]:
            self.failed = True
            self.display.say(f"stage {stage!r} failed; log: {self.folder / 'log.txt'}")
