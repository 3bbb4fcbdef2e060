"""The paper's conclusions as comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from prune_bench.pruning.methods import METHODS as ALL
from prune_bench.reports.claims.claim import Claim
from prune_bench.reports.claims.claimset import ClaimGroup, ClaimSet
from prune_bench.reports.claims.terms import Comparison, Gain, Paper, Term
from prune_bench.reports.rows.cells import DENSE, Cell

from .figures import SPLITS
from .grid import BEST, CHOSEN, HALF_OF_HEADS, HEADS, MEASURED, STRAIGHT, STRUCTURES, alone, at, scratch
from .tables import TABLE1

PERPLEXITY = "entropy.test"
MARGIN = 0.05  # of an error rate or a latency: what counts as nothing
NATS = 100 * math.log1p(MARGIN)  # hundredths of a nat: 5 % of a perplexity
MODERATE, SMALL = CHOSEN[0], CHOSEN[-1]


def term(structure: str, method: str, sparsity: float, quantity: str = PERPLEXITY) -> Term:
    """A quantity of a point of the grid."""
    return Term(quantity, at(structure, method, sparsity), f"{structure} {ALL[method].label} {100 * sparsity:g} %")


def straight(structure: str, quantity: str = PERPLEXITY) -> Term:
    """A quantity of a gradual run that goes straight to its size."""
    return Term(quantity, alone(structure), f"{structure} {ALL[BEST].label} straight to {100 * STRAIGHT:g} %")


def equals(structure: str) -> tuple[Term, ...]:
    """The perplexities of data-driven pruning by either schedule, all after as many updates."""
    return (*(term(structure, "taylor", size) for size in CHOSEN), straight(structure))


def better(structure: str, pairs: Iterable[tuple[str, str]]) -> tuple[Comparison, ...]:
    """The first method of each pair has the lower perplexity at every size."""
    return tuple(
        Comparison(term(structure, one, size), term(structure, other, size)) for one, other in pairs for size in CHOSEN
    )


def latency(structure: str, runtime: str = "step") -> Term:
    """Seconds per token at the moderate size."""
    return term(structure, "taylor", MODERATE, f"latency.{runtime}")


def criteria() -> tuple[Claim, ...]:
    pairs = (("taylor", "omp"), (BEST, "gradual"))
    return tuple(
        Claim(f"taylor_{name}", f"Data-driven beats magnitude, {name}", better(name, pairs)) for name in STRUCTURES
    )


def schedules() -> tuple[Claim, ...]:
    pairs = (("gradual", "omp"), (BEST, "taylor"))
    gains = tuple(
        Comparison(
            Gain(term(name, gradual, MODERATE), term(name, once, MODERATE)),
            Gain(term(name, gradual, SMALL), term(name, once, SMALL)),
        )
        for name in STRUCTURES
        for gradual, once in pairs
    )
    return (
        *(Claim(f"gradual_{name}", f"Incremental beats one-shot, {name}", better(name, pairs)) for name in STRUCTURES),
        *(
            Claim(
                f"straight_{name}",
                f"Incremental straight to {100 * STRAIGHT:g} % beats one-shot, {name}",
                (Comparison(straight(name), term(name, "taylor", STRAIGHT)),),
            )
            for name in STRUCTURES
        ),
        Claim(
            "gradual_when_small",
            "Incremental gains most at small sizes",
            gains,
            note="where one run delivers all sizes, the larger ones come after fewer updates than one-shot pruning "
            "has, as the table's last column says, which speaks for this and against the claims above.",
        ),
    )


def structures() -> tuple[Claim, ...]:
    def order(winner: str, loser: str) -> tuple[Comparison, ...]:
        return tuple(Comparison(*pair) for pair in zip(equals(winner), equals(loser), strict=True))

    dense = Term("latency.step", DENSE, "dense")
    return (
        Claim(
            "unstructured_best",
            "Single weights are the most accurate at equal size",
            (*order("unstructured", "structured"), *order("unstructured", "factorised")),
        ),
        Claim(
            "unstructured_slow",
            "and give no dense speed-up",
            (Comparison(dense, latency("unstructured"), MARGIN),),
            note="the dense model is not slower by more than 5 %, token by token as in fusion.",
        ),
        Claim(
            "structured_worst",
            "Structured pruning degrades most",
            (*order("unstructured", "structured"), *order("factorised", "structured")),
        ),
    )


def trade_off() -> Claim:
    def moderate(loser: str, plus: float = 0.0) -> Comparison:
        return Comparison(term("factorised", "taylor", MODERATE), term(loser, "taylor", MODERATE), plus=plus)

    return Claim(
        "low_rank_trades_best",
        f"Low rank is the best trade-off at {100 * MODERATE:g} %",
        (
            Comparison(latency("factorised", "onnx"), latency("unstructured", "onnx")),
            moderate("structured"),
            moderate("unstructured", plus=NATS),
        ),
        note="faster than single weights under ONNX Runtime, more accurate than structured, and at most 5 % more "
        "perplexity than single weights, all pruned at once by Taylor scores.",
    )


def against_the_dense_model() -> tuple[Claim, ...]:
    helps = tuple(
        Comparison(
            Term(f"wer.{split}", DENSE, "with the dense model"),
            Term(f"alone.wer.{split}", DENSE, "without a language model"),
        )
        for split in SPLITS
    )
    heads = Comparison(
        term(HEADS, "taylor", HALF_OF_HEADS), Term(PERPLEXITY, Cell("continue_ft"), "dense, trained on"), plus=NATS
    )
    kept = tuple(
        Comparison(straight("unstructured", f"wer.{split}.tail"), Term(f"wer.{split}.tail", DENSE), MARGIN)
        for split in SPLITS
    )
    return (
        Claim("fusion_helps", "The language model helps before any pruning", helps),
        Claim(
            "heads_cheap",
            "Pruning half of the heads costs little",
            (heads,),
            note="at most 5 % more perplexity.",
        ),
        Claim(
            "rare_kept",
            f"A pruned model keeps its accuracy on infrequent data, {100 * STRAIGHT:g} %",
            kept,
            note="at most 5 % more errors than the dense model on the fifth with the rarest words.",
        ),
    )


def against_scratch() -> tuple[Claim, ...]:
    def sized(pruned: dict[float, Callable[[str], Term]]) -> tuple[Comparison, ...]:
        return tuple(
            Comparison(find(quantity), Term(quantity, scratch(size), f"from scratch {100 * size:g} %"))
            for quantity in (PERPLEXITY, *(f"wer.{split}" for split in SPLITS))
            for size, find in pruned.items()
        )

    gradual, once = (
        {size: partial(term, "unstructured", method, size) for size in CHOSEN} for method in (BEST, "taylor")
    )
    return (
        Claim(
            "beats_scratch",
            "The best pruned model beats one of its size from scratch",
            sized(gradual),
            note="published: up to 2.4 % fewer errors. Pruned models were trained longer, as the dense model before.",
        ),
        Claim("once_beats_scratch", "The same for models pruned at once", sized(once)),
        Claim(
            "straight_beats_scratch",
            f"The same for a model pruned straight to {100 * STRAIGHT:g} %",
            sized({STRAIGHT: partial(straight, "unstructured")}),
        ),
    )


CLAIMS = {
    "nnlm-claims": ClaimSet(
        name="nnlm-claims",
        title="Claims of the language-model paper (arXiv 2310.03424)",
        groups=(
            ClaimGroup(
                (TABLE1,),
                (*against_the_dense_model(), *against_scratch(), *criteria(), *schedules(), *structures(), trade_off()),
            ),
        ),
        paper=Paper({}),
        setting=MEASURED,
        task="language_model",
    )
}
