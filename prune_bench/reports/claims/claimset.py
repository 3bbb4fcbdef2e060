"""All claims of a paper: what must run to judge them, and the judgement as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prune_bench.families import Row, find_quantity
from prune_bench.files import write_text
from prune_bench.reports.claims.claim import Claim, Evidence, Verdict
from prune_bench.reports.claims.terms import Paper
from prune_bench.reports.pages.notes import describe_runs
from prune_bench.reports.pages.sheets import (
    ALONE,
    MINUS,
    MISSING,
    Heading,
    Sheet,
    bracket,
    to_csv,
    to_latex,
    to_markdown,
    to_text,
)
from prune_bench.reports.rows.cells import value_of
from prune_bench.reports.rows.results import Results, Timing


class Report(Protocol):
    """What claims can be about: runs, and the keys that tell their settings apart."""

    @property
    def by(self) -> tuple[str, ...]: ...

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]: ...


@dataclass(frozen=True)
class ClaimGroup:
    """Claims about the runs of some reports, whose cells all use the same keys."""

    reports: tuple[Report, ...]
    claims: tuple[Claim, ...]

    @property
    def by(self) -> tuple[str, ...]:
        """The keys that tell the settings of the reports apart."""
        return tuple(sorted({key for report in self.reports for key in report.by}))

    def lines(self, extended: bool, references: bool) -> list[dict[str, object]]:
        """The runs of the reports."""
        return [line for report in self.reports for line in report.configurations(extended, references)]

    def results(self, rows: Sequence[Row], timing: Timing | None) -> Results:
        """The rows that are runs of the reports; each row counts where every line has no settings."""
        lines = self.lines(True, True)
        keys = sorted({key for line in lines for key in line} - {"method", "sparsity"})
        wanted = {(line["method"], line["sparsity"], tuple(line.get(key) for key in keys)) for line in lines}
        asked = {tuple(key for key in keys if key in line) for line in lines}

        def known(row: Row) -> bool:
            places = (tuple(value_of(row, key) if key in named else None for key in keys) for named in asked)
            return any((row["method"], row["sparsity"], place) in wanted for place in places)

        return Results([row for row in rows if known(row)] if keys else rows, timing, self.by)


@dataclass(frozen=True)
class ClaimSet:
    """The claims of a paper, each run that they need with every one of `seeds`."""

    name: str
    title: str
    groups: tuple[ClaimGroup, ...]
    paper: Paper
    setting: str
    seeds: tuple[int, ...] = (0, 1, 2)
    timed: bool = True
    compared: bool = False
    task: str = "transducer"

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run, seed by seed, as overrides of a configuration; here they name the seed."""
        lines = [line for group in self.groups for line in group.lines(extended, references)]
        unique = {tuple(sorted(line.items())): line for line in lines}.values()
        return [{**line, "seed": seed} for seed in self.seeds for line in unique]

    def judge(self, rows: Sequence[Row], timing: Timing | None = None) -> list[Verdict]:
        """Every claim; those beyond the paper only once one of their comparisons has rows."""
        return self._judge([group.results(rows, timing) for group in self.groups])

    def _judge(self, results: Sequence[Results]) -> list[Verdict]:
        judged = zip(self.groups, results, strict=True)
        verdicts = [claim.judge(results, self.paper) for group, results in judged for claim in group.claims]
        return [verdict for verdict in verdicts if verdict.seeds or not verdict.claim.beyond]

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        """Verdicts, then the evidence for each, for a terminal of `width` characters. Rows may be incomplete."""
        return "\n\n".join(to_text(sheet, width) for sheet in self.sheets(rows, timing))

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        """Write claims.md, claims.tex, claims.csv (verdicts) and evidence.csv; returns their paths.

        Raises ValueError for rows that must not be mixed.
        """
        verdicts, evidence = self.sheets(rows, timing)
        return [
            write_text(folder / "claims.md", to_markdown(verdicts) + "\n" + to_markdown(evidence)),
            write_text(folder / "claims.tex", to_latex(verdicts, self.name)),
            write_text(folder / "claims.csv", to_csv(verdicts)),
            write_text(folder / "evidence.csv", to_csv(evidence)),
        ]

    def sheets(self, rows: Sequence[Row], timing: Timing | None) -> tuple[Sheet, Sheet]:
        """The verdicts, and the evidence for each."""
        by_group = [group.results(rows, timing) for group in self.groups]
        verdicts = self._judge(by_group)
        lines = [[v.claim.text, v.ours, v.counts, v.paper] for v in verdicts]
        headings = [Heading(title) for title in ("claim", "on our rows", "comparisons", "on the published numbers")]
        notes = [f"{v.claim.text}: {v.claim.note}" for v in verdicts if v.claim.note]
        others = [row for results in by_group[1:] for row in results.done]
        origin = describe_runs(by_group[0], self.setting, rows=others, bounded=False)
        return Sheet(self.title, headings, [lines], [*notes, *origin]), _evidence_sheet(verdicts)


def _evidence_sheet(verdicts: Sequence[Verdict]) -> Sheet:
    headings = (
        Heading("comparison"),
        Heading("outcome"),
        Heading("difference", "ours"),
        Heading("of each seed", "ours", drop=1),
        Heading("difference", "paper"),
        Heading("outcome", "paper"),
    )
    blocks = [[_evidence_line(evidence) for evidence in verdict.evidence] for verdict in verdicts]
    notes = (
        "Difference: left side minus right side, with its 95 % interval; error rates in points and perplexities in "
        "hundredths of their logarithms, about percent, over seeds and utterances or sentences; all else over seeds. "
        f"{ALONE} of one seed, over utterances or sentences only. The outcome counts a margin in, the difference not.",
    )
    return Sheet("Evidence", headings, blocks, notes)


def _evidence_line(evidence: Evidence) -> list[str]:
    digits = find_quantity(evidence.comparison.a.quantity)[0].digits

    def number(value: float) -> str:
        return f"{value:+.{digits}f}".replace("-", MINUS)

    difference = evidence.difference
    ours = MISSING
    if difference is not None:
        ours = f"{number(difference.mean)}\t{bracket(difference, number)}"
    return [
        str(evidence.comparison),
        evidence.outcome,
        ours,
        "\t".join(map(number, evidence.by_seed.values())) or MISSING,
        MISSING if evidence.published_difference is None else number(evidence.published_difference),
        evidence.published or MISSING,
    ]
