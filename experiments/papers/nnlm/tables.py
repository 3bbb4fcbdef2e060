"""The grid: structure x criterion x schedule x size."""

from __future__ import annotations

from prune_bench.reports.cells import Setting
from prune_bench.reports.columns import (
    ACHIEVED,
    METHOD,
    SETTING,
    SIZE,
    SPARSITY,
    UPDATES,
    Column,
    estimated,
    measured,
)
from prune_bench.reports.sheets import Heading
from prune_bench.reports.tables import Table

MEASURED = "a Transformer of 20 M parameters on voice assistant text; figures without numbers, no tables"
METHODS = ("omp", "taylor", "gradual", "taylor_gradual")
STRUCTURES: dict[str, Setting] = {
    "unstructured": (("pruning.structure", "weights"),),
    "structured": (("pruning.structure", "groups"),),
    "factorised": (("pruning.structure", "ranks"),),
}

TABLE1 = Table(
    name="nnlm-table1",
    title="Table 1. Pruned language models: structure x criterion x schedule x size",
    methods=METHODS,
    columns=(
        SPARSITY,
        SETTING,
        METHOD,
        Column(Heading("units", "perplexity"), estimated("ppl.test", 3)),
        Column(Heading("words", "perplexity", drop=1), estimated("ppl.test.words", 1)),
        Column(Heading("test-clean", "WER % in fusion"), estimated("wer.test-clean")),
        Column(Heading("test-other", "WER % in fusion"), estimated("wer.test-other")),
        SIZE,
        Column(Heading("millions", "operations a unit"), measured("flops.unit")),
        ACHIEVED,
        UPDATES,
    ),
    published={},
    setting=MEASURED,
    timed=False,
    task="language_model",
    sparsities=(0.7, 0.9, 0.95),
    extended=(),
    references=("dense", "continue_ft"),
    sized=(),
    settings=STRUCTURES,
    fixed=(("measurement.fused", True),),
)
TABLES = {TABLE1.name: TABLE1}
