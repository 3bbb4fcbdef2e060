"""What all figures share: colours, type, saving, labels beside curves."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prune_bench.files import write_file

INK, FAINT, RULE = "#222222", "#6f6f6f", "#dddddd"
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#D98E00", "#3FA3DC", "#009E73", "#0072B2", "#D55E00", "#B85F93"
# Okabe and Ito's palette, which any colour vision tells apart (three a little darker, to be read as text), with a
# marker each for print.
METHOD_STYLES = {
    "dense": (INK, "o"),
    "continue_ft": (FAINT, "o"),
    "scratch": (PURPLE, "P"),
    "omp": (ORANGE, "s"),
    "parp": (SKY, "^"),
    "svd": (GREEN, "D"),
    "l0_sparsity": (VERMILION, "o"),
    "l0_flops": (BLUE, "v"),
    "l0_without_hidden": (SKY, "^"),
    "l0_heads": (GREEN, "D"),
    "l0_without_kd": (ORANGE, "s"),
    "unpretrained": (PURPLE, "P"),
    "rp": (FAINT, "X"),
    "mpi": (PURPLE, "P"),
    "omp_continue": (ORANGE, "D"),
    "transfer": (ORANGE, "v"),
    "imp": (BLUE, "v"),
    "parp_p": (VERMILION, "o"),
    "parp_p_staged": (GREEN, "D"),
    "parp_random": (GREEN, "h"),
    "parp_transfer": (SKY, "D"),
    "taylor": (BLUE, "v"),
    "gradual": (GREEN, "D"),
    "taylor_gradual": (VERMILION, "o"),
}
LINE_STYLES = {
    **METHOD_STYLES,
    "unstructured": (VERMILION, "o"),
    "structured": (BLUE, "s"),
    "factorised": (GREEN, "D"),
    "Gradual, Taylor, straight": (SKY, "^"),
}
MODULE_STYLES = {"ffn": (VERMILION, "o"), "attention": (BLUE, "s"), "conv": (GREEN, "^"), "all": (INK, "")}
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid.axis": "y",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "svg.hashsalt": "prune-bench",
}


COLOURS, MARKERS = (ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE), "s^Dvh"


def style_of(name: str) -> tuple[str, str]:
    """Colour and marker of a method or line; one without an entry of its own always gets the same, by its name."""
    number = zlib.crc32(name.encode())
    return LINE_STYLES.get(name, (COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]))


OPTIONS: dict[str, dict[str, Any]] = {".png": {"dpi": 180}, ".svg": {"metadata": {"Date": None}}}


def save(figure: Figure, path: Path, suffixes: Sequence[str] = (".png", ".svg")) -> list[Path]:
    """Write a figure in several formats beside each other; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    paths = []
    with matplotlib.rc_context(SETTINGS):
        for suffix in suffixes:
            write = partial(figure.savefig, bbox_inches="tight", facecolor="white", **OPTIONS[suffix])
            paths.append(write_file(path.with_suffix(suffix), write))
    return paths


def label_right(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write names beside the right edge at the height of their lines, clear of each other: (name, height, colour)."""
    axes.get_ylim()  # settles the limits, which are found lazily
    to_fraction = axes.transData + axes.transAxes.inverted()
    heights = spread([to_fraction.transform((axes.get_xlim()[0], height))[1] for _, height, _ in ends], 0.05)
    for (name, _, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            name, (1, height), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", va="center",
            color=colour, size=8.5,
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights moved as little as keeps their order and puts them at least `gap` apart."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    groups: list[tuple[float, int]] = []  # centre and size of labels that touch: they spread about their mean
    for index in order:
        groups.append((heights[index], 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            (below, size), (above, count) = groups[-2:]
            groups[-2:] = [((below * size + above * count) / (size + count), size + count)]
    apart = [centre + gap * (i - (count - 1) / 2) for centre, count in groups for i in range(count)]
    return [apart[order.index(index)] for index in range(len(heights))]
