"""Records by name, each in a module of its own that is imported once the record is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """A record that knows its name."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


class Registry(Generic[Record]):
    """The records that a configuration names under `key`; `modules` hold them by name, each as its `attribute`."""

    def __init__(self, key: str, attribute: str, modules: Mapping[str, str]):
        self.key, self.attribute = key, attribute
        self._modules = dict(modules)
        self._records: dict[str, Record] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._modules, *self._records)))

    def __iter__(self) -> Iterator[Record]:
        """Every record; imports all of their modules."""
        return map(self.find, self.names)

    def find(self, name: str) -> Record:
        """The record of that name. ValueError, with a suggestion, where there is none."""
        if name not in self._records:
            if name not in self._modules:
                raise ValueError(suggest(name, self.names, f"value for {self.key}:"))
            self._records[name] = getattr(import_module(self._modules[name]), self.attribute)
        return self._records[name]


def suggest(word: str, known: Sequence[str], what: str) -> str:
    """A one-line error text for an unknown word, with the nearest known one."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"unknown {what} {word!r}" + (
        f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(known)}"
    )
