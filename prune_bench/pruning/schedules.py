"""Schedules: which sparsity is asked after how many updates, and when a mask is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """`sparsity_at(step)` in [0, 1) and `is_update_step(step)`, step counted in finished optimizer updates."""

    def sparsity_at(self, step: int) -> float: ...

    def is_update_step(self, step: int) -> bool: ...


def is_due(schedule: Schedule, after: int, step: int) -> bool:
    """Whether a mask is to be drawn at an update later than `after`, up to `step`: updates may be passed over."""
    return any(schedule.is_update_step(update) for update in range(after + 1, step + 1))


@dataclass(frozen=True)
class OneShot:
    """Everything at once, at update `at`."""

    sparsity: float
    at: int = 0

    def sparsity_at(self, step: int) -> float:
        return self.sparsity if step >= self.at else 0.0

    def is_update_step(self, step: int) -> bool:
        return step == self.at


@dataclass(frozen=True)
class Repeated:
    """The same sparsity from the start, the mask judged anew every `interval` updates (PARP)."""

    sparsity: float
    interval: int

    def sparsity_at(self, step: int) -> float:
        return self.sparsity

    def is_update_step(self, step: int) -> bool:
        return step % self.interval == 0


@dataclass(frozen=True)
class Polynomial:
    """From `initial` at `begin` to `final` at `end`, updated every `interval` updates and held afterwards.

    s = final + (initial - final)(1 - u)^power with u the clipped progress: power 1 is linear, 3 is cubic
    (Zhu & Gupta, 2017). The last ramp step lands on `final` exactly even when `interval` does not divide the ramp.
    """

    initial: float
    final: float
    begin: int
    end: int
    interval: int
    power: int = 3

    def sparsity_at(self, step: int) -> float:
        if step < self.begin:
            return 0.0
        if step >= self.end:
            return self.final
        progress = (step - self.begin) / (self.end - self.begin)
        left = (1 - progress) ** self.power
        return self.initial * left + self.final * (1 - left)

    def is_update_step(self, step: int) -> bool:
        lands = step == self.end and self.initial != self.final
        return step >= self.begin and (lands or (step - self.begin) % self.interval == 0)


@dataclass(frozen=True)
class Consecutive:
    """Schedules one after the other, each for `length` updates and the last one for good.

    `ends` are the sparsities of all but the last, by the update at which they have been held for a while.
    """

    parts: tuple[Schedule, ...]
    length: int
    sizes: tuple[float, ...] = ()

    @property
    def ends(self) -> Mapping[int, float]:
        return {self.length * number: size for number, size in enumerate(self.sizes, start=1)}

    def sparsity_at(self, step: int) -> float:
        part, within = self._find(step)
        return part.sparsity_at(within)

    def is_update_step(self, step: int) -> bool:
        part, within = self._find(step)
        return part.is_update_step(within)

    def _find(self, step: int) -> tuple[Schedule, int]:
        number = min(step // self.length, len(self.parts) - 1)
        return self.parts[number], step - number * self.length


@dataclass(frozen=True)
class Ramp:
    """A target that rises linearly from zero to `sparsity` over `length` updates, and is fixed at update `settled`."""

    sparsity: float
    length: int
    settled: int

    def sparsity_at(self, step: int) -> float:
        return self.sparsity * min(1.0, step / self.length)

    def is_update_step(self, step: int) -> bool:
        return step == self.settled


@dataclass(frozen=True)
class Rounds:
    """The next of `targets` after every `length` updates; the last one is held (iterative pruning)."""

    targets: tuple[float, ...]
    length: int

    def sparsity_at(self, step: int) -> float:
        finished = min(step // self.length, len(self.targets))
        return self.targets[finished - 1] if finished else 0.0

    def is_update_step(self, step: int) -> bool:
        return step % self.length == 0 and 0 < step // self.length <= len(self.targets)


def round_targets(sparsity: float, step: str = "original10") -> tuple[float, ...]:
    """The sparsity after each round of iterative pruning, the last one `sparsity` itself.

    Each round removes a tenth of the weights: of all ("original10", nine rounds to 90 %, as published results count)
    or of those still there ("remaining10", 22 rounds, as PARP's text says).
    """
    if step == "original10":
        rounds = math.ceil(round(10 * sparsity, 9))
        return tuple(min(number / 10, sparsity) for number in range(1, rounds + 1))
    if step == "remaining10":
        rounds = math.ceil(round(math.log(1 - sparsity) / math.log(0.9), 9))
        return tuple(min(round(1 - 0.9**number, 9), sparsity) for number in range(1, rounds + 1))
    raise ValueError(f"step={step!r}: choose original10 or remaining10")
