"""Groups of weights as units: heads, FFN channels and whole modules that a smaller dense model can do without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from prune_bench.pruning.allocation import Ranked
from prune_bench.pruning.criteria import gate_gradient
from prune_bench.pruning.examples import ExampleGradients, find_readers
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.structures import NOTHING, Masks, Score, Zeroing, lower, whole
from prune_bench.pruning.units import Slice, UnitGroup


class Groups:
    """Heads, FFN channels and whole convolution modules, ranked together by root mean square.

    `score_side` says which of a group's weights are scored: "all", or "outputs" for free revival, where untouched
    input weights would otherwise keep every removed group's score high. Only the output side is ever zeroed: with
    both sides at zero every gradient of the group vanishes and it could never revive.
    """

    replaced: tuple[Tensor, ...] = ()

    def __init__(
        self, model: nn.Module, targets: Mapping[str, Tensor], groups: Sequence[UnitGroup], score_side: str = "all"
    ):
        self.parameters = dict(model.named_parameters())
        self.targets = dict(targets)
        self.layers, self.model = owners(model, self.targets), model
        self.groups = {group.name: group for group in groups}
        self.score_side = score_side
        self.total = sum(weight.numel() for weight in self.targets.values())
        self.costs = {group.name: self._cost(group) for group in groups}
        self.most = sum(self.costs[group.name] * group.size for group in groups) / self.total
        self.grain = max(self.costs.values(), default=0) / self.total
        self.apply = Zeroing(self.factors)

    def _cost(self, group: UnitGroup) -> int:
        """Target weights that go with one unit."""
        places = (place for place in (*group.inputs, *group.outputs) if place.parameter in self.targets)
        return sum(self.targets[place.parameter].numel() for place in places) // group.size

    def _scores(self, group: UnitGroup, score: Score) -> Tensor:
        sides = group.outputs if self.score_side == "outputs" else (*group.inputs, *group.outputs)
        places = [place for place in sides if place.parameter in self.targets]
        square, count = torch.zeros(group.size), 0
        for place in places:
            weight = self.targets[place.parameter]
            scores = whole(score(place.parameter, weight)).movedim(place.dim, 0)
            square = square.to(scores.device) + scores.reshape(group.size, -1).square().sum(1)
            count += weight.numel() // group.size
        return (square / count).sqrt()

    def scores(self, score: Score, kept: Masks = NOTHING) -> dict[str, Tensor]:
        return lower({name: self._scores(group, score) for name, group in self.groups.items()}, kept)

    def watch(self) -> ExampleGradients:
        each = self.groups.values()
        return ExampleGradients({one.name: find_readers(self.model, one.outputs, one.size) for one in each})

    def changes(self) -> Iterator[tuple[str, Tensor]]:
        for name, group in self.groups.items():
            sides = [(place, self.parameters[place.parameter]) for place in group.outputs]
            gates = [gate_gradient(p, p.grad, place.dim, place.block) for place, p in sides if p.grad is not None]
            if gates:
                yield name, torch.stack(gates).sum(0)

    def rank(self, squares: Mapping[str, Tensor], kept: Masks = NOTHING) -> dict[str, Tensor]:
        """By what a unit matters for each weight that goes with it, since units are of unequal size."""
        zeros = {name: torch.zeros(shape) for name, shape in self.shapes().items()}
        return lower({name: square / self.costs[name] for name, square in {**zeros, **squares}.items()}, kept)

    def select(self, scores: Ranked, sparsity: float) -> MaskSet:
        held = {name: one for name, one in scores.items() if isinstance(one, Tensor)}
        return remove_units(held, self.costs, round(sparsity * self.total))

    def factors(self, masks: Masks) -> Iterator[tuple[Tensor, Tensor]]:
        return output_factors(self.parameters, self.groups.values(), masks)

    def achieved(self, masks: MaskSet) -> float:
        removed = sum(int((~mask).sum()) * self.costs[name] for name, mask in masks.items())
        return removed / self.total

    def shapes(self) -> dict[str, torch.Size]:
        return {name: torch.Size([group.size]) for name, group in self.groups.items()}

    def zeroed(self) -> Iterable[Tensor]:
        names = {place.parameter for group in self.groups.values() for place in group.outputs}
        return [self.parameters[name] for name in sorted(names)]


def owners(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Module]:
    """The modules that own the parameters of these names."""
    return {name: model.get_submodule(name.rpartition(".")[0]) for name in names}


def output_factors(
    parameters: Mapping[str, Tensor], groups: Iterable[UnitGroup], values: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each parameter on an output side, with the units' values in a shape that multiplies it."""
    for group in groups:
        for place in group.outputs:
            parameter = parameters[place.parameter]
            yield parameter, spread(values[group.name], place, parameter.dim())


def spread(values: Tensor, place: Slice, dims: int) -> Tensor:
    """The units' values in a shape that multiplies the parameter of `dims` dimensions in which they lie."""
    each = values if place.block == 1 else values.repeat_interleave(place.block)
    return each.view([-1 if dim == place.dim else 1 for dim in range(dims)])


def scale_outputs(parameters: Mapping[str, Tensor], groups: Iterable[UnitGroup], values: Mapping[str, Tensor]) -> None:
    """Multiply each unit's output side, in place, by its value: zeroing for masks, folding for soft gates."""
    for parameter, factor in output_factors(parameters, groups, values):
        parameter.data.mul_(factor.to(parameter))


def remove_units(scores: Mapping[str, Tensor], costs: Mapping[str, int], budget: int) -> MaskSet:
    """Remove units in order of score until what is removed costs `budget`, exactly or less by under one smallest unit.

    A unit too large for what is left of the budget goes all the same if removed units of the smallest kind can be
    given back for it, highest scores first; otherwise it is passed over.

    Raises:
        ValueError: a score is NaN.
    """
    if any(bool(score.isnan().any()) for score in scores.values()):
        raise ValueError("a score is NaN: the model diverged before it was pruned")
    kept = {name: [True] * score.numel() for name, score in scores.items()}
    owners = [(name, index) for name, score in scores.items() for index in range(score.numel())]
    order = torch.cat([score.flatten() for score in scores.values()]).argsort(stable=True).tolist()
    smallest, small = min(costs.values()), list[tuple[str, int]]()
    for name, index in (owners[position] for position in order):
        if budget < smallest:
            break
        returned = max(0, -((budget - costs[name]) // smallest))
        if returned > len(small):
            continue
        kept[name][index] = False
        budget += returned * smallest - costs[name]
        for _ in range(returned):
            back, place = small.pop()
            kept[back][place] = True
        if costs[name] == smallest:
            small.append((name, index))
    return MaskSet({name: torch.tensor(values) for name, values in kept.items()})
