"""Masks: exact selection by rank, set algebra, and persistence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_BINS = 65536
_SMALL = 1 << 20


def lowest(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Bool tensors marking exactly the `count` smallest scores over all tensors jointly.

    Exact under ties, which are common (a re-pruned tensor is full of zeros): equal scores fall in order of position.
    A histogram narrows the candidates and only one bin is ranked, so that 10^8 scores take about a second and no
    copy of them is made.

    Raises:
        ValueError: `count` is negative, larger than the number of scores, or a score is NaN.
    """
    total = sum(score.numel() for score in scores)
    if not 0 <= count <= total:
        raise ValueError(f"cannot select {count} of {total} scores")
    if count in (0, total):
        return [torch.full_like(score, count == total, dtype=torch.bool) for score in scores]
    threshold = _kth_smallest(scores, count)
    marked = [score < threshold for score in scores]
    missing = count - sum(int(mark.sum()) for mark in marked)
    for score, mark in zip(scores, marked, strict=True):
        if missing == 0:
            break
        ties = (score == threshold).flatten().nonzero()[:missing, 0]
        mark.view(-1)[ties] = True
        missing -= len(ties)
    return marked


def _kth_smallest(scores: Sequence[Tensor], k: int) -> Tensor:
    low = min(float(score.min()) for score in scores if score.numel())
    high = max(float(score.max()) for score in scores if score.numel())
    if low != low or high != high:
        raise ValueError("a score is NaN: the model diverged before it was pruned")
    below, candidates = 0, sum(score.numel() for score in scores)
    while candidates > _SMALL:
        counts = torch.stack([torch.histc(score.flatten(), _BINS, low, high).long().cpu() for score in scores]).sum(0)
        reached = below + counts.cumsum(0)
        chosen = int((reached < k).sum())
        width = (high - low) / _BINS
        # One bin of margin on both sides: histc may round an edge differently from a comparison.
        new_low, new_high = max(low, low + (chosen - 1) * width), min(high, low + (chosen + 2) * width)
        inside = [int(((score >= new_low) & (score <= new_high)).sum()) for score in scores]
        if sum(inside) > candidates // 2:
            break
        low, high, candidates = new_low, new_high, sum(inside)
        below = sum(int((score < low).sum()) for score in scores)
    picked = torch.cat([score[(score >= low) & (score <= high)] for score in scores])
    return picked.kthvalue(k - below).values


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
