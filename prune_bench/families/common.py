"""The quantities that rows of every family have."""

from __future__ import annotations

from prune_bench.families.quantities import Quantity, Timing, column
from prune_bench.families.rows import Finished
from prune_bench.pruning.masks import CHANCE
from prune_bench.pruning.plans import spacing


def moved(row: Finished, timing: Timing, which: str) -> float | None:
    """What of the first mask the final one does not share."""
    return None if "overlap.start" not in row else 1 - row["overlap.start"]


def least_overlap(row: Finished, timing: Timing, which: str) -> float | None:
    """The smallest overlap of a run's mask with those of the other languages and of the pretrained weights."""
    known = timing.get("_overlaps", {}).get(row["run"], {})
    return min((value for other, value in known.items() if other not in (row["run"], CHANCE)), default=None)


def chance_overlap(row: Finished, timing: Timing, which: str) -> float | None:
    """The overlap of a run's mask with a random one."""
    return timing.get("_overlaps", {}).get(row["run"], {}).get(CHANCE)


def rate(row: Finished) -> float:
    """The final fit's peak learning rate: no weight moves further than about this in one update."""
    return row["config"]["final"]["learning_rate"]


def reach_of_interval(row: Finished, timing: Timing, which: str) -> float:
    """How far a weight can move between two re-prunes."""
    return rate(row) * spacing(row["config"]["pruning"]["interval"], row["config"]["final"]["steps"])


def reach_of_fit(row: Finished, timing: Timing, which: str) -> float:
    """How far a weight can move in the final fit."""
    return rate(row) * row["config"]["final"]["steps"]


COMMON: dict[str, Quantity] = {
    "size": Quantity(
        title="millions", group="block weights", read=column("size.blocks_nonzero", 1e6), compared=True
    ),
    "encoder": Quantity(title="encoder, M", group="parameters", read=column("size.encoder", 1e6), compared=True),
    "model": Quantity(title="model, M", group="parameters", read=column("size.total", 1e6), compared=True),
    "flops": Quantity(
        title="blocks, 10^9", group="operations", read=column("flops.blocks", 1e9), compared=True, less="faster"
    ),
    "achieved": Quantity(title="achieved", read=column("achieved")),
    "updates.final": Quantity(title="final", group="updates", read=column("updates.final"), digits=0),
    "updates.total": Quantity(title="all", group="updates", read=column("updates.total"), digits=0),
    "fine_tunings": Quantity(title="fine-tunings", read=column("fine_tunings"), digits=0),
    "minutes": Quantity(title="minutes", group="all fits", read=column("seconds.all_fits", 60), digits=1),
    "overlap.start": Quantity(title="with the first mask", group="overlap", read=column("overlap.start"), digits=4),
    "overlap.moved": Quantity(title="not of the first mask", group="overlap", read=moved, digits=4),
    "overlap.least": Quantity(title="least", group="overlap", read=least_overlap, digits=4),
    "overlap.chance": Quantity(title="by chance", group="overlap", read=chance_overlap, digits=4),
    "threshold": Quantity(title="threshold", read=column("threshold"), digits=4),
    "reach.interval": Quantity(title="an interval", group="reach", read=reach_of_interval, digits=4),
    "reach.fit": Quantity(title="the fit", group="reach", read=reach_of_fit, digits=3),
}  # fmt: skip
