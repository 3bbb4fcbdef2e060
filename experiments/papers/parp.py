"""Lai et al. 2021, "PARP: Prune, Adjust and Re-Prune for Self-Supervised Speech Recognition", arXiv 2106.05933.

Ten languages of Common Voice, transcribed into phones, an hour each. H2L: an encoder pretrained on English alone; CSR:
one pretrained on many languages.
"""

from __future__ import annotations

from prune_bench.reports.columns import ACHIEVED, COUNT, METHOD, SETTING, SPARSITY, UPDATES, accuracy, fine_tunings
from prune_bench.reports.matrices import MatrixFigure, Part, overlap_matrix, transfer_matrix
from prune_bench.reports.panels import Panel, SparsityFigure
from prune_bench.reports.results import Cell, Setting
from prune_bench.reports.tables import Table

LIBRISPEECH = "LibriSpeech, wav2vec 2.0 base, no language model"
COMMON_VOICE = "Common Voice, one hour a language, phone error rates"
SPLITS = ("test-clean", "test-other")
SPARSITIES = (0.2, 0.5, 0.7, 0.8, 0.9)
SMALLEST = ("corpus.labels", "10min")
LANGUAGES = ("es", "fr", "it", "nl", "ru")
ALL_LANGUAGES = ("es", "fr", "it", "ky", "nl", "ru", "sv", "tr", "tt", "zh")
PHONES: Setting = (("corpus.labels", "1h"), ("corpus.targets", "phones"), ("tokenizer.kind", "words"))
H2L: Setting = (("pretraining.languages", "en"),)
CSR: Setting = (("pretraining.languages", "en+" + "+".join(ALL_LANGUAGES)),)
EACH = tuple((("corpus.language", language),) for language in LANGUAGES)
SHARED = 0.5
ALL_METHODS = ("rp", "mpi", "omp", "imp", "parp", "parp_p", "parp_p_staged")

# method, fine-tunings, WER clean, WER other at 90 %, with ten hours of labels
TABLE1 = (
    ("rp", 1, 94.5, 96.4),
    ("mpi", 1, 93.6, 96.1),
    ("omp", 2, 92.0, 95.3),
    ("imp", 10, 89.6, 93.9),
    ("parp", 1, 83.6, 90.7),
    ("parp_p", 1, 51.9, 69.1),
    ("parp_p_staged", 2, 33.6, 53.3),
)
# size, method, sparsity, WER clean, WER other, with ten minutes of labels; dense rows as replicated by the authors
TABLE2 = (
    ("base", "dense", 0.0, 49.3, 53.2),
    ("base", "parp", 0.1, 38.0, 44.3),
    ("large", "dense", 0.0, 46.3, 48.1),
    ("large", "parp", 0.1, 33.7, 37.2),
)
MODEL_SIZES: dict[str, Setting] = {
    "base": (SMALLEST, ("encoder.layers", 6), ("encoder.width", 192), ("encoder.ffn", 768)),
    "large": (SMALLEST, ("encoder.layers", 8), ("encoder.width", 256), ("encoder.ffn", 1024)),
}
MODEL_SIZES = {label: tuple(sorted(setting)) for label, setting in MODEL_SIZES.items()}


# pretraining, method, sparsity, phone error rate: means over ten languages
TABLE3 = (
    (H2L, "dense", 0.0, 18.7),
    (H2L, "omp", 0.7, 41.3),
    (H2L, "parp", 0.9, 40.1),
    (CSR, "dense", 0.0, 9.9),
    (CSR, "omp", 0.9, 33.9),
    (CSR, "parp_p", 0.9, 22.9),
)


def rates(clean: float, other: float) -> dict[str, float]:
    return {"wer.test-clean": clean, "wer.test-other": other}


PUBLISHED1 = {Cell(m, 0.9): {**rates(clean, other), "fine_tunings": count} for m, count, clean, other in TABLE1}
PUBLISHED2 = {
    Cell(method, sparsity, MODEL_SIZES[size]): rates(clean, other) for size, method, sparsity, clean, other in TABLE2
}
PUBLISHED3 = {Cell(m, sparsity, setting): {"wer.test-clean": rate} for setting, m, sparsity, rate in TABLE3}

TABLES = {
    "parp-table1": Table(
        name="parp-table1",
        title="Table 1. Error rates of 90 % sparse encoders, and what they cost",
        methods=ALL_METHODS,
        columns=(
            SPARSITY, METHOD, *fine_tunings(), *accuracy("test-clean"), *accuracy("test-other"), ACHIEVED, UPDATES,
        ),
        published=PUBLISHED1,
        setting=f"{LIBRISPEECH}, ten hours of labels",
        task="ctc",
        timed=False,
        sparsities=(0.9,),
        extended=(),
        references=("dense", "unpretrained"),
        sized=(),
    ),
    "parp-table2": Table(
        name="parp-table2",
        title="Table 2. A little pruning on the fewest labels",
        methods=("parp",),
        columns=(SETTING, METHOD, SPARSITY, *accuracy("test-clean"), *accuracy("test-other"), ACHIEVED, UPDATES),
        published=PUBLISHED2,
        setting=f"{LIBRISPEECH} and large, ten minutes of labels",
        task="ctc",
        timed=False,
        sparsities=(0.1,),
        extended=(),
        references=("dense",),
        sized=(),
        settings=MODEL_SIZES,
    ),
    "parp-table3": Table(
        name="parp-table3",
        title="Table 3. Phone error rates, averaged over languages",
        methods=("omp", "parp", "parp_p"),
        columns=(
            SETTING, METHOD, SPARSITY, *accuracy("test-clean", "PER"), *accuracy("test-other", "PER"), COUNT, ACHIEVED,
        ),
        published=PUBLISHED3,
        setting=f"{COMMON_VOICE}, ten languages, one test set",
        task="ctc",
        timed=False,
        sparsities=(0.7, 0.9),
        extended=(),
        references=("dense",),
        sized=(),
        settings={"English (H2L)": H2L, "many languages (CSR)": CSR},
        over=EACH,
        fixed=PHONES,
        chosen=(("omp", 0.7), ("omp", 0.9), ("parp", 0.9), ("parp_p", 0.9)),
    ),
}  # fmt: skip


def amounts(title: str) -> tuple[Panel, ...]:
    """A panel for each amount of labels, on one test set."""
    return tuple(
        Panel(f"{labels} of labels, {split}, {title}", f"wer.{split}", (("corpus.labels", labels),))
        for split in SPLITS
        for labels in ("10min", "1h", "10h")
    )


def dutch(pretraining: Setting, joint: str = "") -> Setting:
    return tuple(sorted((*pretraining, ("corpus.joint", joint), ("corpus.language", "nl"))))


def transfers(method: str) -> tuple[Cell, ...]:
    """A mask of every language for every language."""
    pairs = ((one, other) for one in LANGUAGES for other in LANGUAGES)
    return tuple(
        Cell(method, SHARED, (("corpus.language", target), ("pruning.mask_language", source)))
        for target, source in pairs
    )


FIGURES = {
    "parp-figure1": SparsityFigure(
        name="parp-figure1",
        title="Figure 1. What a sparse encoder costs",
        panels=(
            Panel("fine-tunings", "fine_tunings", digits=0, bottom=0),
            Panel("updates of all fine-tunings", "updates.total", digits=0, bottom=0),
            Panel("minutes of training", "minutes", bottom=0),
        ),
        methods=("omp", "imp", "parp"),
        published=("Published: IMP grows linearly; at 90 % PARP takes 1 fine-tuning, OMP 2, IMP 10.",),
        setting=LIBRISPEECH,
        sparsities=SPARSITIES,
    ),
    "parp-figure3": SparsityFigure(
        name="parp-figure3",
        title="Figure 3. Error rate against sparsity for three amounts of labels",
        panels=amounts("WER %"),
        methods=("omp", "imp", "parp", "parp_p"),
        published=(
            "Published: 60-80 % cost PARP and PARP-P little; OMP, IMP and MPI are never below dense; PARP dips "
            "below it at low sparsity with 10 min; the gap to the others widens with sparsity; at the high end PARP "
            "is on par with IMP and PARP-P clearly better.",
        ),
        setting=LIBRISPEECH,
        sparsities=SPARSITIES,
    ),
    "parp-figure4": SparsityFigure(
        name="parp-figure4",
        title="Figure 4. Dutch phone error rate against sparsity",
        panels=(
            Panel("H2L, PER %", "wer.test-clean", dutch(H2L)),
            Panel("CSR, PER %", "wer.test-clean", dutch(CSR)),
            Panel("CSR, five languages at once, PER %", "wer.test-clean", dutch(CSR, "+".join(LANGUAGES))),
        ),
        methods=("omp", "parp"),
        published=(
            "Published: OMP and PARP lose little to 50 % (H2L) and 70 % (CSR); PARP is better than OMP everywhere on "
            "H2L, only at high sparsity on CSR; a joint mask beats OMP's own at 60-80 % on H2L and is worse on CSR.",
        ),
        setting=COMMON_VOICE,
        sparsities=SPARSITIES,
        fixed=PHONES,
    ),
    "parp-figure5": SparsityFigure(
        name="parp-figure5",
        title="Figure 5. How far PARP's final mask is from magnitude pruning at the start",
        panels=(
            Panel("overlap (IOU) with the first mask", "overlap.start", digits=4, top=1.0),
            Panel("threshold of the first mask", "threshold", digits=4),
            Panel("learning rate x n", "reach.interval", digits=4),
            Panel("learning rate x N", "reach.fit", digits=3),
        ),
        methods=("parp",),
        published=("Published: above 99.99 % from 20 % sparsity on. A revived weight must outgrow the threshold in n "
                   "updates, each of at most about the learning rate.",),
        setting=LIBRISPEECH,
        sparsities=SPARSITIES,
    ),
    "parp-figure6": SparsityFigure(
        name="parp-figure6",
        title="Figure 6. PARP from a random mask and from magnitudes",
        panels=tuple(Panel(f"{split}, WER %", f"wer.{split}") for split in SPLITS),
        methods=("rp", "parp_random", "parp"),
        published=("Published: from a random mask PARP is about as bad as random pruning.",),
        setting=LIBRISPEECH,
        sparsities=SPARSITIES,
    ),
    "parp-figure2": MatrixFigure(
        name="parp-figure2",
        title="Figure 2. How the masks of languages overlap (IOU at 50 %)",
        parts=(
            Part("H2L", (*LANGUAGES, "MPI", "RP"), overlap_matrix(LANGUAGES, H2L)),
            Part("CSR", (*LANGUAGES, "MPI", "RP"), overlap_matrix(LANGUAGES, CSR)),
        ),
        columns=LANGUAGES,
        lines=tuple(Cell("dense").within((*setting, *each)) for setting in (H2L, CSR) for each in EACH),
        unit="IOU with the mask of",
        limits=(0.3, 1.0),
        published=("Published: all pairs of languages and MPI above 0.9; RP at chance, 0.333.",),
        setting=COMMON_VOICE,
        fixed=PHONES,
        compared=True,
    ),
    "parp-figure7": MatrixFigure(
        name="parp-figure7",
        title="Figure 7. What a mask is worth in another language, at 50 %",
        parts=(
            Part("fixed", (*LANGUAGES, "RP"), transfer_matrix("transfer", LANGUAGES, SHARED, "wer.test-clean")),
            Part("PARP", LANGUAGES, transfer_matrix("parp_transfer", LANGUAGES, SHARED, "wer.test-clean")),
        ),
        columns=LANGUAGES,
        lines=(*transfers("transfer"), *transfers("parp_transfer"),
               *(Cell("rp", SHARED, ((*each[0],), ("pruning.mask_language", ""))) for each in EACH)),
        unit="relative gain over its own mask, in",
        limits=(-0.5, 0.1),
        published=(
            "Published: with fixed masks languages cluster (for ru, masks of es, fr, it, ky and nl do much worse than "
            "those of sv, tr, tt and zh); with PARP nothing is lost.",
        ),
        setting=COMMON_VOICE,
        fixed=PHONES,
    ),
}  # fmt: skip
