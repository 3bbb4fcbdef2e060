"""The notebooks run on rows as a sweep writes them, and are committed without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.reports import samples

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture
def rows(tmp_path, monkeypatch):
    made = [
        samples.row(method, sparsity, seed)
        for seed in (0, 1)
        for method, sparsity in (("dense", 0.0), ("omp", 0.5), ("l0_sparsity", 0.5))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    (tmp_path / "timing.json").write_text(json.dumps(samples.timing(made)))
    monkeypatch.setenv("PRUNE_BENCH_ROWS", str(tmp_path))


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    notebook = NotebookClient(nbformat.read(path, as_version=4), timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert "6 finished runs of 3 lines, seeds [0, 1]" in text
    assert "50%: L0 - OMP = -" in text
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
