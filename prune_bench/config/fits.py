"""One training run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FitConfig:
    """One training run. `frames` is the size of a batch over all processes, in feature frames.

    The rate rises for the share `warmup` of the updates, then falls along a `cosine`; or, in `tri_stage`, is held for
    the share `hold` and falls exponentially. Gradients are clipped to the norm `clip`, with 0 not at all.
    `precision` is Lightning's name, or `auto`: bf16-mixed where the hardware has units for it, else 32-true.
    """

    steps: int = 1600
    frames: int = 5000
    accumulate: int = 1
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup: float = 0.1
    hold: float = 0.4
    weight_decay: float = 0.01
    clip: float = 5.0
    precision: str = "auto"
    accelerator: str = "auto"
    devices: int = 1
    checkpoint_every: int = 200
