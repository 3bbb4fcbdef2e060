from __future__ import annotations

import csv
from itertools import pairwise

import pytest

from experiments.papers import FIGURES, TABLES
from prune_bench.families import FAMILIES
from prune_bench.reports.figures.curves import collect_curves, draw_curves
from prune_bench.reports.figures.layers import over_seeds
from prune_bench.reports.pages.styles import METHOD_STYLES, save, spread
from prune_bench.reports.rows.results import Results
from tests.reports.samples import row, timing, unfinished

FIGURE = FIGURES["figure2"]
PNG = b"\x89PNG"


def test_spread_keeps_order_and_distance_and_moves_little():
    assert spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    heights = [0.52, 0.1, 0.5, 0.51]
    placed = spread(heights, 0.1)
    assert sorted(range(4), key=placed.__getitem__) == sorted(range(4), key=heights.__getitem__)
    ordered = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(ordered))
    assert sum(placed) == pytest.approx(sum(heights))
    assert spread([], 0.1) == []


def test_seeds_of_a_layer_give_mean_and_range():
    assert over_seeds([[1, 10], [3, 10], [5, 40]]) == [(3, 1, 5), (20, 10, 40)]


def test_every_method_of_a_report_has_a_colour_and_marker_of_its_own_there():
    for report in (*TABLES.values(), *FIGURES.values()):
        methods = {str(line["method"]) for line in report.configurations(references=True)}
        styles = {method: METHOD_STYLES[method] for method in methods - {"dense", "continue_ft", "unpretrained"}}
        assert len({colour for colour, _ in styles.values()}) == len(styles)
        assert len({marker for _, marker in styles.values()}) == len(styles)


def test_curves_hold_finished_cells_by_sparsity():
    rows = [row("dense"), row("omp", 0.5), row("omp", 0.2), unfinished("svd", 0.2, "failed", "killed")]
    curves = collect_curves(TABLES["table1"].cells(), Results(rows, timing(rows[:2])))
    assert [curve.method for curve in curves] == ["dense", "omp"]
    assert [point.sparsity for point in curves[1].points] == [0.2, 0.5]
    assert [set(point.x) for point in curves[1].points] == [{"size"}, set(FAMILIES.find("transducer").axes)]


def test_curves_are_labelled_directly_and_drawn_from_large_to_small():
    rows = [row("dense"), row("omp", 0.5), row("omp", 0.2)]
    figure = draw_curves(collect_curves(TABLES["table1"].cells(), Results(rows)), "size")
    for axes in figure.axes:
        assert {text.get_text() for text in axes.texts} == {"Dense", "OMP"}
        assert axes.get_xlim()[0] > axes.get_xlim()[1]


def test_figure2_draws_modules_at_half_and_widths_at_every_target():
    rows = [row("l0_sparsity", sparsity) for sparsity in (0.2, 0.3, 0.4, 0.5)]
    left, right = FIGURE.draw(Results(rows)).axes
    assert {text.get_text() for text in left.texts} == {"FFN", "attention", "conv", "all"}
    assert {text.get_text() for text in right.texts} == {"dense", "20 %", "30 %", "40 %", "50 %"}


@pytest.mark.parametrize("sparsities", [(), (0.2,), (0.5,)])
def test_figure2_draws_what_there_is(sparsities, tmp_path):
    rows = [row("l0_sparsity", sparsity) for sparsity in sparsities]
    rows.append(unfinished("l0_sparsity", 0.4, "failed", "killed"))
    assert "L0 (sparsity) 40 %, seed 0, failed: killed" in FIGURE.text(rows)
    assert (tmp_path / "figure2.png") in FIGURE.write(rows, None, tmp_path)


def test_figure2_files(tmp_path):
    rows = [row("l0_sparsity", sparsity, seed) for sparsity in (0.3, 0.5) for seed in range(2)]
    names = {path.name for path in FIGURE.write(rows, None, tmp_path)}
    assert names == {"figure2.png", "figure2.svg", "figure2.md", "figure2.csv"} == {p.name for p in tmp_path.iterdir()}
    assert (tmp_path / "figure2.png").read_bytes()[:4] == PNG
    assert "<svg" in (tmp_path / "figure2.svg").read_text()
    with (tmp_path / "figure2.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["layer"] for line in lines] == ["1", "2", "3", "4"]
    assert float(lines[0]["hidden dimensions 50 %"]) == rows[-1]["layers"]["layers.0"]["hidden"]


def test_a_figure_gives_the_same_svg_twice(tmp_path):
    rows = [row("l0_sparsity", 0.5)]
    first, second = (save(FIGURE.draw(Results(rows)), tmp_path / name, (".svg",))[0] for name in "ab")
    assert first.read_bytes() == second.read_bytes()
