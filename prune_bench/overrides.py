"""The command line of a run: `key=value` words, checked and multiplied into configurations."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache, reduce
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from prune_bench.choices import check, check_options, choices
from prune_bench.config import Config
from prune_bench.config.history import RENAMED
from prune_bench.data.corpora import CORPORA
from prune_bench.families import family_of
from prune_bench.registry import suggest

OPEN = ("execution.slurm.", "corpus.options.")  # sections that hold any key
ALIASES = {"corpus": "corpus.name", "launcher": "execution.launcher", "output": "execution.output"}


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


@cache
def schema(kind: Any) -> DictConfig:
    """The keys of a class of configurations with their types, made once: that takes longer than a run's override."""
    return OmegaConf.structured(kind)


def convert(kind: Any, key: str, value: Any) -> Any:
    """A value in the type that a dotted key has. ValueError names the key when there is no such value."""
    try:
        OmegaConf.update(schema(kind), key, value)
        typed = OmegaConf.select(schema(kind), key)
    except OmegaConfBaseException as error:
        raise ValueError(f"{key}={value}: {str(error).splitlines()[0]}") from None
    return OmegaConf.to_object(typed) if OmegaConf.is_config(typed) else typed


def override(base: Config, values: Mapping[str, Any]) -> Config:
    """A copy of `base` with dotted keys replaced and checked. ValueError names the unknown key or value."""
    known, allowed = flat_keys(base), choices(base)
    for key, value in values.items():
        if key.rpartition(".")[2] == "content":
            raise ValueError(f"{key} is read from the corpus: leave it out")
        if key in RENAMED:
            raise ValueError(f"{key} is renamed to {RENAMED[key]}: write {RENAMED[key]}={value}")
        if key not in known and not key.startswith(OPEN):
            raise ValueError(suggest(key, [*known, *ALIASES], "key"))
        if key in allowed and value not in allowed[key]:
            raise ValueError(suggest(str(value), allowed[key], f"value for {key}:"))
    config = copy.deepcopy(base)
    for key, value in values.items():
        *sections, name = key.split(".")
        place = reduce(getattr, sections, config)
        typed = convert(type(base), key, value)
        if isinstance(place, dict):
            place[name] = typed
        else:
            setattr(place, name, typed)
    check(config)
    check_options(config.corpus, [key for key in values if not key.startswith(OPEN)])
    config.corpus.options = CORPORA.find(config.corpus.name).normalise_own(config.corpus)
    return config


def expand_grid(base: Config, overrides: dict[str, list[str]]) -> list[Config]:
    """One Config for each combination of the listed values, the last key varying fastest."""
    combinations = itertools.product(*overrides.values())
    return [override(base, dict(zip(overrides, values, strict=True))) for values in combinations]


def adapt(config: Config, given: Container[str]) -> Config:
    """A preset's configuration with the values that its family wants for its other keys; keys that are `given` stay."""
    return override(
        config, {key: value for key, value in family_of(config).adapted(config).items() if key not in given}
    )
