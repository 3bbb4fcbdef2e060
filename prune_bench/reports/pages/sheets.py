"""A finished table as text cells, and its four layouts: terminal, Markdown, LaTeX, HTML."""

from __future__ import annotations

import csv
import html
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from prune_bench.measurement.intervals import Estimate

MINUS = "\N{MINUS SIGN}"
MISSING = "–"
GAP = "  "
ALONE = "*"  # marks an interval of one seed


@dataclass(frozen=True)
class Heading:
    """A column's title, the group it stands under, and when it goes: a narrow terminal drops the highest first."""

    title: str
    group: str = ""
    drop: int = 0


@dataclass(frozen=True)
class Sheet:
    """Text of a table. Within a cell, a tab separates the parts that align below each other.

    `blocks` are runs of lines with a rule between them; the first two columns are set to the left.
    """

    title: str
    headings: Sequence[Heading]
    blocks: Sequence[Sequence[Sequence[str]]]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def lines(self) -> list[Sequence[str]]:
        return [line for block in self.blocks for line in block]

    def without(self, column: int) -> Sheet:
        """The sheet less one column."""

        def cut(line: Sequence) -> list:
            return [*line[:column], *line[column + 1 :]]

        blocks = [[cut(line) for line in block] for block in self.blocks]
        return Sheet(self.title, cut(self.headings), blocks, self.notes)


def bracket(estimate: Estimate, number: Callable[[float], str]) -> str:
    """The interval as `[low, high]`, marked where it is of one seed, over utterances only; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"[{number(estimate.low)}, {number(estimate.high)}]{ALONE if estimate.seeds == 1 else ''}"


def to_text(sheet: Sheet, width: int | None = None) -> str:
    """Fixed-width text. With `width`, optional columns are left out until the lines fit, and the last note says so."""
    table, dropped = _table(sheet), []
    while width and len(table[0]) > width and max(heading.drop for heading in sheet.headings):
        drops = [heading.drop for heading in sheet.headings]
        column = len(drops) - 1 - drops[::-1].index(max(drops))
        heading = sheet.headings[column]
        dropped.append(f"{heading.group} {heading.title}".strip())
        sheet = sheet.without(column)
        table = _table(sheet)
    notes = [*sheet.notes, *([f"Left out for width: {', '.join(reversed(dropped))}."] if dropped else [])]
    wrapped = [line for note in notes for line in textwrap.wrap(note, len(table[0]))]
    return "\n".join([sheet.title, *table, *wrapped])


def _table(sheet: Sheet) -> list[str]:
    """The aligned lines, all of one length: rule, groups, titles, rule, blocks with rules between, rule."""
    aligned = [_align([line[i] for line in sheet.lines], left=i < 2) for i in range(len(sheet.headings))]
    widths = [max(len(h.title), *map(len, cells), 0) for h, cells in zip(sheet.headings, aligned, strict=True)]
    for group, members in groupby(range(len(widths)), key=lambda i: sheet.headings[i].group):
        columns = list(members)
        missing = len(group) - sum(widths[i] for i in columns) - len(GAP) * (len(columns) - 1)
        widths[columns[-1]] += max(0, missing)

    def join(cells: Sequence[str]) -> str:
        pads = (cell.ljust if i < 2 else cell.rjust for i, cell in enumerate(cells))
        return GAP.join(pad(width) for pad, width in zip(pads, widths, strict=True))

    rows = [join(cells) for cells in zip(*aligned, strict=True)]
    titles = join([heading.title for heading in sheet.headings])
    body: list[str] = []
    for block in sheet.blocks:
        body += ["─" * len(titles), *rows[: len(block)]]
        del rows[: len(block)]
    groups = [_groups(sheet.headings, widths)] if any(heading.group for heading in sheet.headings) else []
    return ["━" * len(titles), *groups, titles, *body, "━" * len(titles)]


def _groups(headings: Sequence[Heading], widths: Sequence[int]) -> str:
    """The line above the titles: each group's name on a rule over its columns."""
    spans = []
    for group, members in groupby(zip(headings, widths, strict=True), key=lambda pair: pair[0].group):
        extent = [width for _, width in members]
        span = sum(extent) + len(GAP) * (len(extent) - 1)
        spans.append(f" {group} ".center(span, "─") if group and span > len(group) + 3 else group.rjust(span))
    return GAP.join(spans)


def _align(cells: Sequence[str], left: bool) -> list[str]:
    """Cells padded to one length, those of several tab-separated parts so that the parts stand below each other."""
    parts = [cell.split("\t") for cell in cells]
    count = max(map(len, parts), default=1)
    widths = [max((len(part[i]) for part in parts if len(part) == count > 1), default=0) for i in range(count)]
    joined = [" ".join(text.rjust(width) for text, width in zip(part, widths, strict=False)) for part in parts]
    whole = [text if len(part) == count else part[0] for text, part in zip(joined, parts, strict=True)]
    longest = max(map(len, whole), default=0)
    return [text.ljust(longest) if left else text.rjust(longest) for text in whole]


def to_markdown(sheet: Sheet) -> str:
    """A GitHub table under its title, with the notes as a list."""

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("\t", " ").strip().replace("|", "\\|") for cell in cells) + " |"

    titles = [f"{heading.group} {heading.title}".strip() for heading in sheet.headings]
    rule = "|" + "|".join(":--" if i < 2 else "--:" for i in range(len(titles))) + "|"
    notes = [f"- {note}" for note in sheet.notes]
    return "\n".join([f"### {sheet.title}", "", row(titles), rule, *map(row, sheet.lines), "", *notes, ""])


def to_latex(sheet: Sheet, label: str) -> str:
    r"""A `table*` for the booktabs package. Needs `\usepackage{booktabs,graphicx}`."""
    spans = [(group, len(list(members))) for group, members in groupby(sheet.headings, key=lambda h: h.group)]
    rules, first = [], 1
    for group, count in spans:
        rules += [rf"\cmidrule(lr){{{first}-{first + count - 1}}}"] if group else []
        first += count

    def row(cells: Sequence[str]) -> str:
        return " & ".join(map(_escape, cells)) + r" \\"

    blocks = ["\n".join(map(row, block)) for block in sheet.blocks]
    return "\n".join(
        [
            r"\begin{table*}\centering",
            rf"\caption{{{_escape(sheet.title)}}}\label{{tab:{label}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{ll{'r' * (len(sheet.headings) - 2)}}}",
            r"\toprule",
            " & ".join(rf"\multicolumn{{{count}}}{{c}}{{{_escape(group)}}}" for group, count in spans) + r" \\",
            " ".join(rules),
            row([heading.title for heading in sheet.headings]),
            r"\midrule",
            "\n\\midrule\n".join(blocks),
            r"\bottomrule",
            r"\end{tabular}}",
            *([r"\par\smallskip\footnotesize " + " ".join(map(_escape, sheet.notes))] if sheet.notes else []),
            r"\end{table*}",
            "",
        ]
    )


def _escape(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    text = re.sub(r"[\t ]+", " ", text).strip()
    text = re.sub(r"[\\~^<>&%$#_{}]", lambda match: special.get(match[0], "\\" + match[0]), text)
    return text.replace(" \\%", "\\,\\%").replace(MINUS, "$-$").replace(MISSING, "--")


def to_csv(sheet: Sheet) -> str:
    """The cells as they stand, a line of headings first."""
    buffer = io.StringIO()
    lines = [[f"{heading.group} {heading.title}".strip() for heading in sheet.headings], *sheet.lines]
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def to_html(sheet: Sheet) -> str:
    """A `<table>` with grouped headings and a list of notes, without styles."""
    groups = [(group, len(list(members))) for group, members in groupby(sheet.headings, key=lambda h: h.group)]
    top = "".join(f'<th colspan="{count}" scope="colgroup">{html.escape(group)}</th>' for group, count in groups)
    titles = "".join(f'<th scope="col">{html.escape(heading.title)}</th>' for heading in sheet.headings)

    def row(cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<td>{html.escape(cell.replace(chr(9), ' '))}</td>" for cell in cells) + "</tr>"

    bodies = "\n".join("<tbody>" + "\n".join(map(row, block)) + "</tbody>" for block in sheet.blocks)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in sheet.notes)
    return f"<table>\n<thead><tr>{top}</tr>\n<tr>{titles}</tr></thead>\n{bodies}\n</table>\n<ul>{notes}</ul>"
