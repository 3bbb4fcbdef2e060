"""The paper's conclusions."""

from __future__ import annotations

import itertools

from prune_bench.reports.claims import Claim, Comparison, Level, Paper, Term
from prune_bench.reports.claimsets import ClaimGroup, ClaimSet
from prune_bench.reports.results import Cell

from .figures import FIGURES
from .published import (
    CSR,
    EACH,
    H2L,
    LANGUAGES,
    LIBRISPEECH,
    MODEL_SIZES,
    PUBLISHED1,
    PUBLISHED2,
    SHARED,
    SPARSITIES,
    SPLITS,
)
from .tables import TABLES

MARGIN = 0.05  # of the reference's error rate: what counts as nothing
WHOLLY = 0.01  # of the union of two masks: what may differ where they overlap almost wholly
ORDER = ("parp_p", "parp", "imp", "omp", "mpi", "rp")
OVERLAPS = {
    Cell("dense").within((*setting, *each)): {"overlap.least": 0.9, "overlap.chance": 0.333}
    for setting in (H2L, CSR)
    for each in EACH
}
STATED = {Cell("parp", s): {**PUBLISHED1.get(Cell("parp", s), {}), "overlap.moved": 1e-4} for s in SPARSITIES}


def compare(quantity: str, a: Cell, b: Cell, margin: float = 0.0) -> Comparison:
    return Comparison(Term(quantity, a), Term(quantity, b), margin)


def at_90(better: str, worse: str) -> tuple[Comparison, ...]:
    return tuple(compare(f"wer.{split}", Cell(better, 0.9), Cell(worse, 0.9)) for split in SPLITS)


def in_language(method: str, target: str, source: str | None = None) -> Cell:
    """A method with the mask of one language, or of all in turn."""
    mask = () if source is None else (("pruning.mask_language", source),)
    return Cell(method, SHARED, (("corpus.language", target), *mask))


def own_mask(method: str, margin: float, own_first: bool) -> tuple[Comparison, ...]:
    """Another's mask, on average, against one's own, for each language."""
    pairs = [(in_language(method, one, one), in_language(method, one)) for one in LANGUAGES]
    return tuple(compare("wer.test-clean", *(pair if own_first else pair[::-1]), margin) for pair in pairs)


CLAIM_GROUPS = (
    ClaimGroup(
        (TABLES["parp-table1"],),
        (
            *(
                Claim(f"{a}_beats_{b}", f"At 90 % {a.upper().replace('_', '-')} beats {b.upper()}", at_90(a, b))
                for a, b in itertools.pairwise(ORDER)
            ),
            Claim(
                "one_fine_tuning",
                "At 90 % PARP takes one fine-tuning, OMP two, IMP ten",
                tuple(
                    Comparison(Term("fine_tunings", cell), Level(count + 1, "fine_tunings", cell))
                    for cell, count in ((Cell("parp", 0.9), 1), (Cell("omp", 0.9), 2), (Cell("imp", 0.9), 10))
                ),
            ),
        ),
    ),
    ClaimGroup(
        (TABLES["parp-table2"],),
        (
            Claim(
                "little_pruning_helps",
                "10 % PARP beats the dense model on the fewest labels",
                tuple(
                    compare(f"wer.{split}", Cell("parp", 0.1, setting), Cell("dense", 0.0, setting))
                    for setting in MODEL_SIZES.values()
                    for split in SPLITS
                ),
            ),
        ),
    ),
    ClaimGroup(
        (FIGURES["parp-figure2"],),
        (
            Claim(
                "masks_overlap",
                "Masks of all languages and of the pretrained weights overlap far above chance",
                tuple(Comparison(Term("overlap.chance", cell), Term("overlap.least", cell), -0.5) for cell in
                      (Cell("dense").within((*setting, *each)) for setting in (H2L, CSR) for each in EACH)),
                note="chance less than half of the smallest overlap.",
            ),
        ),
    ),
    ClaimGroup(
        (FIGURES["parp-figure5"],),
        (
            Claim(
                "mask_stays",
                "PARP's final mask is almost wholly the first one from 20 % on",
                tuple(Comparison(Term("overlap.moved", cell), Level(WHOLLY, "overlap.moved", cell)) for cell in
                      (Cell("parp", sparsity) for sparsity in SPARSITIES)),
                note=f"1 - IOU below {WHOLLY:g}; learning rate and interval stand beside figure 5.",
            ),
        ),
    ),
    ClaimGroup(
        (FIGURES["parp-figure6"],),
        (
            Claim(
                "random_start_fails",
                "PARP from a random mask is no better than random pruning",
                tuple(compare(f"wer.{split}", Cell("rp", sparsity), Cell("parp_random", sparsity), MARGIN)
                      for sparsity in SPARSITIES for split in SPLITS),
                note=f"random pruning makes at most {100 * MARGIN:g} % more errors.",
            ),
        ),
    ),
    ClaimGroup(
        (FIGURES["parp-figure7"],),
        (
            Claim("transfer_costs", "A fixed mask of another language costs", own_mask("transfer", 0.0, True)),
            Claim(
                "parp_transfers",
                "With PARP another language's mask costs nothing",
                own_mask("parp_transfer", MARGIN, False),
                note=f"at most {100 * MARGIN:g} % more errors, mean over the masks of all languages.",
            ),
        ),
    ),
)  # fmt: skip
CLAIMS = {
    "parp-claims": ClaimSet(
        name="parp-claims",
        title="Claims of the PARP paper (arXiv 2106.05933)",
        groups=CLAIM_GROUPS,
        paper=Paper({**PUBLISHED1, **PUBLISHED2, **OVERLAPS, **STATED}),
        setting=LIBRISPEECH,
        timed=False,
        compared=True,
        task="ctc",
    )
}
