"""Published tables, figures and claims as data; `REPORTS` holds all that a sweep can run and a report can print."""

from __future__ import annotations

from . import nnlm, parp, structured

TABLES = {**structured.TABLES, **parp.TABLES, **nnlm.TABLES}
FIGURES = {**structured.FIGURES, **parp.FIGURES, **nnlm.FIGURES}
CLAIMS = {**structured.CLAIMS, **parp.CLAIMS, **nnlm.CLAIMS}
# The columns of runs that make up no table, by task.
LIKE = {
    "transducer": TABLES["table1"],
    "ctc": parp.make_tables(parp.Scope())["parp-table1"],
    "language_model": nnlm.TABLES["nnlm-table1"],
}
REPORTS = {**TABLES, **FIGURES, **CLAIMS}
