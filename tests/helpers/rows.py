"""Rows without a run."""

from __future__ import annotations

from typing import get_origin, get_type_hints

from prune_bench.families import as_row, family_of
from prune_bench.sweep.runs.rows import describe, environment


def finished(config, **changes):
    """A finished row of a configuration: what it was asked, and for every number of its family a blank one."""
    kind = family_of(config).row
    hints = get_type_hints(kind)
    blank = {name: (get_origin(hints[name]) or hints[name])() for name in kind.__required_keys__ - {"status"}}
    values = {**blank, **describe(config), **environment(config), "status": "done", **changes}
    return as_row(values, values["run"])
