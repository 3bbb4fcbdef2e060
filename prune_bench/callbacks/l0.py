"""L0 structured pruning by name, with its own arguments."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace

from prune_bench.callbacks.gating import GatePruning
from prune_bench.pruning.allocation import Lagrangian
from prune_bench.pruning.knobs import Knobs, set_knobs
from prune_bench.pruning.methods import ALL_KINDS, METHODS


@dataclass(eq=False, repr=False)
class L0(GatePruning):
    """L0 structured pruning (Jiang et al., Accurate and Structured Pruning for Efficient ASR, Interspeech 2023).

    `target` is "size" or "flops". The asked reduction rises over the first fraction `ramp` of the fit; at the fraction
    `settle` the gates are fixed. See `GatePruning`, and `Knobs` for the rest.
    """

    sparsity: float
    _: KW_ONLY
    target: str = "size"
    kinds: tuple[str, ...] = ALL_KINDS
    ramp: float = 0.1
    settle: float = 1.0
    mask_learning_rate: float = 1e-2
    multiplier_learning_rate: float = 1e-2
    gate_init: float = 4.6
    ffn_gate_init: float = 3.0
    temperature: float = 2 / 3
    counter: str = "exact"
    distillation: float = 1.0
    distillation_side: str = "student"
    reference_frames: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target not in ("size", "flops"):
            raise ValueError(f"L0: target={self.target!r}: choose size or flops")
        row = replace(METHODS["l0_sparsity"], allocation=Lagrangian(self.target), kinds=self.kinds)
        own = ("reference_seconds", "structure")
        values = {name: getattr(self, name) for name in row.knobs if name not in own}
        knobs = set_knobs(Knobs(), row.knobs, values, "L0: ")
        super().__init__(row, self.sparsity, knobs, reference_frames=self.reference_frames, seed=self.seed)
