"""The committed rows were written by many versions of the code; this one reads and prints them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.papers import REPORTS
from prune_bench.config import from_dict
from prune_bench.reports.rows.files import read_rows, read_timing
from prune_bench.reports.tables.table import table_of

RESULTS = Path(__file__).parents[2] / "results"
FOLDERS = sorted({path.parent for path in RESULTS.glob("*/rows*.jsonl*")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_of_rows_is_read_and_printed(folder):
    rows, timing = read_rows(folder), read_timing(folder)
    for row in {row["method"]: row for row in rows}.values():
        assert from_dict(row["config"]).final.steps == row["config"]["final"]["steps"]
    named = max((name for name in REPORTS if folder.name.startswith(f"{name}-")), key=len, default="")
    report = REPORTS[named] if named else table_of(rows)
    text = " ".join(report.text(rows, timing, 200).split())
    assert f"{'ours = ' if named else ''}{rows[0]['corpus']}, preset tiny" in text


def test_there_are_folders():
    assert len(FOLDERS) > 15
