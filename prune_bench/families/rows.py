"""What a run leaves: a row of named columns, whose types are checked when it is made and when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints

Asked = TypedDict(
    "Asked",
    {
        "run": str,
        "task": str,
        "method": str,
        "structure": str,
        "sparsity": float,
        "target": str,
        "seed": int,
        "preset": str,
        "corpus": str,
        "config": dict[str, Any],
        "reason": str,
        "hardware.cpu": str,
        "hardware.cores": int,
        "threads": int,
        "versions": dict[str, str],
        "finished": str,
    },
)
Noted = TypedDict(
    "Noted",
    {
        "code": dict[str, Any],
        "notes": list[str],
        "flops.blocks": float,
        "flops.encoder": float,
        "overlap.start": float,
        "threshold": float,
        "fine_tunings": int,
        "seconds.all_fits": float,
        "hardware.gpu": str,
    },
    total=False,
)
Measured = TypedDict(
    "Measured",
    {
        "dense_sha": str,
        "achieved": float,
        "physical": bool,
        "size.blocks": int,
        "size.blocks_nonzero": int,
        "size.encoder": int,
        "size.total": int,
        "updates.final": int,
        "updates.total": int,
        "precision": str,
        "seconds.train": float,
        "seconds.evaluate": float,
    },
)


class Unfinished(Asked, Noted):
    """A run without numbers: it failed, and the next sweep tries it again, or it cannot be."""

    status: Literal["failed", "infeasible"]


class Finished(Asked, Noted, Measured):
    """A run with numbers. A family adds the columns that all of its rows have by a subclass."""

    status: Literal["done"]


Row = Finished | Unfinished


def check_columns(values: Mapping[str, Any], kind: type[Any], place: str) -> None:
    """Check that `values` has the columns of a typed dictionary `kind` in their types, and that its numbers are finite.

    Raises:
        ValueError: a column is missing, of another type, or no finite number; the message names it and `place`.
    """
    for name in sorted(kind.__required_keys__ - values.keys()):
        raise ValueError(f"{place}: a row without {name!r}: delete it and run the sweep again")
    for name, hint in get_type_hints(kind).items():
        if name in values and not _has_type(values[name], hint):
            raise ValueError(f"{place}: {name}={values[name]!r} is no {_describe(hint)}: delete it and run again")
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{place}: {name}={value} is no finite number: the model diverged, or was measured wrong")


def _has_type(value: Any, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind is Literal:
        return value in get_args(hint)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, kind)


def _describe(hint: Any) -> str:
    named = get_args(hint) if get_origin(hint) is Literal else (getattr(hint, "__name__", str(hint)),)
    return " or ".join(named)
