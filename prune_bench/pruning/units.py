"""What a model says of its removable units, as plain data that pruning and compaction read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Slice:
    """Where units lie in one parameter: unit j owns entries [j * block, (j + 1) * block) of dimension `dim`."""

    parameter: str
    dim: int
    block: int = 1


@dataclass(frozen=True)
class UnitGroup:
    """`size` units of one kind in one place, such as the heads of a layer.

    `outputs` are the entries zeroed while a unit is masked; `inputs` stay alive until compaction deletes both, since
    a unit with both sides at zero has no gradient. Units of a group `within` another exist only where that one keeps
    them too. Parameter names are relative to the module that offers the group.
    """

    name: str
    kind: str
    size: int
    inputs: tuple[Slice, ...] = ()
    outputs: tuple[Slice, ...] = ()
    within: str | None = None

    def prefixed(self, prefix: str) -> UnitGroup:
        """The same group seen from a parent that holds the module under `prefix` (with its dot); names stay."""

        def move(places: Sequence[Slice]) -> tuple[Slice, ...]:
            return tuple(replace(place, parameter=prefix + place.parameter) for place in places)

        return replace(self, inputs=move(self.inputs), outputs=move(self.outputs))


@dataclass(frozen=True)
class CostTerm:
    """One product in a model's cost: `coefficient` times the kept counts of the named groups."""

    coefficient: float
    groups: tuple[str, ...]
