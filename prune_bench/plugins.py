"""Families and corpora of others: modules that a command names with `plugins=`, imported in each of its processes."""

from __future__ import annotations

import os
import sys

from prune_bench.data.corpora import CORPORA
from prune_bench.data.text.corpora import TEXTS
from prune_bench.families import FAMILIES
from prune_bench.registry import load

REGISTRIES = (FAMILIES, CORPORA, TEXTS)


def load_plugins(names: str) -> None:
    """Import modules, joined with `+`, and hold what they define: `FAMILY`, `CORPUS`, `TEXT`, or several.

    Modules of the current folder are found, too.
    Raises:
        ValueError: a module cannot be imported or defines none of them, in one line.
    """
    if names and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in filter(None, names.split("+")):
        defined = vars(load(name))
        if not any(registry.attribute in defined for registry in REGISTRIES):
            raise ValueError(f"plugins={name}: it defines no {' and no '.join(one.attribute for one in REGISTRIES)}")
        for registry in REGISTRIES:
            if registry.attribute in defined:
                registry.add(defined[registry.attribute])
