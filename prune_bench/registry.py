"""Records by name, each in a module of its own that is imported once the record is asked for."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar


class Named(Protocol):
    """A record that knows its name."""

    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=Named)


class Registry(Generic[Record]):
    """The records that a configuration names under `key`; `modules` hold them by name, each as its `attribute`.

    Installed packages add to `modules` by entry points of `group`, which map names to modules likewise.
    """

    def __init__(self, key: str, attribute: str, modules: Mapping[str, str], group: str):
        self.key, self.attribute, self.group = key, attribute, group
        self._modules = dict(modules)
        self._records: dict[str, Record] = {}

    @cached_property
    def modules(self) -> dict[str, str]:
        """Where each record is, the installed ones after the house's own."""
        return {**{point.name: point.value for point in entry_points(group=self.group)}, **self._modules}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._modules, *self.modules, *self._records)))

    def __iter__(self) -> Iterator[Record]:
        """Every record; imports all of their modules."""
        return map(self.find, self.names)

    def find(self, name: str) -> Record:
        """The record of that name.

        Raises:
            ValueError: there is none, with a suggestion, or its module cannot be imported.
        """
        if name not in self._records:
            if name not in self.modules:
                raise ValueError(suggest(name, self.names, f"value for {self.key}:"))
            self._records[name] = record_of(self.modules[name], self.attribute)
        return self._records[name]

    def add(self, record: Record) -> None:
        """Hold a record of a plugin. ValueError if another one has its name."""
        if record.name in self.names and self.find(record.name) is not record:
            raise ValueError(f"{self.key}={record.name} is there already: give the plugin's another name")
        self._records[record.name] = record


def load(module: str) -> ModuleType:
    """Import a module by name. ValueError, in one line, where that fails."""
    try:
        return import_module(module)
    except Exception as error:  # whatever a plugin raises while it is imported
        fault = traceback.format_exception_only(error)[-1].strip().replace("\n", " ")
        raise ValueError(f"{module} cannot be imported ({fault}): correct its name or its code") from error


def record_of(module: str, attribute: str) -> Any:
    """The record that a module holds. ValueError where it has none."""
    found = getattr(load(module), attribute, None)
    if found is None:
        raise ValueError(f"{module} has no {attribute}: assign its record to that name")
    return found


def suggest(word: str, known: Sequence[str], what: str) -> str:
    """A one-line error text for an unknown word, with the nearest known one."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"unknown {what} {word!r}" + (
        f": did you mean {near[0]!r}?" if near else f": choose from {', '.join(known)}"
    )
