"""Tasks to processes: a bounded pool on this machine, or jobs of a Slurm cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from prune_bench.config import Config
from prune_bench.sweep.files import write_config

LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
POLL = 0.2


@dataclass(frozen=True, eq=False)
class Task:
    """One stage in one folder. It takes `slots` of the pool and waits for the tasks `after` which it comes."""

    stage: str
    folder: Path
    config: Config
    slots: int = 1
    after: tuple[Task, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.folder.name} {self.stage}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "prune_bench.sweep.worker", str(self.folder.resolve()), self.stage]

    def environment(self) -> dict[str, str]:
        """This environment with the thread pools of all libraries at `execution.threads`."""
        return {**os.environ, **dict.fromkeys(LIBRARIES, str(self.config.execution.threads))}


class Handle(Protocol):
    """A started task. `poll` gives its exit code once it has ended; `stop` ends it at once."""

    def poll(self) -> int | None: ...

    def stop(self) -> None: ...


class LocalProcess:
    """A worker, and what it starts, in a process group of its own; a kill is safe at any moment."""

    def __init__(self, task: Task, output: IO[str] | None):
        self.process = subprocess.Popen(
            task.command(), env=task.environment(), stdout=output, stderr=output, start_new_session=True
        )

    def poll(self) -> int | None:
        return self.process.poll()

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start_local(task: Task, foreground: bool = False) -> LocalProcess:
    """Start a worker here; its words go to log.txt, or to the terminal in the foreground."""
    write_config(task.folder, task.config)
    if foreground:
        return LocalProcess(task, None)
    with (task.folder / "log.txt").open("a") as log:
        return LocalProcess(task, log)


def run_tasks(
    tasks: list[Task],
    start: Callable[[Task], Handle],
    slots: int,
    ended: Callable[[Task, int | None], None],
    tick: Callable[[list[Task]], Any],
) -> None:
    """Run tasks in order, as many at a time as fit into `slots` (one that needs more than there are runs alone).

    `ended(task, code)` is called for each: with its exit code, or None if it could not start because a task before it
    failed. `tick(running)` is called several times a second. However this ends, no started task is left running.
    """
    waiting, running = list(tasks), dict[Task, Handle]()
    passed, failed = set[Task](), set[Task]()
    try:
        while waiting or running:
            for task, handle in list(running.items()):
                if (code := handle.poll()) is not None:
                    del running[task]
                    (failed if code else passed).add(task)
                    ended(task, code)
            for task in [task for task in waiting if failed.intersection(task.after)]:
                waiting.remove(task)
                failed.add(task)
                ended(task, None)
            ready = next((task for task in waiting if passed.issuperset(task.after)), None)
            free = slots - sum(task.slots for task in running)
            if ready and (ready.slots <= free or not running):
                waiting.remove(ready)
                running[ready] = start(ready)
                continue
            tick(list(running))
            time.sleep(POLL)
    finally:
        for handle in running.values():
            handle.stop()
