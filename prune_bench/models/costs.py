"""The cost of a Conformer's layers: a sum of products of kept counts, differentiable in expected counts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from prune_bench.models.arch import ConformerArch, layer_matrices, unit_counts
from prune_bench.pruning.units import CostTerm


def cost_terms(arch: ConformerArch, quantity: str, frames: int, offered: Collection[str]) -> list[CostTerm]:
    """The terms of one quantity; groups that are not `offered` for removal enter as constants.

    "size" counts the weights in the layers' matrices. "flops" counts the operations of matrix products and depthwise
    convolutions, two a multiply-add, for one utterance of `frames` feature frames. "size_eq3" counts as printed in
    equation 3 of arXiv 2305.19549: three vectors an FFN channel, and all of attention and convolution in proportion
    to the local dims.
    """
    rules = {"size": _size, "flops": _flops, "size_eq3": _size_as_printed}
    counts = unit_counts(arch)
    terms = []
    for i in range(len(arch.layers)):
        for term in rules[quantity](arch, i, frames):
            constant = math.prod(counts[name] for name in term.groups if name not in offered)
            terms.append(CostTerm(term.coefficient * constant, tuple(name for name in term.groups if name in offered)))
    return terms


def _size(arch: ConformerArch, i: int, frames: int) -> Iterator[CostTerm]:
    for _, term in _matrix_terms(arch, i):
        yield term


def _flops(arch: ConformerArch, i: int, frames: int) -> Iterator[CostTerm]:
    length = math.ceil(frames / arch.subsampling)
    for name, term in _matrix_terms(arch, i):
        rows = 2 * length if name == "attention.position" else length
        yield CostTerm(2 * rows * term.coefficient, term.groups)
    # Content scores and the weighted sum of values cost length^2 multiply-adds a head dim, position scores twice that.
    yield CostTerm(2 * 4 * length**2 * arch.head_width, (f"layers.{i}.heads",))


def _size_as_printed(arch: ConformerArch, i: int, frames: int) -> Iterator[CostTerm]:
    ffn1, heads, conv, ffn2, local = (f"layers.{i}.{group}" for group in ("ffn1", "heads", "conv", "ffn2", "hidden"))
    channels = arch.layers[i].conv
    yield CostTerm(2, (ffn1, "hidden"))
    yield CostTerm(1, (ffn1, local))
    yield CostTerm(5 * arch.head_width, (local, heads))
    yield CostTerm(3 * channels + channels * arch.kernel / arch.position_width, (local, conv))
    yield CostTerm(2, (ffn2, local))
    yield CostTerm(1, (ffn2, "hidden"))


def _matrix_terms(arch: ConformerArch, i: int) -> Iterator[tuple[str, CostTerm]]:
    """Each matrix as rows times columns; a factorised one as its rank times each."""
    ranks = arch.layers[i].ranks
    for name, rows, columns in layer_matrices(arch, i):
        groups = tuple(side.group for side in (rows, columns) if side.group is not None)
        if name not in ranks:
            yield name, CostTerm(rows.size * columns.size, groups)
            continue
        for side in (rows, columns):
            yield name, CostTerm(ranks[name] * side.size, () if side.group is None else (side.group,))
