"""Which part of a configuration shapes a run, and hashes that name it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from prune_bench.config import Config, to_dict
from prune_bench.families import FAMILIES

INCIDENTAL = ("download", "accelerator", "checkpoint_every")


def fingerprint(values: Any) -> str:
    """Twelve hex digits that name a JSON-able value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def sections(task: str, method: str) -> tuple[str, ...]:
    """What of a configuration shapes a run; of `pruning`, only the method's knobs do."""
    dense = ("seed", *FAMILIES.find(task).reads, "dense")
    special = {
        "dense": dense,
        "continue_ft": (*dense, "method", "final"),
        "scratch": (*dense, "method", "sparsity"),
        "unpretrained": (*dense, "method"),
        "pretraining": ("features", "encoder", "pretraining"),
    }
    return special.get(method, (*dense, "method", "sparsity", "final", "pruning"))


def shape(values: Mapping[str, Any], sections: Sequence[str], knobs: Sequence[str] | None = None) -> dict[str, Any]:
    """Those sections of a configuration's plain `values`, of `pruning` only the `knobs`.

    Where a fit executes, how often it saves and whether data may be downloaded shape nothing and are left out.
    """
    kept = {section: values[section] for section in sections if section in values}
    if knobs is not None and "pruning" in kept:
        kept["pruning"] = {key: kept["pruning"][key] for key in knobs}
    return _without_incidental(kept)


def _without_incidental(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_incidental(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if key not in INCIDENTAL
    }


def identity(config: Config, *sections: str, knobs: Sequence[str] | None = None) -> str:
    """The hash of the sections that shape a stage; of `pruning` only the `knobs`."""
    return fingerprint(shape(to_dict(config), sections, knobs))
