"""A module's own hooks, which Lightning calls after those of callbacks."""

from __future__ import annotations

from collections.abc import Callable

from lightning import LightningModule


def call_after(module: LightningModule, hook: str, act: Callable[[LightningModule], None]) -> None:
    """Call `act` with the module once, after its own `hook`, one without arguments."""
    own = getattr(module, hook)

    def both() -> None:
        vars(module).pop(hook, None)
        own()
        act(module)

    vars(module)[hook] = both
