"""A family of another's, in a module of its own, through the public command: rows, a table, a figure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = ["task=toy", "preset=smoke", "method=omp", "sparsity=0.5,0.8", "wandb.mode=disabled"]


def run(script, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, f"experiments/{script}.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A dense run and two sparsities of one method, each in a worker of its own."""
    output = tmp_path_factory.mktemp("output")
    return output, run("sweep", "plugins=tests.families.toy", *RUNS, f"output={output}")


def test_a_sweep_prints_a_table_and_draws_a_figure(sweep):
    output, result = sweep
    assert result.returncode == 0, result.stdout + result.stderr
    (folder,) = (output / "tables").iterdir()
    rows = {row["method"] + f"{row['sparsity']:g}": row for row in read(folder / "rows.jsonl")}
    assert rows.keys() == {"dense0", "omp0.5", "omp0.8"}
    assert {row["status"] for row in rows.values()} == {"done"}
    assert {row["corpus"] for row in rows.values()} == {"clouds"}
    assert rows["omp0.8"]["achieved"] == pytest.approx(0.8, abs=0.01)
    assert rows["omp0.8"]["size.blocks_nonzero"] < rows["omp0.5"]["size.blocks_nonzero"]
    wrong = rows["dense0"]["points"]["test"]["wrong"]
    assert 100 * sum(wrong) / len(wrong) < 50  # chance is 75 %
    assert f"{100 * sum(wrong) / len(wrong):.2f}" in result.stdout
    assert "errors, %" in result.stdout
    assert {"error-size.png", "error-size.svg", "index.html", "table.md", "table.csv"} <= {
        p.name for p in folder.iterdir()
    }


def test_its_section_names_runs_and_is_checked(sweep, tmp_path):
    output, _ = sweep
    (dense,) = (output / "runs").glob("dense-*")
    assert "hidden: 16" in (dense / "config.yaml").read_text()
    assert "plugins: tests.families.toy" in (dense / "config.yaml").read_text()
    wrong = run("sweep", "plugins=tests.families.toy", *RUNS, f"output={tmp_path}", "toy.hiden=8")
    assert (wrong.returncode, wrong.stderr) == (2, "sweep.py: unknown key 'toy.hiden': did you mean 'toy.hidden'?\n")


def test_rows_print_where_the_plugin_is_named(sweep, tmp_path):
    output, result = sweep
    (folder,) = (output / "tables").iterdir()
    words = ["runs", f"rows={folder}", f"to={tmp_path}"]
    again = run("report", *words, "plugins=tests.families.toy")
    assert again.returncode == 0, again.stderr
    assert set(again.stdout.splitlines()) & set(result.stdout.splitlines()) >= {"Runs"}
    unknown = run("report", *words)
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert "unknown value for task: 'toy'" in unknown.stderr


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]
