"""Any row of the methods table as a callback."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from torch import Tensor

from prune_bench.callbacks.base import PruningCallback
from prune_bench.callbacks.l0 import GatePruning
from prune_bench.callbacks.low_rank import FactorPruning
from prune_bench.callbacks.masking import MaskPruning
from prune_bench.pruning.axes import FACTORS, GATES
from prune_bench.pruning.knobs import KnobOptions, Knobs, set_knobs
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.targets import Patterns


def Prune(
    method: str | Method,
    sparsity: float,
    *,
    structure: str | None = None,
    allocation: str = "",
    include: Patterns = (),
    exclude: Patterns = (),
    convolutions: bool = False,
    mask: Mapping[str, Tensor] | None = None,
    calibration_data: Iterable[Any] | None = None,
    reference_frames: int = 1500,
    seed: int = 0,
    **knobs: Unpack[KnobOptions],
) -> PruningCallback:
    """The callback that runs a row of the methods table, by name or as a `Method` of one's own, on any LightningModule.

    `structure` is one of the row's (None: "weights" where it has them). For the other arguments see `MaskPruning`, and
    `Knobs` for those of the row; `reference_frames` is the length of speech whose operations count.

    Raises:
        TypeError: an option that the row does not have.
        ValueError: an unknown method, one that removes nothing, or a value that is not allowed.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method={method!r}: choose {', '.join(METHODS)}")
        method = METHODS[method]
    if not method.removes:
        raise ValueError(f"method {method.name} removes nothing: it needs no callback")
    structure = structure or next(one for one in ("weights", *method.structures) if one in method.structures)
    chosen = set_knobs(
        Knobs(structure=structure, allocation=allocation), method.knobs, knobs, f"Prune({method.name}): "
    )
    choice = {"include": include, "exclude": exclude}
    return make_callback(
        method, sparsity, chosen, mask, seed, reference_frames, calibration_data, convolutions=convolutions, **choice
    )


def make_callback(
    method: Method,
    sparsity: float,
    knobs: Knobs,
    mask: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    reference_frames: int = 1500,
    calibration_data: Iterable[Any] | None = None,
    **choice: Any,
) -> PruningCallback:
    """The callback of a row and its knobs; `choice` are arguments of `find_targets`."""
    if method.means == GATES:
        return GatePruning(method, sparsity, knobs, reference_frames=reference_frames, seed=seed)
    if method.means == FACTORS:
        return FactorPruning(method, sparsity, **choice)
    return MaskPruning(method, sparsity, knobs, mask=mask, calibration_data=calibration_data, seed=seed, **choice)
