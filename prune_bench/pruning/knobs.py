"""The numbers and choices that a method's row leaves open: with type, default and the values allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, TypedDict

STRUCTURES = ("groups", "weights", "weights+biases", "ranks", "heads")


def within(default: float, low: float, high: float, open_low: bool = False, open_high: bool = False) -> Any:
    """A number in an interval; its ends are allowed unless open."""
    ends = f"{'above' if open_low else 'at least'} {low:g} and {'below' if open_high else 'at most'} {high:g}"

    def check(value: Any) -> str | None:
        inside = (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
        return None if inside else f"give a number {ends}"

    return field(default=default, metadata={"check": check})


def above(default: float, low: float) -> Any:
    """A number larger than `low`."""
    return field(default=default, metadata={"check": lambda v: None if v > low else f"give a number above {low:g}"})


def spacing() -> Any:
    """How often: a whole number of updates from 1 on, a fraction of the fit below 1."""

    def check(value: Any) -> str | None:
        if not value > 0:
            return "give a number above 0"
        return None if value < 1 or value == int(value) else "give a whole number of updates, or a fraction below 1"

    return field(default=0.01, metadata={"check": check})


def optional(low: float, high: float) -> Any:
    """A number in an interval, or None for what the row says."""

    def check(value: Any) -> str | None:
        return None if value is None or low <= value <= high else f"give a number from {low:g} to {high:g}"

    return field(default=None, metadata={"check": check})


def among(default: str, choices: Sequence[str]) -> Any:
    """One of a few words."""
    wrong = f"choose {', '.join(map(repr, choices))}"
    return field(default=default, metadata={"check": lambda v: None if v in choices else wrong, "choices": choices})


def _check_sparsities(text: str) -> str | None:
    try:
        wrong = [size for size in text.split("+") if size and not 0.0 < float(size) < 1.0]
    except ValueError:
        return "give numbers joined with +, as 0.5+0.7"
    return "give sparsities between 0 and 1" if wrong else None


@dataclass
class Knobs:
    """What shapes a method beside its row: the `pruning` section of a configuration.

    Of a schedule: `at`, the fraction of the fit at which a mask is drawn once, and `calibration`, the same for criteria
    that first take in batches; `interval`, how often masks are drawn, below 1 as a fraction of the fit and from 1 on in
    updates; `start`, the sparsity at which a rising one begins (None: as the row says), and `progress`, the fraction of
    the fit at which it has risen; `intermediate`, sparsities joined with `+` that one gradual run to the largest of
    them saves on its way, each at the end of an equal part of the fit, of which `interval` and `progress` are then
    fractions (without any, each sparsity is a run of its own); `imp_step`, how iterative pruning divides the target,
    `round` the length of its rounds where they are fits of their own, and `final` the fraction of the fit after the
    last one where they share one fit.

    Of a mask: `structure`; `allocation`, in place of the row's; `mask_language`, whose mask is transferred.
    Of regrowth: `swap`, the share of kept weights exchanged at first (None: as the row says).
    Of statistics: `calibration_batches`, `block` and `damping`.
    Of learned gates: `ramp`, until when the target rises, and `settle`, when gates are fixed, as fractions of the fit;
    learning rates, initial logits and temperature; `counter`; the weight of distillation and the side that is mapped;
    `reference_seconds`, the length of speech whose operations count.
    """

    structure: str = among("groups", STRUCTURES)
    allocation: str = among("", ("", "global", "uniform"))
    at: float = within(0.0, 0, 1)
    calibration: float = within(0.1, 0, 1)
    interval: float = spacing()
    start: float | None = optional(0, 1)
    progress: float = within(0.6, 0, 1)
    intermediate: str = field(default="", metadata={"check": _check_sparsities})
    imp_step: str = among("original10", ("original10", "remaining10"))
    round: float = above(0.2, 0)
    final: float = within(0.5, 0, 1, open_high=True)
    mask_language: str = ""
    swap: float | None = optional(0, 1)
    calibration_batches: int = within(32, 1, float("inf"))
    block: int = within(128, 1, float("inf"))
    damping: float = above(1e-4, 0)
    ramp: float = within(0.3, 0, 1)
    settle: float = within(0.6, 0, 1)
    mask_learning_rate: float = above(5e-2, 0)
    multiplier_learning_rate: float = above(5e-2, 0)
    gate_init: float = 4.6
    ffn_gate_init: float = 3.0
    temperature: float = above(2 / 3, 0)
    counter: str = among("exact", ("exact", "paper_eq3"))
    distillation: float = within(1.0, 0, float("inf"))
    distillation_side: str = among("student", ("student", "teacher"))
    reference_seconds: float = above(15.0, 0)


KNOB_CHOICES: dict[str, tuple[str, ...]] = {
    knob.name: tuple(knob.metadata["choices"]) for knob in fields(Knobs) if "choices" in knob.metadata
}


class KnobOptions(TypedDict, total=False):
    """The knobs that a method has in one fit, as keyword arguments."""

    at: float
    calibration: float
    interval: float
    start: float | None
    progress: float
    intermediate: str
    imp_step: str
    final: float
    swap: float | None
    calibration_batches: int
    block: int
    damping: float
    ramp: float
    settle: float
    mask_learning_rate: float
    multiplier_learning_rate: float
    gate_init: float
    ffn_gate_init: float
    temperature: float
    counter: str
    distillation: float
    distillation_side: str


def set_knobs(
    knobs: Knobs, names: Sequence[str], values: Any, owner: str, called: Mapping[str, str] | None = None
) -> Knobs:
    """A copy with other values, each one of `names` and allowed. `called` are other names of knobs, for messages.

    Raises:
        TypeError: a name that `owner` does not have, with the nearest one that it has.
        ValueError: a value that is not allowed.
    """
    for name in values:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names) or 'none'}"
            raise TypeError(f"{owner} has no option {name!r}: {hint}")
    changed = replace(knobs, **values)
    check_knobs(changed, owner, names, called)
    return changed


def check_knobs(
    knobs: Knobs, owner: str, names: Sequence[str] | None = None, called: Mapping[str, str] | None = None
) -> None:
    """Raise ValueError, naming `owner` and the knob, for a value that is not allowed."""
    for one in fields(knobs):
        value, check = getattr(knobs, one.name), one.metadata.get("check")
        if check and (names is None or one.name in names) and (wrong := check(value)):
            raise ValueError(f"{owner}{(called or {}).get(one.name, one.name)}={value}: {wrong}")


def read_sparsities(text: str, below: float = 1.0) -> list[float]:
    """The sparsities of "0.5+0.7", those under a bound; none of an empty text."""
    return [float(size) for size in text.split("+") if size and float(size) < below]
