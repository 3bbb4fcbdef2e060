"""Published tables, figures and claims as data; `REPORTS` holds all that a sweep can run and a report can print."""

from __future__ import annotations

from . import nnlm, parp, structured

TABLES = {**structured.TABLES, **parp.TABLES, **nnlm.TABLES}
FIGURES = {**structured.FIGURES, **parp.FIGURES, **nnlm.FIGURES}
CLAIMS = {**structured.CLAIMS, **parp.CLAIMS, **nnlm.CLAIMS}
REPORTS = {**TABLES, **FIGURES, **CLAIMS}
