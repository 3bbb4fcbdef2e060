from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.report import of_task
from tests.reports.samples import row, timing

SCRIPT = Path(__file__).parents[2] / "experiments" / "report.py"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Rows and timing where a sweep started in `tmp_path` leaves them."""
    rows = [row("dense"), row("omp", 0.5), row("l0_sparsity", 0.5)]
    source = tmp_path / "output" / "tables" / "table1-tiny-espeak"
    source.mkdir(parents=True)
    (source / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (source / "timing.json").write_text(json.dumps(timing(rows)))
    return source


@pytest.fixture
def main(folder, tmp_path, monkeypatch) -> Callable[[list[str]], int]:
    """The script's main, as started in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setenv("COLUMNS", "300")
    return runpy.run_path(str(SCRIPT))["main"]


def test_runs_as_a_script_from_any_folder(folder, tmp_path):
    environment = {**os.environ, "COLUMNS": "300", "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "claims", "rows=output/tables/table1-tiny-espeak"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "need three seeds" in result.stdout
    assert (folder / "claims.md").exists()
    assert "claims.md" in result.stdout.splitlines()[-1]


def test_prints_a_table_and_writes_it_beside_its_rows(main, folder, capsys):
    assert main(["table1"]) == 0
    assert f"{row('omp', 0.5)['wer.test-clean']:.2f}" in capsys.readouterr().out
    assert (folder / "table.md").exists()


def test_rows_given_by_folder_are_left_alone(main, folder, tmp_path, capsys):
    before = sorted(path.name for path in folder.iterdir())
    assert main(["figure2", f"rows={folder}", "to=elsewhere"]) == 0
    assert "hidden dimensions" in capsys.readouterr().out
    assert (tmp_path / "elsewhere" / "figure2.svg").exists()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_rows_of_several_folders_are_one_report_and_the_last_one_of_a_run_counts(main, folder, tmp_path, capsys):
    newer = tmp_path / "newer"
    newer.mkdir()
    rows = [row("omp", 0.5), row("parp", 0.5)]
    counts = rows[0]["utterances"]["test-clean"]
    counts["errors"] = [2 * words for words in counts["words"]]
    (newer / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main(["runs", f"rows={folder},{newer}", "to=elsewhere"]) == 0
    out = capsys.readouterr().out
    for words in ("L0 (sparsity)", "PARP", "200.00"):
        assert words in out
    assert f"{row('omp', 0.5)['wer.test-clean']:.2f}" not in out


def test_seeds_can_be_chosen(main, folder, capsys):
    lines = [json.dumps({**row("omp", 0.5), "seed": seed, "run": f"omp-{seed}"}) for seed in range(3)]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    assert main(["runs", "seed=0,2", "to=elsewhere", f"rows={folder}"]) == 0
    assert "mean of seeds 0, 2" in capsys.readouterr().out


def test_any_rows_can_be_printed(main, folder, capsys):
    assert main(["runs", f"rows={folder}", "to=elsewhere"]) == 0
    out = capsys.readouterr().out
    assert "L0 (sparsity)" in out
    assert "PARP" not in out
    assert "pending" not in out


def test_rows_of_another_family_are_refused():
    with pytest.raises(ValueError, match="parp-table1 shows runs of task=ctc, these rows are of task=transducer"):
        of_task("parp-table1", [row("dense")])


def test_help_names_every_report(main, capsys):
    assert main(["--help"]) == main([]) == 0
    assert "table1, table2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel1"], "did you mean 'table1'?"),
        (["rows=x"], "name one of table1, table2"),
        (["table1", "row=x"], "unknown key 'row': did you mean 'rows'?"),
        (["table1", "seed=7"], "seed=7: no such rows; there are seeds 0"),
        (["table1", "preset=smoke"], "table1-smoke-espeak: neither rows.jsonl nor"),
    ],
)
def test_mistakes_end_with_one_line(main, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
