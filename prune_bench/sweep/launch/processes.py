"""Tasks to processes: a bounded pool on this machine, or jobs of a Slurm cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO, Any, Protocol

from prune_bench.config import Config
from prune_bench.sweep.launch.worker import enter
from prune_bench.sweep.runs.files import write_config

LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
POLL = 0.2
# The first, since each worker imports the command's module again.
IMPORTED = ["__main__", "prune_bench.sweep.stages.registry"]


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables that set the thread pools of all libraries."""
    return dict.fromkeys(LIBRARIES, str(threads))


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
        return [sys.executable, "-m", "prune_bench.sweep.launch.worker", str(self.folder.resolve()), self.stage]

    def environment(self) -> dict[str, str]:
        """This environment with the thread pools of all libraries at `execution.threads`."""
        return {**os.environ, **thread_limits(self.config.execution.threads)}


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


class ForkedProcess:
    """A worker forked from a process that has imported everything: it starts at once, where imports take seconds."""

    def __init__(self, task: Task):
        threads = task.config.execution.threads
        arguments = task.folder.resolve(), task.stage, threads, task.folder.resolve() / "log.txt"
        self.process = fork_server(threads).Process(target=enter, args=arguments)
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def stop(self) -> None:
        if self.process.exitcode is None and self.process.pid:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has no group of its own yet
                self.process.kill()
            self.process.join()


@cache
def fork_server(threads: int) -> ForkServerContext:
    """Python's fork server, started with the libraries' thread pools at the first `threads` asked for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    before = dict(os.environ)
    os.environ.update(thread_limits(threads))
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)
    return context


def start_local(task: Task, foreground: bool = False) -> Handle:
    """Start a worker here; its words go to log.txt, or to the terminal in the foreground.

    A fit of several processes starts the further ones by its own command line, so it needs one; and forking what has
    imported torch is safe on Linux alone.
    """
    write_config(task.folder, task.config)
    if foreground:
        return LocalProcess(task, None)
    if task.slots == 1 and sys.platform == "linux":
        return ForkedProcess(task)
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

    Of those that are ready the widest go first: they would have to wait for slots that then lie idle.
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
            ready = max((t for t in waiting if passed.issuperset(t.after)), key=lambda t: t.slots, default=None)
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
