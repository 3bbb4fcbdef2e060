"""The command line of a run: `key=value` words, checked and multiplied into configurations."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prune_bench.choices import CHOICES, check
from prune_bench.config import Config

ALIASES = {"corpus": "corpus.name", "launcher": "execution.launcher", "output": "execution.output"}


def suggest(word: str, known: Sequence[str], what: str) -> str:
    """A one-line error text for an unknown word, with the nearest known one."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"unknown {what} {word!r}" + (
        f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(known)}"
    )


def flat_keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf of a dataclass tree as `section.key`."""
    leaves: dict[str, Any] = {}
    for name, value in vars(config).items():
        leaves.update(flat_keys(value, f"{prefix}{name}.") if is_dataclass(value) else {f"{prefix}{name}": value})
    return leaves


def expand_values(text: str) -> list[str]:
    """`0.2,0.5` -> two values; `0.1:0.9:0.1` -> nine (first, last, step; the last is included). Commas in [] stay."""
    values: list[str] = []
    for part in re.split(r",(?![^\[]*\])", text):
        bounds = part.split(":")
        if len(bounds) != 3:
            values.append(part)
            continue
        first, last, step = (float(bound) for bound in bounds)
        count = round((last - first) / step) + 1
        values += [f"{first + i * step:.10g}" for i in range(count)]
    return values


def parse_overrides(arguments: Sequence[str]) -> dict[str, list[str]]:
    """`key=value` words to lists of values, aliases resolved. ValueError for a word that is not `key=value`."""
    overrides: dict[str, list[str]] = {}
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if not separator or not key or not (value or "." in key):
            raise ValueError(f"expected key=value, got {argument!r}: write for example method=parp")
        key = ALIASES.get(key, key)
        overrides[key] = expand_values(value)
    return overrides


def override(base: Config, values: Mapping[str, Any]) -> Config:
    """A copy of `base` with dotted keys replaced and checked. ValueError names the unknown key or value."""
    known = flat_keys(base)
    for key, value in values.items():
        if key not in known and not key.startswith("execution.slurm."):
            raise ValueError(suggest(key, [*known, *ALIASES], "key"))
        if key in CHOICES and value not in CHOICES[key]:
            raise ValueError(suggest(str(value), CHOICES[key], f"value for {key}:"))
    merged = OmegaConf.structured(base)
    for key, value in values.items():
        try:
            OmegaConf.update(merged, key, value)
        except OmegaConfBaseException as error:
            raise ValueError(f"{key}={value}: {str(error).splitlines()[0]}") from None
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    check(config)
    return config


def expand_grid(base: Config, overrides: dict[str, list[str]]) -> list[Config]:
    """One Config for each combination of the listed values, the last key varying fastest."""
    combinations = itertools.product(*overrides.values())
    return [override(base, dict(zip(overrides, values, strict=True))) for values in combinations]
