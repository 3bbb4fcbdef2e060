from __future__ import annotations

import json
import re

import pytest

from experiments.papers import TABLES
from prune_bench.reports.figures.curves import collect_curves
from prune_bench.reports.pages.styles import LINE_STYLES, MARKERS
from prune_bench.reports.rows.results import Results
from prune_bench.reports.tables.dashboards import SYMBOLS, plot_curves, write_dashboard
from tests.reports.samples import row, timing, unfinished

TABLE = TABLES["table1"]


@pytest.fixture(scope="module")
def results() -> Results:
    rows = [row("dense"), row("continue_ft"), row("omp", 0.2), row("omp", 0.5), unfinished("svd", 0.2, "failed", "<b>")]
    return Results(rows, timing(rows))


def test_page_stands_alone_with_curves_and_table(results, tmp_path):
    write_dashboard(TABLE.sheet(results), collect_curves(TABLE.cells(), results), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r'src="([^"]+)"', page) == ["plotly.min.js"]
    assert "http" not in page
    assert re.findall(r'Plotly.newPlot\(\s*"([\w-]+)"', page) == ["wer-size", "wer-rtf", "wer-rtf-onnx"]
    assert page.count("<tr>") == 2 + 22
    assert "&lt;b&gt;" in page
    plots = re.findall(r'Plotly.newPlot\(\s*"[\w-]+",\s*(\[.*\]),', page)
    assert len(plots) == 3
    for data in plots:
        traces, _ = json.JSONDecoder().raw_decode(data)
        assert {trace["name"] for trace in traces} == {"Dense", "Dense, trained on", "OMP"}


def test_plots_wait_for_timing(results, tmp_path):
    untimed = Results(results.rows)
    write_dashboard(TABLE.sheet(untimed), collect_curves(TABLE.cells(), untimed), tmp_path)
    assert re.findall(r'newPlot\(\s*"([\w-]+)"', (tmp_path / "index.html").read_text()) == ["wer-size"]


def test_script_is_written_once(results, tmp_path):
    sheet, curves = TABLE.sheet(results), collect_curves(TABLE.cells(), results)
    _, script = write_dashboard(sheet, curves, tmp_path)
    before = script.stat()
    write_dashboard(sheet, curves, tmp_path)
    assert script.stat().st_ino == before.st_ino
    assert before.st_size > 1_000_000


def test_a_methods_two_panels_hide_together_and_carry_intervals(results):
    figure = plot_curves(collect_curves(TABLE.cells(), results), "size")
    omp = [trace for trace in figure.data if trace.name == "OMP"]
    assert [trace.legendgroup for trace in omp] == ["omp", "omp"]
    assert [trace.showlegend for trace in omp] == [True, False]
    one = row("omp", 0.5)
    assert omp[0].x[0] == pytest.approx(one["size.blocks_nonzero"] / 1e6)
    assert omp[0].error_y.array[0] == pytest.approx(one["wer.test-clean.high"] - one["wer.test-clean"])


def test_every_marker_has_a_symbol():
    assert {marker for _, marker in LINE_STYLES.values()} | set(MARKERS) <= SYMBOLS.keys()
