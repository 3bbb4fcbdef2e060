"""What a fit in processes of its own leaves for the process that began it."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from prune_bench.files import write_file


class Handover:
    """Carries a callback's state from the first process of a spawned or forked fit back, in a temporary file.

    Lightning brings back the module's weights alone.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir()) / f"prune-bench-{uuid.uuid4().hex}.pt"
        self._home, self._left = os.getpid(), False

    def leave(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Write the state, where the fit runs in another process than the one that made the callback."""
        if os.getpid() != self._home and trainer.local_rank == 0:
            write_file(self.path, lambda path: torch.save(state, path), sync=False)
            self._left = True

    def take(self) -> dict[str, Any] | None:
        """The state that was left, once."""
        if self._left or not self.path.exists():
            return None
        state = torch.load(self.path, weights_only=True)
        self.path.unlink()
        return state

    def __deepcopy__(self, memo: dict[int, Any]) -> Handover:
        return Handover()
