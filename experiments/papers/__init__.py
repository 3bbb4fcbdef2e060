"""Published tables, figures and claims as data; `REPORTS` holds all that a sweep can run and a report can print."""

from __future__ import annotations

from . import structured

TABLES = {**structured.TABLES}
FIGURES = {**structured.FIGURES}
CLAIMS = {**structured.CLAIMS}
REPORTS = {**TABLES, **FIGURES, **CLAIMS}
