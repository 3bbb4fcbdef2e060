"""The paper's conclusions."""

from __future__ import annotations

import itertools

from prune_bench.pruning.methods import METHODS
from prune_bench.reports.claims.claim import Claim
from prune_bench.reports.claims.claimset import ClaimGroup, ClaimSet
from prune_bench.reports.claims.terms import Comparison, Level, Paper, Term, Where
from prune_bench.reports.rows.cells import Cell

from .figures import dense_cells, make_figures
from .published import (
    LIBRISPEECH,
    MODEL_SIZES,
    PUBLISHED1,
    PUBLISHED2,
    SHARED,
    SPLITS,
)
from .scopes import Scope
from .tables import make_tables

MARGIN = 0.05  # of the reference's error rate: what counts as nothing
SMALL = 0.1  # of the threshold: what a weight may move between two judgements, for a mask to stay
WHOLLY = 0.01  # of the union of two masks: what may differ where they overlap almost wholly
ORDER = ("parp_p", "parp", "imp", "omp", "mpi", "rp")


def compare(quantity: str, a: Cell, b: Cell, margin: float = 0.0) -> Comparison:
    return Comparison(Term(quantity, a), Term(quantity, b), margin)


def at_90(better: str, worse: str) -> tuple[Comparison, ...]:
    return tuple(compare(f"wer.{split}", Cell(better, 0.9), Cell(worse, 0.9)) for split in SPLITS)


def in_language(method: str, target: str, source: str | None = None) -> Cell:
    """A method with the mask of one language, or of all in turn."""
    mask = () if source is None else (("pruning.mask_language", source),)
    return Cell(method, SHARED, (("corpus.language", target), *mask))


def own_mask(method: str, languages: tuple[str, ...], margin: float, own_first: bool) -> tuple[Comparison, ...]:
    """Another's mask, on average, against one's own, for each language."""

    def term(target: str, source: str | None) -> Term:
        name = f"{target} with {'its own mask' if source else 'masks of all languages'}"
        return Term("wer.test-clean", in_language(method, target, source), name)

    pairs = [(term(language, language), term(language, None)) for language in languages]
    return tuple(Comparison(*(pair if own_first else pair[::-1]), margin) for pair in pairs)


def stated(scope: Scope) -> dict[Cell, dict[str, float]]:
    """What the text says of overlaps."""
    overlaps = {cell: {"overlap.least": 0.9, "overlap.chance": 0.333} for cell in dense_cells(scope)}
    parp = [Cell("parp", sparsity) for sparsity in scope.sparsities]
    return overlaps | {cell: {**PUBLISHED1.get(cell, {}), "overlap.moved": 1e-4} for cell in parp}


def counts(method: str, fits: int) -> tuple[Comparison, Comparison]:
    """A method at 90 % takes exactly so many fine-tunings."""
    cell = Cell(method, 0.9)
    counted = Term("fine_tunings", cell, f"fine-tunings of {METHODS[method].label}")
    return (
        Comparison(counted, Level(fits + 1, "fine_tunings", cell)),
        Comparison(Level(fits - 1, "fine_tunings", cell), counted),
    )


def order_at_90() -> tuple[Claim, ...]:
    names = {method: method.upper().replace("_", "-") for method in ORDER}
    return tuple(
        Claim(f"{a}_beats_{b}", f"At 90 % {names[a]} beats {names[b]}", at_90(a, b))
        for a, b in itertools.pairwise(ORDER)
    )


def one_fine_tuning() -> Claim:
    return Claim(
        "one_fine_tuning",
        "At 90 % PARP takes one fine-tuning, OMP two, IMP ten",
        (*counts("parp", 1), *counts("omp", 2), *counts("imp", 10)),
    )


def little_pruning_helps() -> Claim:
    return Claim(
        "little_pruning_helps",
        "10 % PARP beats the dense model on the fewest labels",
        tuple(
            Comparison(
                Term(f"wer.{split}", Cell("parp", 0.1, setting), f"{size}, PARP 10 %"),
                Term(f"wer.{split}", Cell("dense", 0.0, setting), f"{size}, dense"),
            )
            for size, setting in MODEL_SIZES.items()
            for split in SPLITS
        ),
    )


def masks_overlap(scope: Scope) -> Claim:
    def far(cell: Cell) -> Comparison:
        setting = dict(cell.setting)
        which = f"{setting['corpus.language']}, {'CSR' if '+' in setting['pretraining.languages'] else 'H2L'}"
        return Comparison(
            Term("overlap.chance", cell, f"{which}: chance"), Term("overlap.least", cell, "smallest IOU"), -0.5
        )

    return Claim(
        "masks_overlap",
        "Masks of all languages and of the pretrained weights overlap far above chance",
        tuple(far(cell) for cell in dense_cells(scope)),
        note="chance less than half of the smallest overlap.",
    )


def mask_stays(scope: Scope) -> Claim:
    def still(cell: Cell) -> Where:
        term = Term("overlap.moved", cell, f"1 - IOU at {100 * cell.sparsity:g} %")
        return Where(term, "reach.interval", "threshold", SMALL)

    cells = [Cell("parp", sparsity) for sparsity in scope.sparsities]
    return Claim(
        "mask_stays",
        "PARP's final mask is almost wholly the first one from 20 % on where the learning rate is small",
        tuple(Comparison(still(cell), Level(WHOLLY, "overlap.moved", cell)) for cell in cells),
        note=f"1 - IOU below {WHOLLY:g}, of runs whose rate times interval is below {SMALL:g} of the first threshold; "
        "with a larger one, as in the preset, missing.",
    )


def random_start_fails(scope: Scope) -> Claim:
    return Claim(
        "random_start_fails",
        "PARP from a random mask is no better than random pruning",
        tuple(
            compare(f"wer.{split}", Cell("rp", sparsity), Cell("parp_random", sparsity), MARGIN)
            for sparsity in scope.sparsities
            for split in SPLITS
        ),
        note=f"random pruning makes at most {100 * MARGIN:g} % more errors.",
    )


def transfer(scope: Scope) -> tuple[Claim, Claim]:
    return (
        Claim(
            "transfer_costs",
            "A fixed mask of another language costs",
            own_mask("transfer", scope.languages, 0.0, True),
        ),
        Claim(
            "parp_transfers",
            "With PARP another language's mask costs nothing",
            own_mask("parp_transfer", scope.languages, MARGIN, False),
            note=f"at most {100 * MARGIN:g} % more errors, mean over the masks of all languages.",
        ),
    )


def make_groups(scope: Scope) -> tuple[ClaimGroup, ...]:
    """The claims, each with the report whose runs it is about."""
    tables, figures = make_tables(scope), make_figures(scope)
    return (
        ClaimGroup((tables["parp-table1"],), (*order_at_90(), one_fine_tuning())),
        ClaimGroup((tables["parp-table2"],), (little_pruning_helps(),)),
        ClaimGroup((figures["parp-figure2"],), (masks_overlap(scope),)),
        ClaimGroup((figures["parp-figure5"],), (mask_stays(scope),)),
        ClaimGroup((figures["parp-figure6"],), (random_start_fails(scope),)),
        ClaimGroup((figures["parp-figure7"],), transfer(scope)),
    )


def make_claims(scope: Scope) -> dict[str, ClaimSet]:
    """The set of all claims by name."""
    return {
        "parp-claims": ClaimSet(
            name="parp-claims",
            title="Claims of the PARP paper (arXiv 2106.05933)",
            groups=make_groups(scope),
            paper=Paper({**PUBLISHED1, **PUBLISHED2, **stated(scope)}),
            setting=LIBRISPEECH,
            timed=False,
            compared=True,
            task="ctc",
        )
    }
