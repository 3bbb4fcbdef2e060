"""Which part of a configuration shapes a run, and hashes that name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from prune_bench.config import Config, to_dict
from prune_bench.config.history import FORMER_NAMES, flatten, version_of
from prune_bench.families import FAMILIES
from prune_bench.fingerprint import fingerprint
from prune_bench.pruning.methods import find_method

INCIDENTAL = {  # keys of any section that shape no run, and what they say instead
    "download": "how a corpus gets there",
    "accelerator": "where a fit executes",
    "checkpoint_every": "how often a fit saves",
}


def sections(task: str, method: str) -> tuple[str, ...]:
    """What of a configuration shapes a run; of `pruning`, only the method's knobs do."""
    row = find_method(method)
    return ("seed", *FAMILIES.find(task).reads, "dense", *row.sections) if row.supervised else row.sections


def shape(values: Mapping[str, Any], sections: Sequence[str], knobs: Sequence[str] | None = None) -> dict[str, Any]:
    """Those sections of plain `values` by dotted key, of `pruning` the `knobs` alone, without `INCIDENTAL` keys.

    Where it is known what a corpus holds, the folder it lies in is left out.
    """
    kept = {section: values[section] for section in sections if section in values}
    if knobs is not None and "pruning" in kept:
        kept["pruning"] = {key: kept["pruning"][key] for key in knobs if key in kept["pruning"]}
    if "corpus" in kept:
        kept["corpus"] = with_content_of(kept["corpus"], kept.get("pruning", {}).get("mask_language", ""))
    located = {f"{section}.root" for section, part in kept.items() if isinstance(part, Mapping) and part.get("content")}
    leaves = flatten(kept).items()
    return {key: value for key, value in leaves if key not in located and key.rpartition(".")[2] not in INCIDENTAL}


def with_content_of(corpus: Mapping[str, Any], mask_language: str) -> dict[str, Any]:
    """A corpus with the content of the languages that a run reads: of those trained jointly, the training split."""
    content, whole = {}, (corpus.get("language", ""), mask_language)
    for language, splits in corpus.get("content", {}).items():
        if language in whole:
            content[language] = splits
        elif language in corpus["joint"].split("+"):
            content[language] = {"train": splits["train"]}
    return {**corpus, "content": content}


def identity(config: Config, *sections: str, knobs: Sequence[str] | None = None) -> str:
    """The hash of the sections that shape a stage; of `pruning` only the `knobs`.

    Defaults are left out and each section's version of them is hashed instead, so that a new key moves no name and a
    changed default moves all. A renamed key counts under its former name.
    """
    plain = {section: to_dict(part) if is_dataclass(part := getattr(config, section)) else part for section in sections}
    defaults = default_values(type(config))  # type: ignore[arg-type]
    named = {
        FORMER_NAMES.get(key, key): value
        for key, value in shape(plain, sections, knobs).items()
        if "." not in key or key not in defaults or value != defaults[key]
    }
    return fingerprint([{section: version_of(section) for section in sections}, named], digits=16)


@cache
def default_values(kind: Callable[[], Config]) -> dict[str, Any]:
    """Every default of a configuration class by dotted key."""
    return flatten(to_dict(kind()))
