"""Criteria: how much a weight matters. Low scores are removed first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from prune_bench.pruning.axes import FACTORS, GATES, MASKS, Axis
from prune_bench.pruning.calibration import GradientSamples, InputHessians, InputNorms
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.statistics import GradientSquares, Statistics

Score = Callable[[Tensor, Tensor | None, torch.Generator | None], Tensor]


def _magnitude(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    return weight.detach().abs()


def _random(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    return torch.rand(weight.shape, generator=generator).to(weight.device)


def _gradient(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    if weight.grad is None:
        raise ValueError("growth by gradient needs the last batch's gradient: keep it until the batch has ended")
    return weight.grad.abs()


def _given(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    assert statistic is not None
    return statistic


def _wanda(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    assert statistic is not None
    return weight.detach().abs() * statistic


def _surgeon(weight: Tensor, statistic: Tensor | None, generator: torch.Generator | None) -> Tensor:
    assert statistic is not None
    return weight.detach().square() / (2 * statistic)


@dataclass(frozen=True)
class Criterion:
    """A score for every weight of a tensor, of the shape of the tensor.

    `score(weight, statistic, generator)` gets what `statistics` collected for that tensor, broadcastable to it (None
    where the criterion needs no data), and a seeded generator. The score of a part of an `elementwise` criterion is
    that part of the score. `refuses` says which structures it cannot judge, and why.
    """

    label: str
    score: Score
    statistics: Callable[..., Statistics] | None = None
    elementwise: bool = False
    knobs: tuple[str, ...] = ()
    refuses: Mapping[str, str] = field(default_factory=dict)
    means: ClassVar[tuple[str, ...]] = (MASKS,)

    def __call__(
        self, weight: Tensor, statistic: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        return self.score(weight, statistic, generator)

    def make_statistics(self, knobs: Knobs) -> Statistics | None:
        """What it needs, empty."""
        options = {name: getattr(knobs, name) for name in self.knobs if name in ("block", "damping")}
        return self.statistics(**options) if self.statistics is not None else None

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class SingularValues(Axis):
    """The singular values of whole matrices, which are factorised before the fit: no mask is drawn."""

    label = "singular values"
    means = (FACTORS,)


@dataclass(frozen=True)
class LearnedGates(Axis):
    """Hard-concrete gates on groups of weights, learned with them (Louizos et al., ICLR 2018): no score is made."""

    label = "learned gates"
    means = (GATES,)
    knobs = ("mask_learning_rate", "gate_init", "ffn_gate_init", "temperature", "counter")


def gate_gradient(weight: Tensor, gradient: Tensor, dim: int, block: int = 1) -> Tensor:
    """dL/dz at z = 1 for gates z multiplying blocks of `weight` along `dim`: the sum of g w over each block."""
    product = (weight.detach() * gradient).movedim(dim, 0)
    return product.reshape(-1, block * product[0].numel()).sum(1)


_MATRICES_ALONE = {"ranks": "needs statistics of whole matrices, which factors do not have"}

magnitude = Criterion("magnitude", _magnitude, elementwise=True)
"""|w|."""
random = Criterion("random", _random)
"""Uniform noise: the lower bound that shows what the choice of a mask is worth."""
gradient = Criterion("gradient", _gradient)
"""|dL/dw| of the last batch, which also weights at zero have (Evci et al., RigL, ICML 2020)."""
taylor = Criterion("taylor", _given, GradientSquares)
"""The mean over batches of (dL/dz)^2 for a gate z on each unit (Molchanov et al., CVPR 2019)."""
wanda = Criterion("wanda", _wanda, InputNorms, knobs=("calibration_batches",), refuses=_MATRICES_ALONE)
"""|w_ij| ||x_j||_2 over the inputs of calibration batches (Sun et al., ICLR 2024)."""
hessian = Criterion(
    "input Hessian", _surgeon, InputHessians, knobs=("calibration_batches", "block", "damping"), refuses=_MATRICES_ALONE
)
"""w_ij^2 / (2 [H^-1]_jj) with H = X X^T of the layer's inputs (Hassibi & Stork, 1993; Frantar & Alistarh, 2023)."""
fisher = Criterion(
    "inverse Fisher", _surgeon, GradientSamples, knobs=("calibration_batches", "block", "damping"),
    refuses=_MATRICES_ALONE,
)  # fmt: skip
"""w_q^2 / (2 [F^-1]_qq) with F the empirical Fisher matrix in blocks (Singh & Alistarh, NeurIPS 2020)."""

CRITERIA: dict[str, Criterion] = {
    "magnitude": magnitude,
    "random": random,
    "gradient": gradient,
    "taylor": taylor,
    "wanda": wanda,
    "hessian": hessian,
    "fisher": fisher,
}
