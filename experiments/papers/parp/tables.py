"""Tables 1 to 3."""

from __future__ import annotations

from functools import partial

from prune_bench.reports.tables.columns import (
    ACHIEVED,
    COUNT,
    METHOD,
    SETTING,
    SPARSITY,
    UPDATES,
    accuracy,
    fine_tunings,
)
from prune_bench.reports.tables.table import Table

from .published import (
    ALL_METHODS,
    COMMON_VOICE,
    CSR,
    ENGLISH,
    H2L,
    LIBRISPEECH,
    MODEL_SIZES,
    PHONES,
    PUBLISHED1,
    PUBLISHED2,
    PUBLISHED3,
)
from .scopes import Scope

untimed = partial(Table, task="ctc", timed=False, extended=(), references=("dense",), sized=())


def make_tables(scope: Scope) -> dict[str, Table]:
    """The tables by name."""
    return {table.name: table for table in (make_table1(), make_table2(), make_table3(scope))}


def make_table1() -> Table:
    return untimed(
        name="parp-table1",
        title="Table 1. Error rates of 90 % sparse encoders, and what they cost",
        methods=ALL_METHODS,
        columns=(
            SPARSITY,
            METHOD,
            *fine_tunings(),
            *accuracy("test-clean"),
            *accuracy("test-other"),
            ACHIEVED,
            UPDATES,
        ),
        published=PUBLISHED1,
        setting=f"{LIBRISPEECH}, ten hours of labels",
        sparsities=(0.9,),
        references=("dense", "continue_ft", "unpretrained"),
        fixed=ENGLISH,
    )


def make_table2() -> Table:
    return untimed(
        name="parp-table2",
        title="Table 2. A little pruning on the fewest labels",
        methods=("parp",),
        columns=(SETTING, METHOD, SPARSITY, *accuracy("test-clean"), *accuracy("test-other"), ACHIEVED, UPDATES),
        published=PUBLISHED2,
        setting="LibriSpeech, wav2vec 2.0 base and large, ten minutes of labels, no language model",
        sparsities=(0.1,),
        settings=MODEL_SIZES,
        fixed=(("corpus.language", "en"),),
    )


def make_table3(scope: Scope) -> Table:
    return untimed(
        name="parp-table3",
        title="Table 3. Phone error rates, averaged over languages",
        methods=("omp", "parp", "parp_p"),
        columns=(
            SETTING,
            METHOD,
            SPARSITY,
            *accuracy("test-clean", "PER"),
            *accuracy("test-other", "PER"),
            COUNT,
            ACHIEVED,
        ),
        published=PUBLISHED3,
        setting=f"{COMMON_VOICE}, ten languages, one test set",
        sparsities=(0.7, 0.9),
        settings={"English (H2L)": H2L, "many languages (CSR)": CSR},
        over=scope.each,
        fixed=PHONES,
        chosen=(("omp", 0.7), ("omp", 0.9), ("parp", 0.9), ("parp_p", 0.9)),
    )
