"""What a fit in processes of its own leaves for the process that began it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import uuid
import weakref
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from prune_bench.files import write_file


class Handover:
    """Carries a callback's state from the first process of a spawned or forked fit back, in a temporary file.

    Lightning brings back the module's weights alone. The file goes when it is read, at the latest with the object in
    the process that began the fit. What is loaded from a pickle in a process of another origin begins anew.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.path = Path(tempfile.gettempdir()) / f"prune-bench-{uuid.uuid4().hex}.pt"
        self._home = os.getpid()
        weakref.finalize(self, _remove, self.path, self._home)

    @property
    def away(self) -> bool:
        """Whether this process was spawned or forked by the one that made the object."""
        parent = multiprocessing.parent_process()
        return parent is not None and parent.pid == self._home

    def leave(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Write the state, where the fit runs in a process of its own."""
        if self.away and trainer.local_rank == 0:
            write_file(self.path, lambda path: torch.save(state, path), sync=False)

    def take(self) -> dict[str, Any] | None:
        """The state that was left, once."""
        if self.away or not self.path.exists():
            return None
        state = torch.load(self.path, weights_only=True)
        self.path.unlink()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if os.getppid() != self._home:  # the parent is not known by `multiprocessing` yet
            self._begin()


def _remove(path: Path, home: int) -> None:
    if os.getpid() == home:
        path.unlink(missing_ok=True)
