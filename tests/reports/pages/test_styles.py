"""Colours and markers of methods, those nobody chose included."""

from __future__ import annotations

import subprocess
import sys

from prune_bench.reports.pages.styles import COLOURS, MARKERS, METHOD_STYLES, style_of


def test_a_chosen_style_is_taken():
    assert {name: style_of(name) for name in METHOD_STYLES} == METHOD_STYLES


def test_a_method_without_a_style_gets_one_that_is_the_same_in_every_process():
    names = [f"method{number}" for number in range(60)]
    styles = [style_of(name) for name in names]
    command = f"from prune_bench.reports.pages.styles import style_of; print([style_of(name) for name in {names}])"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout == f"{styles}\n"
    assert {colour for colour, _ in styles} == set(COLOURS)
    assert {marker for _, marker in styles} == set(MARKERS)
