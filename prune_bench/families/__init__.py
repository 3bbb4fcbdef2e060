"""The families of models that a sweep trains, by `task`: a new one is a folder with its record, and a line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from prune_bench.config import Config, from_dict
from prune_bench.config.history import translate
from prune_bench.families.common import COMMON
from prune_bench.families.quantities import Quantity
from prune_bench.families.record import Experiment, Family
from prune_bench.families.rows import Finished, Row, Unfinished, check_columns
from prune_bench.registry import Registry, suggest

FAMILIES: Registry[Family] = Registry(
    "task",
    "FAMILY",
    {
        "transducer": "prune_bench.families.transducer.family",
        "ctc": "prune_bench.families.ctc.family",
        "language_model": "prune_bench.families.language_model.family",
    },
    group="prune_bench.families",
)

__all__ = [
    "FAMILIES",
    "Experiment",
    "Family",
    "Finished",
    "Row",
    "Unfinished",
    "as_row",
    "expand",
    "experiment_of",
    "family_of",
    "find_quantity",
    "preset",
    "read_values",
]


def family_of(config: Config) -> Family:
    """The family that `config` describes a model of."""
    return FAMILIES.find(config.task)


def experiment_of(config: Config) -> Experiment:
    """What a sweep asks about the model that `config` describes."""
    return family_of(config).experiment(config)


def read_values(values: Mapping[str, Any]) -> Config:
    """The configuration whose `to_dict` gave `values`, of the class of its family."""
    return from_dict(dict(values), FAMILIES.find(values.get("task", "transducer")).config)


def as_row(values: Mapping[str, Any], place: str) -> Row:
    """A row of any version of this suite, its configuration under the keys of this one.

    Raises:
        ValueError: it lacks a column, or has one of another type or without a finite number; the message names it and
            `place`.
    """
    row = {"task": "transducer", **values}
    kind = FAMILIES.find(row["task"]).row if row.get("status") == "done" else Unfinished
    check_columns(row, kind, place)
    return cast(Row, {**row, "config": translate(row["config"])})


def preset(name: str, task: str = "transducer") -> Config:
    """The named preset of a family. ValueError with a suggestion for an unknown name."""
    presets = FAMILIES.find(task).presets
    if name not in presets:
        raise ValueError(suggest(name, list(presets), "preset"))
    return presets[name]()


def find_quantity(name: str, tasks: Iterable[str] = ()) -> tuple[Quantity, str]:
    """A quantity by name and the rest of the name that its own leaves open, of `tasks`, by default of any.

    Raises:
        ValueError: rows of these families have no such quantity.
    """
    known, tasks = dict(COMMON), tuple(tasks) or FAMILIES.names
    for task in reversed(tasks):
        known |= FAMILIES.find(task).quantities
    if name in known:
        return known[name], ""
    kind, _, which = name.partition(".")
    if which and f"{kind}.*" in known:
        return known[f"{kind}.*"], which
    raise ValueError(suggest(name, list(known), f"quantity of task={', '.join(tasks)}:"))


def expand(names: Iterable[str], row: Finished | None, kind: str = "test") -> list[str]:
    """Names of quantities, a `*` in them replaced by each split of that kind that a row has; without one, by none."""
    found = []
    for name in names:
        if "*" not in name:
            found.append(name)
            continue
        splits: Any = row.get(find_quantity(name, [row["task"]])[0].splits, {}) if row else ()
        found += [name.replace("*", split) for split in splits if split.startswith(kind)]
    return found
