"""Which languages and sparsities the tables and figures cover: of a command, or of finished rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prune_bench.families import Row
from prune_bench.registry import suggest
from prune_bench.reports.rows.cells import Setting, value_of
from prune_bench.reports.rows.results import Timing

from .published import ALL_LANGUAGES, DUTCH


@dataclass(frozen=True)
class Scope:
    """`languages` of the multilingual reports, and `sparsities` of those that vary them."""

    languages: tuple[str, ...] = ("es", "fr", "it", "nl", "ru")
    sparsities: tuple[float, ...] = (0.2, 0.5, 0.7, 0.8, 0.9)

    @property
    def each(self) -> tuple[Setting, ...]:
        """A setting for each language."""
        return tuple((("corpus.language", language),) for language in self.languages)


SCOPES = {"smoke": Scope(("es", DUTCH), (0.5, 0.9))}


def scope_of(rows: Sequence[Row]) -> Scope:
    """What finished rows cover; the default where they do not say."""
    spoken = [row for row in rows if value_of(row, "corpus.targets") == "phones"]
    phones = {value_of(row, "corpus.language") for row in spoken}
    phones |= {language for row in spoken for language in value_of(row, "corpus.joint").split("+")}
    varied = {row["sparsity"] for row in rows if row["sparsity"] and value_of(row, "corpus.labels") != "10min"}
    default = Scope()
    languages = tuple(sorted(phones - {""}, key=[*ALL_LANGUAGES, *sorted(phones)].index))
    return Scope(languages or default.languages, tuple(sorted(varied)) or default.sparsities)


@dataclass(frozen=True)
class ScopedReport:
    """A table, a figure or the claims, made for a scope by `make`; it prints what its rows cover."""

    name: str
    make: Callable[[Scope], Any]
    scope: Scope = field(default_factory=Scope)

    def narrowed(self, preset: str, words: Mapping[str, Sequence[str]], corpus: str = "espeak") -> ScopedReport:
        """The report for the `languages` and `sparsity` of a command line, or for what its preset covers.

        Raises ValueError, with a suggestion, for a language that the synthetic corpus does not have.
        """
        scope = SCOPES.get(preset, self.scope)
        languages, sparsities = scope.languages, scope.sparsities
        if "languages" in words:
            languages = ALL_LANGUAGES if list(words["languages"]) == ["all"] else tuple(words["languages"])
        unknown = [language for language in languages if language not in ALL_LANGUAGES]
        if unknown and corpus == "espeak":
            raise ValueError(suggest(unknown[0], [*ALL_LANGUAGES, "all"], "value for languages:"))
        if "sparsity" in words:
            sparsities = tuple(float(word) for word in words["sparsity"])
        return ScopedReport(self.name, self.make, Scope(languages, sparsities))

    @property
    def report(self) -> Any:
        return self.make(self.scope)

    @property
    def title(self) -> str:
        return self.report.title

    @property
    def task(self) -> str:
        return self.report.task

    @property
    def timed(self) -> bool:
        return self.report.timed

    @property
    def compared(self) -> bool:
        return self.report.compared

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run, as overrides of a configuration."""
        return self.report.configurations(extended, references)

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        return self.make(scope_of(rows)).text(rows, timing, width)

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        return self.make(scope_of(rows)).write(rows, timing, folder)
