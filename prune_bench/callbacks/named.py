"""The published methods as callbacks with arguments of their own, for any LightningModule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from prune_bench.callbacks.masking import MaskPruning
from prune_bench.pruning.criteria import CRITERIA, magnitude
from prune_bench.pruning.knobs import Knobs, set_knobs
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.targets import Patterns


@dataclass(eq=False, repr=False)
class _Named(MaskPruning):
    """What the named callbacks share. `criterion` ("magnitude", "random", "taylor", "wanda", "hessian" or "fisher") and
    `allocation` ("global" or "uniform") stand in for the method's own; the other arguments are MaskPruning's.
    """

    sparsity: float
    _: KW_ONLY
    structure: str = "weights"
    criterion: str | None = None
    allocation: str = ""
    kinds: tuple[str, ...] = ("heads", "ffn", "conv")
    include: Patterns = ()
    exclude: Patterns = ()
    convolutions: bool = False
    mask: Mapping[str, Tensor] | None = None
    calibration_data: Iterable[Any] | None = None
    calibration_batches: int = 32
    seed: int = 0

    def row(self) -> Method:
        """The row of the methods table that it runs."""
        return METHODS[type(self).__name__.lower()]

    def chosen(self) -> dict[str, Any]:
        """Its own arguments as knobs."""
        return {}

    called: ClassVar[Mapping[str, str]] = {}  # knobs whose argument has another name

    def __post_init__(self) -> None:
        name = type(self).__name__
        row = replace(self.row(), kinds=self.kinds)
        if self.criterion is not None:
            own: Any = row.criterion
            choices = CRITERIA if own is magnitude else [own.label]
            if self.criterion not in choices:
                raise ValueError(f"{name}: criterion={self.criterion!r}: choose {', '.join(choices)}")
            row = replace(row, criterion=CRITERIA[self.criterion])
        general = {
            "structure": self.structure, "allocation": self.allocation, "calibration_batches": self.calibration_batches,
        }  # fmt: skip
        row.check_structure(self.structure, name)
        values = {**general, **self.chosen()}
        super().__init__(
            row,
            self.sparsity,
            set_knobs(Knobs(), tuple(values), values, f"{name}: ", self.called),
            include=self.include,
            exclude=self.exclude,
            convolutions=self.convolutions,
            mask=self.mask,
            calibration_data=self.calibration_data,
            seed=self.seed,
        )


@dataclass(eq=False, repr=False)
class OMP(_Named):
    """One-shot magnitude pruning: the mask is drawn at the fraction `at` of the fit (0: at its start) and held.

    Removed weights are set to zero again after every update, so neither momentum nor weight decay can move them.
    """

    at: float = 0.0

    def chosen(self) -> dict[str, Any]:
        return {"at": self.at}


@dataclass(eq=False, repr=False)
class MPI(_Named):
    """Magnitude pruning at initialisation: a mask of the weights as they come, held (PARP, section 2.3)."""


@dataclass(eq=False, repr=False)
class RP(_Named):
    """Random pruning: a random mask, held; what it loses is what the choice of a mask is worth."""


@dataclass(eq=False, repr=False)
class IMP(_Named):
    """Train, remove a tenth, rewind, until `sparsity` is reached; then train what is left (Frankle & Carbin, 2019).

    The rounds share the fit's updates but for its last fraction `final`, which trains the finished mask. After a round
    weights are ranked as trained, what was removed before stays removed, and then all of the module goes back to
    where the fit began, its optimizers without memory; a learning rate schedule runs on. `step` is "original10" or
    "remaining10": see `round_targets`. Checkpoints carry the starting weights.
    """

    step: str = "original10"
    final: float = 0.5

    called: ClassVar[Mapping[str, str]] = {"imp_step": "step"}

    def chosen(self) -> dict[str, Any]:
        return {"imp_step": self.step, "final": self.final}

    @property
    def targets(self) -> tuple[float, ...]:
        """The sparsity after each round."""
        schedule: Any = self.method.schedule
        return schedule.targets(self.sparsity, self.knobs)

    @property
    def rounds(self) -> int:
        """Rounds of pruning; with the last training, one more fine-tuning than that."""
        return len(self.targets)


@dataclass(eq=False, repr=False)
class PARP(_Named):
    """Prune, adjust and re-prune (Lai et al., 2021, Algorithm 1).

    Every `interval` (from 1 on a number of updates, below 1 a fraction of the fit) the mask is drawn anew and what it
    removes is set to zero; in between everything trains, so that removed weights may come back. With `start` the
    sparsity rises linearly from it to `sparsity` over the first fraction `ramp` of the fit (PARP-P).
    """

    interval: float = 0.01
    start: float | None = None
    ramp: float = 0.6

    called: ClassVar[Mapping[str, str]] = {"progress": "ramp"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None and self.start > self.sparsity:
            raise ValueError(f"PARP: start={self.start} is above sparsity={self.sparsity}, to which it rises")

    def row(self) -> Method:
        return METHODS["parp" if self.start is None else "parp_p"]

    def chosen(self) -> dict[str, Any]:
        rising = {} if self.start is None else {"start": self.start, "progress": self.ramp}
        return {"interval": self.interval, **rising}


@dataclass(eq=False, repr=False)
class Taylor(_Named):
    """One-shot pruning by the estimated change of the loss (Molchanov et al., CVPR 2019; arXiv 2310.03424).

    The gradients of the first fraction `at` of the fit are taken in before the mask is drawn, and then held.
    """

    at: float = 0.1

    called: ClassVar[Mapping[str, str]] = {"calibration": "at"}

    def chosen(self) -> dict[str, Any]:
        return {"calibration": self.at}


@dataclass(eq=False, repr=False)
class Gradual(_Named):
    """Sparsity that rises as a cubic to `sparsity` over the first fraction `ramp` of the fit (Zhu & Gupta, 2017).

    Every `interval` (from 1 on a number of updates, below 1 a fraction of the fit) more goes, and what is removed stays
    removed, except that channels come back, at zero, where a whole head goes for them: sizes are met to within one.

    With `sizes` one fit delivers several models: it is divided into as many equal parts and one more, each with a ramp
    from the size before and a recovery, and `export_sizes` gives the models at the ends. A learning rate that falls
    towards each of these serves them best.
    """

    ramp: float = 0.6
    interval: float = 0.01
    sizes: Sequence[float] = ()

    called: ClassVar[Mapping[str, str]] = {"progress": "ramp", "intermediate": "sizes"}

    def chosen(self) -> dict[str, Any]:
        if wrong := [size for size in self.sizes if not 0.0 < size < self.sparsity]:
            raise ValueError(f"Gradual: sizes={wrong[0]}: give sparsities above 0 and below sparsity={self.sparsity}")
        sizes = "+".join(f"{size:g}" for size in self.sizes)
        return {"progress": self.ramp, "interval": self.interval, "intermediate": sizes}


@dataclass(eq=False, repr=False)
class GraNet(_Named):
    """Gradual magnitude pruning with regrowth (Liu et al., NeurIPS 2021).

    Every `interval` the sparsity rises as a cubic over the first fraction `ramp` of the fit, and then, to the end of
    the fit, in every layer a share of the kept weights, `swap` at first, gives way to the removed ones with the largest
    gradients.
    """

    ramp: float = 0.6
    interval: float = 0.01
    swap: float = 0.5

    called: ClassVar[Mapping[str, str]] = {"progress": "ramp"}

    def chosen(self) -> dict[str, Any]:
        return {"progress": self.ramp, "interval": self.interval, "swap": self.swap}
