"""Masks: exact selection by rank, set algebra, and persistence."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

PRETRAINED, CHANCE = "mpi", "rp"  # what masks of the pretrained weights, and of none, are called beside those of runs
_PIECE = 1 << 18


class Scores:
    """The scores of one tensor, computed a piece at a time, so that no copy of it is ever held.

    `score` maps flat pieces of `values` to scores of the same length; what `kept` removes scores below all others.
    `name` is that of the tensor, for messages.
    """

    def __init__(self, score: Callable[..., Tensor], *values: Tensor, kept: Tensor | None = None, name: str = ""):
        self.name = name
        self.score, self.values = score, [value.detach().reshape(-1) for value in values]
        self.shape, self.device = values[0].shape, values[0].device
        self.kept = None if kept is None else kept.to(self.device)

    @classmethod
    def of(cls, scores: Tensor | Scores, kept: Tensor | None, name: str = "") -> Scores:
        """Scores that are held already, or made a piece at a time, with others kept out."""
        if isinstance(scores, Tensor):
            return cls(itself, scores, kept=kept, name=name)
        made = cls(scores.score, *scores.values, kept=kept, name=name)
        made.shape = scores.shape
        return made

    def numel(self) -> int:
        return self.values[0].numel()

    def part(self, place: slice) -> Tensor:
        """The scores of some places of the flat tensor."""
        scores = self.score(*(value[place] for value in self.values))
        return scores if self.kept is None else scores.masked_fill(~self.kept.reshape(-1)[place], -math.inf)

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """Places and their scores, small enough for the cache."""
        for first in range(0, self.numel(), _PIECE):
            place = slice(first, first + _PIECE)
            yield place, self.part(place)


def lowest(scores: Sequence[Tensor | Scores], count: int) -> list[Tensor]:
    """Bool tensors marking exactly the `count` smallest scores over all tensors jointly.

    Exact under ties, which are common (a re-pruned tensor is full of zeros): equal scores fall in order of position.
    A sample brackets the threshold and only the scores inside the bracket are ranked, so that 10^8 scores take less
    than a second and no copy of them is made.

    Raises:
        ValueError: `count` is negative, larger than the number of scores, or a score is NaN.
    """
    ranked = [score if isinstance(score, Scores) else Scores(itself, score) for score in scores]
    total = sum(score.numel() for score in ranked)
    if not 0 <= count <= total:
        raise ValueError(f"cannot select {count} of {total} scores")
    if count in (0, total):
        return [torch.full(score.shape, count == total, dtype=torch.bool, device=score.device) for score in ranked]
    return list(_mark(ranked, *_boundary(ranked, count, total)))


def itself(score: Tensor) -> Tensor:
    """For scores that are held already."""
    return score


def _mark(scores: Sequence[Scores], threshold: float, ties: int, equals: int) -> Iterator[Tensor]:
    """For each tensor, what lies below the threshold and the first `ties` of those `equals` that equal it."""
    below = operator.le if ties == equals else operator.lt
    left = 0 if ties == equals else ties
    for score in scores:
        marks = torch.empty(score.numel(), dtype=torch.bool, device=score.device)
        for place, piece in score.pieces():
            marks[place] = _compare(below, piece, threshold)
            if left:
                equal = _compare(operator.eq, piece, threshold)
                found = _true(equal)
                if found <= left:
                    marks[place] |= equal
                else:
                    marks[place][equal.nonzero()[:left, 0]] = True
                left -= min(found, left)
        yield marks.view(score.shape)


def _boundary(scores: Sequence[Scores], k: int, total: int) -> tuple[float, int, int]:
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
        below = sum(_true(_compare(operator.lt, piece, low)) for score in scores for _, piece in score.pieces())
        if below < k:
            return low, k - below, upto - below
        low, high = -math.inf, low


def _between(scores: Sequence[Scores], low: float, high: float) -> tuple[int, Tensor]:
    """How many scores are at most `low`, and those above it up to `high`."""
    above, inside = 0, []
    for _, piece in (found for score in scores for found in score.pieces()):
        over = _compare(operator.gt, piece, low)
        above += _true(over)
        inside.append(_choose(piece, over.logical_and_(_compare(operator.le, piece, high))).cpu())
    return sum(score.numel() for score in scores) - above, torch.cat(inside)


def _bracket(scores: Sequence[Scores], k: int, total: int) -> tuple[float, float]:
    """Two values that almost surely enclose the k-th smallest, from a sample; infinite where it says too little."""
    for score, piece in ((one, piece) for one in scores for _, piece in one.pieces()):
        if bool(piece.sum().isnan()) and bool(piece.isnan().any()):
            place = f" of {score.name}" if score.name else ""
            raise ValueError(f"a score{place} is NaN: the model diverged before it was pruned")
    stride = round(total ** (1 / 3)) | 1  # as much work on the sample as on the scores that it leaves to rank
    sample = torch.cat([score.part(slice(None, None, stride)).cpu() for score in scores])
    position, margin = round(k / total * len(sample)), 3 * math.isqrt(len(sample)) + 1
    low, high = position - margin, position + margin
    return (
        float(sample.kthvalue(low + 1).values) if low >= 0 else -math.inf,
        float(sample.kthvalue(high + 1).values) if high < len(sample) else math.inf,
    )


def _compare(how: Callable[[Any, float], Any], scores: Tensor, value: float) -> Tensor:
    """Bool tensor of a comparison."""
    return torch.from_numpy(how(scores.numpy(), value)) if _suits_numpy(scores) else how(scores, value)


def _choose(scores: Tensor, mask: Tensor) -> Tensor:
    """The scores that are marked."""
    return torch.from_numpy(scores.numpy()[mask.numpy()]) if _suits_numpy(scores) else scores.masked_select(mask)


def _suits_numpy(scores: Tensor) -> bool:
    """Whether NumPy can hold them: it compares in a tenth of PyTorch's time."""
    return scores.device.type == "cpu" and scores.dtype != torch.bfloat16


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
        changed = sum(_true(mask ^ other[name]) for name, mask in self.items())
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
