"""What a value on an axis of the methods table says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

NOTHING: Mapping[str, str] = MappingProxyType({})


MASKS, FACTORS, GATES = "masks", "factors", "gates"


class Axis:
    """`label` names it in tables, `knobs` are those that shape it, `refuses` are the structures that it cannot go with,
    with the reason. `means` are the ways of pruning that can execute it: masks, factors or gates.
    """

    label: ClassVar[str] = ""
    knobs: ClassVar[tuple[str, ...]] = ()
    refuses: ClassVar[Mapping[str, str]] = NOTHING
    means: ClassVar[tuple[str, ...]] = (MASKS,)

    def __str__(self) -> str:
        return self.label
