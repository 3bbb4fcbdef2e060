"""Lai et al. 2021, "PARP: Prune, Adjust and Re-Prune for Self-Supervised Speech Recognition", arXiv 2106.05933.

Ten languages of Common Voice, transcribed into phones, an hour each. H2L: an encoder pretrained on English alone; CSR:
one pretrained on many languages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .claims import make_claims
from .figures import make_figures
from .scopes import Scope, ScopedReport, scope_of
from .tables import make_tables

__all__ = ["CLAIMS", "FIGURES", "TABLES", "Scope", "make_tables", "scope_of"]


def scoped(make: Callable[[Scope], Mapping[str, Any]]) -> dict[str, ScopedReport]:
    """The reports that `make` gives for a scope, each for any scope."""
    return {name: ScopedReport(name, lambda scope, name=name: make(scope)[name]) for name in make(Scope())}


TABLES, FIGURES, CLAIMS = (scoped(make) for make in (make_tables, make_figures, make_claims))
