"""What a row is a result of: a method at a sparsity, in a setting that its configuration holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

from prune_bench.families import Row
from prune_bench.identity import sections, shape
from prune_bench.pruning.methods import METHODS

Setting = tuple[tuple[str, Any], ...]
PRUNING = "pruning."


class Cell(NamedTuple):
    """One method at one asked sparsity: a line of a table.

    Where a report compares several settings (languages, amounts of labels), `setting` holds the keys of the
    configuration that tell them apart, with their values, sorted.
    """

    method: str
    sparsity: float = 0.0
    setting: Setting = ()

    @property
    def dense(self) -> Cell:
        """The dense model of the same setting."""
        return Cell.of("dense", 0.0, self.setting)

    @classmethod
    def of(cls, method: str, sparsity: float, setting: Setting) -> Cell:
        """A method in that part of a setting that shapes its runs: without knobs of pruning that it does not have."""
        knobs = METHODS[method].knobs if method in METHODS else ()
        kept = ((k, value) for k, value in setting if not k.startswith(PRUNING) or k.removeprefix(PRUNING) in knobs)
        return cls(method, sparsity, tuple(kept))

    def within(self, setting: Setting) -> Cell:
        """The cell in a narrower setting."""
        return self._replace(setting=tuple(sorted((*self.setting, *setting))))

    def overrides(self) -> dict[str, Any]:
        """What makes a configuration one of this cell."""
        return {"method": self.method, "sparsity": self.sparsity, **dict(self.setting)}


DENSE = Cell("dense")


def value_of(row: Row, key: str) -> Any:
    """The value of a dotted key in a row's configuration."""
    return reduce(lambda values, part: values[part], key.split("."), row["config"])


def setting_of(row: Row, by: Sequence[str]) -> Setting:
    """The values of dotted keys in a row's configuration, lists as text."""
    values = {key: value_of(row, key) for key in by}
    return tuple((key, str(value) if isinstance(value, list) else value) for key, value in values.items())


def cell_of(row: Row, by: Sequence[str] = ()) -> Cell:
    """The cell that a row is one seed of."""
    return Cell.of(row["method"], round(row["sparsity"], 6), setting_of(row, by))


def stands_for(cell: Cell, other: Cell) -> bool:
    """Whether a report that asks for `cell` means `other`: the same, or one whose setting holds its own and more."""
    return cell[:2] == other[:2] and set(cell.setting) <= set(other.setting)


def keys_of(settings: Iterable[Setting]) -> tuple[str, ...]:
    """The keys that any of the settings names."""
    return tuple(sorted({key for setting in settings for key, _ in setting}))


def varied_keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """The keys of the configuration that tell runs of one method, sparsity and seed apart, sorted."""
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        alike[row["method"], row["sparsity"], row["seed"]].append(_shape(row))
    pairs = ((first, one) for first, *more in alike.values() for one in more)
    return tuple(sorted({key for first, one in pairs for key in first.keys() & one.keys() if first[key] != one[key]}))


def _shape(row: Row) -> dict[str, Any]:
    """What of a row's configuration shaped the run, but for the content of its corpora."""
    method = row["method"]
    shaped = shape(row["config"], sections(row["task"], method), METHODS[method].knobs)
    return {key: value for key, value in shaped.items() if ".content" not in key}
