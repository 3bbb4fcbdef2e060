"""One stage in its own process: `python -m prune_bench.sweep.launch.worker FOLDER [STAGE]`, the stage `run` by default.

The folder holds config.yaml. Under DDP the further ranks are this very command, started again by Lightning.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from filelock import FileLock

from prune_bench.pruning import Infeasible
from prune_bench.sweep.runs.files import read_config
from prune_bench.sweep.runs.rows import read_row, unfinished, write_row
from prune_bench.sweep.stages.progress import Reporter, clear_progress

EXPECTED = (ValueError, FileNotFoundError)


def rank() -> int:
    """The place of this process among those of its fit."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_PROCID") or 0)


def end_with_parent() -> None:
    """End at once when the process that started this one is gone, so that a killed sweep leaves nothing behind."""
    sweep, parent = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if sweep:  # the parent of a forked worker is the fork server, which lives as long as its workers
            sweep.join()
        else:
            while os.getppid() == parent:
                time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def perform(folder: Path, stage: str) -> None:
    """Run a stage to its artefact; returns at once if that is there."""
    from prune_bench.sweep.stages.registry import STAGES

    STAGES[stage](folder, read_config(folder), Reporter(folder if rank() == 0 else None))


def forget_failure(folder: Path) -> None:
    """A failed row is of the attempt before."""
    row = read_row(folder)
    if row and row["status"] == "failed":
        (folder / "row.json").unlink()


def record(folder: Path, stage: str, error: Exception) -> None:
    """A run that cannot be finished leaves a row that says why."""
    status = "infeasible" if isinstance(error, Infeasible) else "failed"
    if stage in ("fit", "run"):
        write_row(folder, unfinished(read_config(folder), status, reason(error)))


def reason(error: Exception) -> str:
    """The last line of the traceback; the message alone where it was written for the user."""
    if isinstance(error, EXPECTED):
        return str(error)
    return traceback.format_exception_only(error)[-1].strip()


def main(folder: Path, stage: str = "run") -> int:
    if rank() > 0:
        try:
            perform(folder, stage)
        except Infeasible:
            pass  # rank 0 records it
        return 0
    try:
        read_config(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    with FileLock(folder / ".lock"):
        clear_progress(folder)
        forget_failure(folder)
        try:
            perform(folder, stage)
        except SystemExit:  # Lightning's answer to SIGTERM, with exit code 0: the stage is not done
            return 128 + signal.SIGTERM
        except Infeasible as error:
            record(folder, stage, error)
        except Exception as error:
            record(folder, stage, error)
            if stage == "corpus" and isinstance(error, EXPECTED):
                print(error, file=sys.stderr)
            else:
                traceback.print_exc()
            return 1
    return 0


def enter(folder: Path, stage: str, threads: int, log: Path) -> None:
    """The same in a forked process: in a group of its own, with its words in `log`."""
    import torch

    os.setsid()
    end_with_parent()
    with log.open("a") as words:
        os.dup2(words.fileno(), sys.stdout.fileno())
        os.dup2(words.fileno(), sys.stderr.fileno())
    torch.set_num_threads(threads)
    sys.exit(main(folder, stage))


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
