"""The grid: structure x criterion x schedule x size."""

from __future__ import annotations

from prune_bench.reports.columns import ACHIEVED, METHOD, SIZE, SPARSITY, UPDATES, Column, estimated, measured
from prune_bench.reports.sheets import Heading
from prune_bench.reports.tables import Table

SETTING = "a Transformer of 20 M parameters on voice assistant text; no tables were published"

TABLE1 = Table(
    name="nnlm-table1",
    title="Table 1. Pruned language models",
    methods=("omp",),
    columns=(
        SPARSITY,
        METHOD,
        Column(Heading("units", "perplexity"), estimated("ppl.test", 3)),
        Column(Heading("words", "perplexity"), estimated("ppl.test.words", 2)),
        SIZE,
        Column(Heading("million", "operations a unit"), measured("flops.unit")),
        ACHIEVED,
        UPDATES,
    ),
    published={},
    setting=SETTING,
    timed=False,
    task="language_model",
    sparsities=(0.5, 0.7, 0.9),
    extended=(),
    references=("dense",),
    sized=(),
)
TABLES = {TABLE1.name: TABLE1}
