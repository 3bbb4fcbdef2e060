from __future__ import annotations

import pytest

from prune_bench.measurement.intervals import Estimate
from prune_bench.reports.pages.sheets import Heading, Sheet, bracket, to_csv, to_html, to_latex, to_markdown, to_text


@pytest.fixture
def sheet() -> Sheet:
    headings = [
        Heading("%"),
        Heading("method"),
        Heading("ours", "WER"),
        Heading("paper", "WER", drop=1),
        Heading("x", drop=2),
    ]
    blocks = [
        [["0", "Dense", "8.1\t[7.9, 8.3]", "2.86", "a_b"]],
        [["20", "OMP", "12.3\t[11.2, 13.4]", "3.12", "50 %"], ["20", "A|B", "failed", "–", "–"]],
    ]
    return Sheet("A title", headings, blocks, ["Some note.", "Another & last."])


def test_text_aligns_the_parts_of_cells_below_each_other(sheet):
    lines = to_text(sheet).splitlines()
    dense, omp, failed = (next(line for line in lines if name in line) for name in ("Dense", "OMP", "A|B"))
    assert dense.index(".1") == omp.index(".3")
    assert dense.index("]") == omp.index("]") == failed.index("failed") + len("failed") - 1
    assert len({len(line) for line in lines[1:-2]}) == 1


def test_text_names_groups_over_their_columns(sheet):
    lines = to_text(sheet).splitlines()
    groups, titles = lines[2], lines[3]
    assert "─ WER ─" in groups
    assert groups.rindex("─") == titles.index("paper") + len("paper") - 1
    assert groups.index("─") == lines[5].index("8.1") - 1


def test_text_leaves_out_optional_columns_for_width_and_says_so(sheet):
    full = to_text(sheet)
    longest = max(map(len, full.splitlines()))
    assert "Left out" not in to_text(sheet, longest)
    narrow = to_text(sheet, longest - 1)
    assert "a_b" not in narrow
    assert "3.12" in narrow
    assert "Left out for width: x." in narrow
    narrowest = to_text(sheet, 10)
    assert "3.12" not in narrowest
    assert "12.3" in narrowest


def test_a_sheet_without_groups_has_one_line_of_headings():
    lines = to_text(Sheet("T", [Heading("a"), Heading("b")], [[["1", "2"]]])).splitlines()
    assert lines[2].split() == ["a", "b"]
    assert lines[4].split() == ["1", "2"]


def test_markdown_has_one_line_a_row_and_as_many_cells_as_headings(sheet):
    lines = [line for line in to_markdown(sheet).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}
    assert "| WER ours |" in lines[0]
    assert "| 12.3 [11.2, 13.4] |" in lines[3]


def test_latex_escapes_and_spans(sheet):
    text = to_latex(sheet, "table1")
    assert r"\multicolumn{2}{c}{WER}" in text
    assert r"\cmidrule(lr){3-4}" in text
    assert r"a\_b \\" in text
    assert r"50\,\% \\" in text
    assert r"Another \& last." in text
    assert text.count("{") == text.count("}")
    rows = [line for line in text.splitlines() if line.startswith(("0 &", "20 &"))]
    assert {line.count(" & ") for line in rows} == {4}


def test_html_escapes_text(sheet):
    evil = Sheet(sheet.title, sheet.headings, [[["<script>", "&", "", "", ""]]], ["<b>"])
    text = to_html(evil)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<li>&lt;b&gt;</li>" in text
    assert text.count("<td>") == 5


def test_csv_quotes_cells(sheet):
    lines = to_csv(sheet).splitlines()
    assert lines[0] == "%,method,WER ours,WER paper,x"
    assert len(lines) == 4


def test_an_interval_of_one_seed_is_marked_and_a_missing_one_is_blank():
    assert bracket(Estimate(2.0, 1.0, 3.0, seeds=3), "{:.1f}".format) == "[1.0, 3.0]"
    assert bracket(Estimate(2.0, 0.0, 3.0, seeds=1), "{:.1f}".format) == "[0.0, 3.0]*"
    assert bracket(Estimate(2.0), "{:.1f}".format) == ""
