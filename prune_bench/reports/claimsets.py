"""All claims of a paper: what must run to judge them, and the judgement as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prune_bench.reports.claims import Claim, Evidence, Paper, Verdict
from prune_bench.reports.files import write_text
from prune_bench.reports.notes import describe_runs
from prune_bench.reports.results import Results, Row, Timing
from prune_bench.reports.sheets import MINUS, MISSING, Heading, Sheet, to_csv, to_markdown, to_text
from prune_bench.reports.tables import Table

DIGITS = {"wer": 2, "rtf": 5, "lost": 1}


@dataclass(frozen=True)
class ClaimSet:
    """The claims of a paper about the runs of `tables`, each run with every one of `seeds`."""

    name: str
    title: str
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...]
    paper: Paper
    setting: str
    seeds: tuple[int, ...] = (0, 1, 2)
    timed: bool = True
    compared: bool = False
    task: str = "transducer"

    def configurations(self, extended: bool = False, references: bool = False) -> list[dict[str, object]]:
        """What a sweep must run, seed by seed, as overrides of a configuration; here they name the seed."""
        cells = dict.fromkeys(cell for table in self.tables for cell in table.cells(extended, references))
        return [{**cell.overrides(), "seed": seed} for seed in self.seeds for cell in cells]

    @property
    def by(self) -> tuple[str, ...]:
        """The keys that tell the settings of the tables apart."""
        return tuple(sorted({key for table in self.tables for key in table.by}))

    def judge(self, results: Results) -> list[Verdict]:
        """Every claim; those beyond the paper only once one of their comparisons has rows."""
        verdicts = [claim.judge(results, self.paper) for claim in self.claims]
        return [verdict for verdict in verdicts if verdict.seeds or not verdict.claim.beyond]

    def text(self, rows: Sequence[Row], timing: Timing | None = None, width: int | None = None) -> str:
        """Verdicts, then the evidence for each, for a terminal of `width` characters. Rows may be incomplete."""
        return "\n\n".join(to_text(sheet, width) for sheet in self.sheets(Results(rows, timing, self.by)))

    def write(self, rows: Sequence[Row], timing: Timing | None, folder: Path) -> list[Path]:
        """Write claims.md, claims.csv (verdicts) and evidence.csv; returns their paths.

        Raises ValueError for rows that must not be mixed.
        """
        verdicts, evidence = self.sheets(Results(rows, timing, self.by))
        return [
            write_text(folder / "claims.md", to_markdown(verdicts) + "\n" + to_markdown(evidence)),
            write_text(folder / "claims.csv", to_csv(verdicts)),
            write_text(folder / "evidence.csv", to_csv(evidence)),
        ]

    def sheets(self, results: Results) -> tuple[Sheet, Sheet]:
        """The verdicts, and the evidence for each."""
        verdicts = self.judge(results)
        lines = [[v.claim.text, v.ours, v.counts, v.paper] for v in verdicts]
        headings = [Heading(title) for title in ("claim", "on our rows", "comparisons", "on the published numbers")]
        notes = [f"{v.claim.text}: {v.claim.note}" for v in verdicts if v.claim.note]
        summary = Sheet(self.title, headings, [lines], [*notes, *describe_runs(results, self.setting)])
        return summary, _evidence_sheet(verdicts)


def _evidence_sheet(verdicts: Sequence[Verdict]) -> Sheet:
    headings = (
        Heading("comparison"),
        Heading("outcome"),
        Heading("difference", "ours"),
        Heading("of each seed", "ours", drop=1),
        Heading("difference", "paper"),
        Heading("outcome", "paper"),
    )
    blocks = [[_evidence_line(one) for one in verdict.evidence] for verdict in verdicts]
    notes = (
        "Difference: left side minus right side, with its 95 % interval; error rates in points, over seeds and "
        "utterances; RTF and lost weights (in % of the dense ones) over seeds.",
    )
    return Sheet("Evidence", headings, blocks, notes)


def _evidence_line(evidence: Evidence) -> list[str]:
    digits = DIGITS[evidence.comparison.a.quantity.partition(".")[0]]

    def number(value: float) -> str:
        return f"{value:+.{digits}f}".replace("-", MINUS)

    found = evidence.difference
    ours = MISSING
    if found is not None:
        interval = f"[{number(found.low)}, {number(found.high)}]" if math.isfinite(found.low) else ""
        ours = f"{number(found.mean)}\t{interval}"
    return [
        str(evidence.comparison),
        evidence.outcome,
        ours,
        "\t".join(map(number, evidence.by_seed.values())) or MISSING,
        MISSING if evidence.published_difference is None else number(evidence.published_difference),
        evidence.published or MISSING,
    ]
