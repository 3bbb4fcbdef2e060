"""The grid at three sizes."""

from __future__ import annotations

from prune_bench.reports.pages.sheets import Heading
from prune_bench.reports.rows.cells import DENSE, Cell
from prune_bench.reports.tables.columns import (
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
from prune_bench.reports.tables.table import Table

from .grid import (
    CHOSEN,
    FUSED,
    HALF_OF_HEADS,
    HEADS,
    MEASURED,
    METHODS,
    SETTINGS,
    STRAIGHT,
    STRUCTURES,
    alone,
    at,
    scratch,
)


def make_lines() -> tuple[Cell, ...]:
    """References, half of the heads, and size by size the grid, with gradual runs that go straight to one of them."""
    lines = [DENSE, Cell("continue_ft"), at(HEADS, "taylor", HALF_OF_HEADS)]
    for sparsity in CHOSEN:
        lines += [
            scratch(sparsity),
            *(at(kind, method, sparsity) for kind in STRUCTURES for method in METHODS),
        ]
        lines += [alone(kind) for kind in STRUCTURES if sparsity == STRAIGHT]
    return tuple(lines)


TABLE1 = Table(
    name="nnlm-table1",
    title="Table 1. Pruned language models: structure x criterion x schedule x size",
    methods=METHODS,
    columns=(
        SPARSITY,
        SETTING,
        METHOD,
        Column(Heading("units", "perplexity"), estimated("ppl.test", 3)),
        Column(Heading("words", "perplexity", drop=5), estimated("ppl.test.words", 1)),
        Column(Heading("test-clean", "WER % in fusion"), estimated("wer.test-clean")),
        Column(Heading("test-other", "WER % in fusion"), estimated("wer.test-other")),
        SIZE,
        Column(Heading("millions", "operations per token", drop=2), measured("flops.token")),
        Column(Heading("in fusion", "microseconds per token"), measured("latency.step")),
        Column(Heading("ONNX Runtime", "microseconds per token", drop=4), measured("latency.onnx")),
        ACHIEVED,
        UPDATES,
    ),
    published={},
    setting=MEASURED,
    task="language_model",
    sparsities=CHOSEN,
    extended=(),
    sized=(),
    settings=SETTINGS,
    lines=make_lines(),
    fixed=FUSED,
)
TABLES = {TABLE1.name: TABLE1}
