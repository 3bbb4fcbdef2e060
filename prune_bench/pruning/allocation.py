"""How a budget of removals is spread over targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from prune_bench.pruning.masks import MaskSet, Scores, lowest

Ranked = Mapping[str, Tensor | Scores]
Allocation = Callable[[Ranked, int], MaskSet]


def everywhere(scores: Ranked, removed: int) -> MaskSet:
    """One ranking over all targets: the `removed` lowest scores go, wherever they are."""
    marked = lowest(list(scores.values()), removed)
    return MaskSet({name: mark.logical_not_() for name, mark in zip(scores, marked, strict=True)})


def uniform(scores: Ranked, removed: int) -> MaskSet:
    """The same fraction of every target; the remainder of rounding goes to the largest fractional parts."""
    total = sum(score.numel() for score in scores.values())
    exact = {name: removed * score.numel() / total for name, score in scores.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_fraction = sorted(scores, key=lambda name: counts[name] - exact[name])
    for name in by_fraction[: removed - sum(counts.values())]:
        counts[name] += 1
    return MaskSet({name: lowest([score], counts[name])[0].logical_not_() for name, score in scores.items()})


ALLOCATIONS: dict[str, Allocation] = {"global": everywhere, "uniform": uniform}
