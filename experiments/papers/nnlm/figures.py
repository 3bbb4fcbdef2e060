"""Figures of the trade-offs; their numbers are this project's, as the paper's plots were not to be had."""

from __future__ import annotations

from functools import partial

from prune_bench.pruning.methods import METHODS as ALL
from prune_bench.reports.figures.components import ComponentFigure
from prune_bench.reports.figures.panels import CurveFigure, Line, Panel
from prune_bench.reports.figures.percentiles import PercentileFigure

from .grid import (
    BEST,
    BETWEEN,
    CHOSEN,
    FUSED,
    MEASURED,
    METHODS,
    SETTINGS,
    SIZES,
    STRAIGHT,
    STRUCTURES,
    alone,
    at,
    delivering,
    pruned_as,
)

SPLITS = ("test-clean", "test-other")
ONCE = tuple(Line("taylor", SETTINGS[name], name) for name in STRUCTURES)
BEST_OF_EACH = (
    *((Line(BEST, alone(name).setting, name), STRAIGHT) for name in STRUCTURES),
    *((Line(BEST, SETTINGS[name], name), SIZES[-1]) for name in STRUCTURES),
)


def by_method(extended: tuple[float, ...] = ()) -> tuple[Line, ...]:
    """A line a method; those that take a fit for each size at the chosen sizes, and on request at `extended` ones."""
    fitted = partial(Line, sparsities=CHOSEN, extended=extended)
    kinds = {method: Line if "intermediate" in ALL[method].knobs else fitted for method in METHODS}
    return (
        *(kind(method, delivering(SIZES)) for method, kind in kinds.items()),
        Line(BEST, delivering(), "Gradual, Taylor, straight", (STRAIGHT,)),
        fitted("scratch"),
    )


FIGURE1 = CurveFigure(
    name="nnlm-figure1",
    title="Figure 1. Perplexity against size",
    panels=tuple(
        Panel(f"{name}, perplexity", "ppl.test", pruned_as(name), digits=3, against="size", logarithmic=True)
        for name in STRUCTURES
    ),
    lines=by_method(BETWEEN),
    references=("dense", "continue_ft"),
    published=(
        "Published: data-driven is better than magnitude in several scenarios, incremental than one-shot, most at "
        "small sizes; unstructured is the most accurate, structured degrades most.",
    ),
    setting=MEASURED,
    sparsities=SIZES,
    task="language_model",
)
FIGURE2 = CurveFigure(
    name="nnlm-figure2",
    title="Figure 2. Error rate in shallow fusion against size",
    panels=tuple(
        Panel(
            f"{name}, {split}, WER %",
            f"wer.{split}",
            pruned_as(name),
            digits=2,
            against="size",
            levels=(("no language model", f"alone.wer.{split}"),),
        )
        for split in SPLITS
        for name in STRUCTURES
    ),
    lines=by_method(),
    published=(
        "Published: the best pruned model has up to 2.4 % fewer errors than one of its size trained from scratch.",
    ),
    setting=MEASURED,
    sparsities=CHOSEN,
    fixed=FUSED,
    task="language_model",
)
FIGURE3 = CurveFigure(
    name="nnlm-figure3",
    title="Figure 3. What accuracy costs in operations, one-shot Taylor pruning",
    panels=(
        Panel("perplexity", "ppl.test", digits=3, against="flops.token", logarithmic=True),
        *(Panel(f"{split}, WER %", f"wer.{split}", digits=2, against="flops.token") for split in SPLITS),
    ),
    lines=(*ONCE, Line("scratch")),
    published=("Published: low rank is the best trade-off at moderate compression; single weights give no speed.",),
    setting=MEASURED,
    sparsities=CHOSEN,
    fixed=FUSED,
    task="language_model",
)
FIGURE4 = PercentileFigure(
    name="nnlm-figure4",
    title="Figure 4. Rare and frequent text",
    quantities={"perplexity": "ppl.test", **{f"{split}, WER %": f"wer.{split}" for split in SPLITS}},
    lines=(
        (Line("dense"), 0.0),
        *BEST_OF_EACH,
        *((Line("scratch"), size) for size in (STRAIGHT, SIZES[-1])),
    ),
    published=("Published: pruned models keep their accuracy on infrequent data.",),
    setting=MEASURED,
    fixed=FUSED,
    task="language_model",
)
FIGURE5 = ComponentFigure(
    name="nnlm-figure5",
    title=f"Figure 5. What is left of each layer and component at {100 * STRAIGHT:g} %",
    lines={
        f"{name}, {label}": at(name, method, STRAIGHT)
        for name in STRUCTURES
        for method, label in zip(METHODS, ("OMP", "Taylor", "gradual", "gradual Taylor"), strict=True)
    },
    across=len(METHODS),
    published=("Published: attention heads can go at little cost.",),
    setting=MEASURED,
    task="language_model",
)
FIGURES = {figure.name: figure for figure in (FIGURE1, FIGURE2, FIGURE3, FIGURE4, FIGURE5)}
