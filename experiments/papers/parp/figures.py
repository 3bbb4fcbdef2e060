"""Figures 1 to 7."""

from __future__ import annotations

from itertools import product
from typing import Any

from prune_bench.reports.figures.matrices import MatrixFigure, MatrixPanel, overlap_matrix, transfer_matrix
from prune_bench.reports.figures.panels import CurveFigure, Panel
from prune_bench.reports.rows.cells import Cell, Setting

from .published import COMMON_VOICE, CSR, DUTCH, ENGLISH, H2L, LIBRISPEECH, PHONES, SHARED, SPLITS
from .scopes import Scope


def amounts(title: str) -> tuple[Panel, ...]:
    """A panel for each amount of labels, on one test set."""
    return tuple(
        Panel(f"{labels} of labels, {split}, {title}", f"wer.{split}", (("corpus.labels", labels),))
        for split in SPLITS
        for labels in ("10min", "1h", "10h")
    )


def dutch(pretraining: Setting, joint: str = "") -> Setting:
    return tuple(sorted((*pretraining, ("corpus.joint", joint), ("corpus.language", DUTCH))))


def transfers(method: str, languages: tuple[str, ...]) -> tuple[Cell, ...]:
    """A mask of every language for every language."""
    keys = "corpus.language", "pruning.mask_language"
    return tuple(Cell(method, SHARED, tuple(zip(keys, pair, strict=True))) for pair in product(languages, languages))


def dense_cells(scope: Scope) -> tuple[Cell, ...]:
    """The dense model of each language, from either pretraining."""
    return tuple(Cell("dense").within((*setting, *each)) for setting in (H2L, CSR) for each in scope.each)


def in_english(scope: Scope, **figure: Any) -> CurveFigure:
    """A figure of English speech with ten hours of labels."""
    return CurveFigure(setting=LIBRISPEECH, sparsities=scope.sparsities, fixed=ENGLISH, **figure)


def make_figure1(scope: Scope) -> CurveFigure:
    return in_english(
        scope,
        name="parp-figure1",
        title="Figure 1. What a sparse encoder costs",
        panels=(
            Panel("fine-tunings", "fine_tunings", digits=0, bottom=0),
            Panel("updates of all fine-tunings", "updates.total", digits=0, bottom=0),
            Panel("operations of training, 10\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}", "flops.training", bottom=0),
            Panel("minutes of training", "minutes", bottom=0),
        ),
        methods=("omp", "imp", "parp"),
        task="ctc",
        published=("Published: IMP grows linearly; at 90 % PARP takes 1 fine-tuning, OMP 2, IMP 10.",),
    )


def make_figure2(scope: Scope) -> MatrixFigure:
    languages = scope.languages
    return MatrixFigure(
        name="parp-figure2",
        title="Figure 2. How the masks of languages overlap (IOU at 50 %)",
        parts=(
            MatrixPanel("H2L", (*languages, "MPI", "RP"), overlap_matrix(languages, H2L)),
            MatrixPanel("CSR", (*languages, "MPI", "RP"), overlap_matrix(languages, CSR)),
        ),
        columns=languages,
        lines=dense_cells(scope),
        unit="IOU with the mask of",
        limits=(0.3, 1.0),
        task="ctc",
        published=("Published: all pairs of languages and MPI above 0.9; RP at chance, 0.333.",),
        setting=COMMON_VOICE,
        fixed=PHONES,
        compared=True,
    )


def make_figure3(scope: Scope) -> CurveFigure:
    return CurveFigure(
        name="parp-figure3",
        title="Figure 3. Error rate against sparsity for three amounts of labels",
        panels=amounts("WER %"),
        methods=("mpi", "omp", "imp", "parp", "parp_p"),
        task="ctc",
        published=(
            "Published: 60-80 % cost PARP and PARP-P little; OMP, IMP and MPI are never below dense; PARP dips "
            "below it at low sparsity with 10 min; the gap to the others widens with sparsity; at the high end "
            "PARP is on par with IMP and PARP-P clearly better.",
        ),
        setting=LIBRISPEECH,
        sparsities=scope.sparsities,
        fixed=(("corpus.language", "en"),),
    )


def make_figure4(scope: Scope) -> CurveFigure:
    joint = "+".join(scope.languages)
    return CurveFigure(
        name="parp-figure4",
        title="Figure 4. Dutch phone error rate against sparsity",
        panels=(
            Panel("H2L, PER %", "wer.test-clean", dutch(H2L)),
            Panel("CSR, PER %", "wer.test-clean", dutch(CSR)),
            Panel("H2L, all languages at once, PER %", "wer.test-clean", dutch(H2L, joint)),
            Panel("CSR, all languages at once, PER %", "wer.test-clean", dutch(CSR, joint)),
        ),
        methods=("omp", "parp"),
        task="ctc",
        published=(
            "Published: OMP and PARP lose little to 50 % (H2L) and 70 % (CSR); PARP is better than OMP everywhere "
            "on H2L, only at high sparsity on CSR; joint training helps OMP at 60-80 % on H2L and not on CSR.",
        ),
        setting=COMMON_VOICE,
        sparsities=scope.sparsities,
        fixed=PHONES,
    )


def make_figure5(scope: Scope) -> CurveFigure:
    return in_english(
        scope,
        name="parp-figure5",
        title="Figure 5. How far PARP's final mask is from magnitude pruning at the start",
        panels=(
            Panel("overlap (IOU) with the first mask", "overlap.start", digits=4, top=1.0),
            Panel("threshold of the first mask", "threshold", digits=4),
            Panel("learning rate x n", "reach.interval", digits=4),
            Panel("learning rate x N", "reach.fit", digits=3),
        ),
        methods=("parp",),
        references=(),
        task="ctc",
        published=(
            "Published: above 99.99 % from 20 % sparsity on. A revived weight must outgrow the threshold in n "
            "updates, each of at most about the learning rate.",
        ),
    )


def make_figure6(scope: Scope) -> CurveFigure:
    return in_english(
        scope,
        name="parp-figure6",
        title="Figure 6. PARP from a random mask and from magnitudes",
        panels=tuple(Panel(f"{split}, WER %", f"wer.{split}") for split in SPLITS),
        methods=("rp", "parp_random", "parp"),
        task="ctc",
        published=("Published: from a random mask PARP is about as bad as random pruning.",),
    )


def make_figure7(scope: Scope) -> MatrixFigure:
    languages = scope.languages
    return MatrixFigure(
        name="parp-figure7",
        title="Figure 7. What a mask is worth in another language, at 50 %",
        parts=(
            MatrixPanel("fixed", (*languages, "RP"), transfer_matrix("transfer", "rp", languages, SHARED)),
            MatrixPanel("PARP", (*languages, "RP"), transfer_matrix("parp_transfer", "parp_random", languages, SHARED)),
        ),
        columns=languages,
        lines=(
            *transfers("transfer", languages),
            *transfers("parp_transfer", languages),
            *(Cell(method, SHARED).within(each) for method in ("rp", "parp_random") for each in scope.each),
        ),
        unit="relative gain over its own mask, in",
        limits=(-0.5, 0.1),
        task="ctc",
        published=(
            "Published: with fixed masks languages cluster (for ru, masks of es, fr, it, ky and nl do much worse "
            "than those of sv, tr, tt and zh); with PARP nothing is lost.",
        ),
        setting=COMMON_VOICE,
        fixed=(*PHONES, *H2L),
    )


MAKERS = (make_figure1, make_figure2, make_figure3, make_figure4, make_figure5, make_figure6, make_figure7)


def make_figures(scope: Scope) -> dict[str, CurveFigure | MatrixFigure]:
    """The figures by name."""
    return {figure.name: figure for figure in (make(scope) for make in MAKERS)}
