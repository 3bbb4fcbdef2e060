"""What keys were called and which defaults they had: rows of earlier versions are read by it, and the names of runs
tell changed defaults apart.

`defaults.json` holds each section's defaults: first all keys, then for every change an entry of the changed keys alone,
which raises the section's version. A new key joins the latest entry, since nothing changes for runs without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RENAMED = {
    "execution.heard_gb": "execution.feature_cache_gb",
    "pretraining.length": "pretraining.mask_length",
    "pretraining.start": "pretraining.mask_start",
    "pretraining.visible": "pretraining.unmasked_weight",
    "pruning.sizes": "pruning.intermediate",
    "text.longest": "text.max_tokens",
    "text.units": "text.tokens",
}
FORMER_NAMES = {new: old for old, new in RENAMED.items()}
REMOVED = ("lm.dense.", "lm.final.", "measurement.bootstrap")
DEFAULTS: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("defaults.json").read_text())
FIRST_DEFAULTS = {
    f"{section}.{key}": value
    for section, versions in DEFAULTS.items()
    for defaults in reversed(versions)
    for key, value in defaults.items()
}


def version_of(section: str) -> int:
    """How many sets of defaults a section has had, 1 for one that `defaults.json` does not list."""
    return len(DEFAULTS.get(section, [{}]))


def current_defaults(section: str) -> dict[str, Any]:
    """The defaults of a section's latest version by key, with a dot for what is nested."""
    return {key: value for defaults in DEFAULTS[section] for key, value in defaults.items()}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted key; an empty mapping is a value."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping) and value
        leaves |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return leaves


def translate(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a configuration of any version, under the keys of this one.

    A key that they lack has the first default that it had, since the runs of before it behaved like that.
    """
    given = {RENAMED.get(key, key): value for key, value in flatten(values).items() if not key.startswith(REMOVED)}
    translated: dict[str, Any] = {}
    for key, value in {**FIRST_DEFAULTS, **given}.items():
        *sections, name = key.split(".")
        place = translated
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return translated
