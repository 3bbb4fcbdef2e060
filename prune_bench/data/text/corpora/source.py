"""What every corpus of text is: files of its own, or a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prune_bench.config import TextConfig


class TextLine(NamedTuple):
    """A line and where it stands, in words."""

    text: str
    place: str


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A corpus of text, as the configuration names it under `text.name`.

    Attributes:
        files: Its files of the splits `train`, `dev` and `test` in folder `text.root`, joined with `+`. What the
            configuration names itself goes before.
        generate: The lines to train on where no file is named.
        fingerprint: JSON value that changes whenever the generated lines would.
    """

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    generate: Callable[[TextConfig], Iterator[TextLine]] | None = None
    fingerprint: Callable[[TextConfig], Any] = lambda config: None
