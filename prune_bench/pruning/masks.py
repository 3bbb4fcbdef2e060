"""Masks: exact selection by rank, set algebra, and persistence."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

_PIECE = 1 << 18


def lowest(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Bool tensors marking exactly the `count` smallest scores over all tensors jointly.

    Exact under ties, which are common (a re-pruned tensor is full of zeros): equal scores fall in order of position.
    A sample brackets the threshold and only the scores inside the bracket are ranked, so that 10^8 scores take less
    than a second and no copy of them is made.

    Raises:
        ValueError: `count` is negative, larger than the number of scores, or a score is NaN.
    """
    total = sum(score.numel() for score in scores)
    if not 0 <= count <= total:
        raise ValueError(f"cannot select {count} of {total} scores")
    if count in (0, total):
        return [torch.full_like(score, count == total, dtype=torch.bool) for score in scores]
    threshold, ties, equals = _boundary(scores, count, total)
    if ties == equals:
        return [score <= threshold for score in scores]
    marked = [score < threshold for score in scores]
    for piece, marks in zip(_pieces(scores), _pieces(marked), strict=True):
        if ties == 0:
            break
        equal = piece == threshold
        found = _true(equal)
        if found <= ties:
            marks |= equal
        else:
            marks[equal.nonzero()[:ties, 0]] = True
        ties -= min(found, ties)
    return marked


def _boundary(scores: Sequence[Tensor], k: int, total: int) -> tuple[float, int, int]:
    """The k-th smallest score, how many of those equal to it are among the k smallest, and how many there are."""
    low, high = _bracket(scores, k, total)
    while True:
        upto, inside = _between(scores, low, high)
        if upto < k <= upto + len(inside):
            threshold = float(inside.kthvalue(k - upto).values)
            return threshold, k - upto - _true(inside < threshold), _true(inside == threshold)
        if k > upto:
            low, high = high, math.inf
            continue
        below = sum(_true(piece < low) for piece in _pieces(scores))
        if below < k:
            return low, k - below, upto - below
        low, high = -math.inf, low


def _between(scores: Sequence[Tensor], low: float, high: float) -> tuple[int, Tensor]:
    """How many scores are at most `low`, and those above it up to `high`."""
    above, inside = 0, []
    for piece in _pieces(scores):
        over = piece > low
        above += _true(over)
        inside.append(piece.masked_select(over.logical_and_(piece <= high)).cpu())
    return sum(score.numel() for score in scores) - above, torch.cat(inside)


def _bracket(scores: Sequence[Tensor], k: int, total: int) -> tuple[float, float]:
    """Two values that almost surely enclose the k-th smallest, from a sample; infinite where it says too little."""
    extremes = [score.aminmax() for score in scores if score.numel()]
    if any(bool(low.isnan()) for low, _ in extremes):
        raise ValueError("a score is NaN: the model diverged before it was pruned")
    stride = round(total ** (1 / 3)) | 1  # as much work on the sample as on the scores that it leaves to rank
    sample = torch.cat([score.flatten()[::stride].cpu() for score in scores])
    position, margin = round(k / total * len(sample)), 3 * math.isqrt(len(sample)) + 1
    low, high = position - margin, position + margin
    return (
        float(sample.kthvalue(low + 1).values) if low >= 0 else -math.inf,
        float(sample.kthvalue(high + 1).values) if high < len(sample) else math.inf,
    )


def _pieces(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Flat views small enough for the cache."""
    for tensor in tensors:
        yield from tensor.view(-1).split(_PIECE)


def _true(mask: Tensor) -> int:
    return int(torch.count_nonzero(mask))


class MaskSet(dict[str, Tensor]):
    """Named bool tensors, True where a unit is kept. Units are weights or removable groups."""

    @property
    def sparsity(self) -> float:
        """The removed fraction of units."""
        total = sum(mask.numel() for mask in self.values())
        return 1.0 - sum(int(mask.sum()) for mask in self.values()) / total

    def churn(self, other: Mapping[str, Tensor]) -> float:
        """The fraction of units whose state differs from `other`."""
        changed = sum(int((mask != other[name]).sum()) for name, mask in self.items())
        return changed / sum(mask.numel() for mask in self.values())

    def checksum(self) -> str:
        """A digest that is equal on every rank if and only if the masks are."""
        digest = hashlib.sha256()
        for name, mask in sorted(self.items()):
            digest.update(name.encode() + mask.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def match(self, shapes: Mapping[str, torch.Size]) -> None:
        """Raise ValueError, naming the first difference, unless the masks fit tensors of these shapes."""
        for name in self.keys() | shapes.keys():
            here, there = self[name].shape if name in self else None, shapes.get(name)
            if here != there:
                raise ValueError(f"mask of another model: {name} is {there} in the model and {here} in the mask")


def iou(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Kept by both over kept by either (PARP, section 2): 1 on itself, p / (2 - p) for independent density p."""
    both = sum(int((first[name] & second[name]).sum()) for name in first)
    either = sum(int((first[name] | second[name]).sum()) for name in first)
    return both / either if either else 1.0
