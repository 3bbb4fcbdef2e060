"""What is compared: structure x criterion x schedule x size."""

from __future__ import annotations

from prune_bench.reports.rows.cells import Cell, Setting

MEASURED = "a Transformer of 20 M parameters on dictation and voice-assistant text, findings without numbers"
SIZES = (0.5, 0.7, 0.8, 0.9, 0.95)
CHOSEN = (0.5, 0.8, 0.95)  # where error rates are measured, too
BETWEEN = (0.7, 0.9)  # which take a gradual run nothing, and all else a fit each
STRAIGHT = CHOSEN[1]  # where gradual runs of their own go
METHODS = ("omp", "taylor", "gradual", "taylor_gradual")
BEST = "taylor_gradual"
STRUCTURES = {"unstructured": "weights", "structured": "groups", "factorised": "ranks"}
ALONE = {name: f"{name}, a run of its own" for name in STRUCTURES}
HEADS = "heads alone"
HALF_OF_HEADS = 0.16
FUSED: Setting = (("measurement.fused", True),)


def delivering(sizes: tuple[float, ...] = ()) -> Setting:
    """The sizes that a gradual run delivers on its way; none if it goes straight to its end."""
    return (("pruning.intermediate", "+".join(map(str, sizes))),)


def pruned_as(structure: str) -> Setting:
    """What is removed together, by a name of STRUCTURES."""
    return (("pruning.structure", STRUCTURES[structure]),)


SETTINGS: dict[str, Setting] = {
    **{name: (*delivering(SIZES), *pruned_as(name)) for name in STRUCTURES},
    **{ALONE[name]: (*delivering(), *pruned_as(name)) for name in STRUCTURES},
    HEADS: (*delivering(SIZES), ("pruning.structure", "heads")),
}


def at(structure: str, method: str, sparsity: float) -> Cell:
    """A point of the grid; `structure` is a name of SETTINGS."""
    return Cell.of(method, sparsity, SETTINGS[structure])


def alone(structure: str) -> Cell:
    """The best method's run that goes straight to its size."""
    return at(ALONE[structure], BEST, STRAIGHT)


def scratch(sparsity: float) -> Cell:
    """The dense model of a size."""
    return Cell("scratch", sparsity)
