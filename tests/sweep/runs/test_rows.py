from __future__ import annotations

import json
from dataclasses import replace

import pytest

from prune_bench.config import Config, to_dict
from prune_bench.files import write_text
from prune_bench.overrides import override
from prune_bench.sweep.runs.files import read_config, write_config, write_lines
from prune_bench.sweep.runs.rows import (
    finished_runs,
    is_final,
    is_timed,
    read_row,
    read_rows,
    unfinished,
    write_row,
)
from tests.helpers.rows import finished

CONFIG = replace(Config(), method="l0_flops", sparsity=0.3)


def test_writing_replaces_a_file_and_leaves_nothing_else(tmp_path):
    for text in ("one", "two"):
        write_text(tmp_path / "deep" / "file", text)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
    assert (tmp_path / "deep" / "file").read_text() == "two"


def test_a_configuration_survives_its_file(tmp_path):
    config = override(
        CONFIG,
        {
            "corpus.name": "manifest",
            "execution.slurm.partition": "gpu",
            "corpus.root": "~/a b",
            "wandb.mode": "disabled",
        },
    )
    write_config(tmp_path, config)
    assert read_config(tmp_path) == config


def test_a_folder_without_configuration_says_how_to_get_one(tmp_path):
    with pytest.raises(ValueError, match=r"config\.yaml is missing: start the run"):
        read_config(tmp_path)


def test_an_unfinished_row_names_run_reason_and_machine(tmp_path):
    write_row(tmp_path, unfinished(CONFIG, "failed", "out of memory"))
    row = read_row(tmp_path)
    assert row is not None
    expected = {
        "method": "l0_flops",
        "sparsity": 0.3,
        "target": "flops",
        "seed": 0,
        "status": "failed",
        "reason": "out of memory",
    }
    assert row.items() >= expected.items()
    assert row["versions"]["torch"]
    assert row["hardware.cores"] >= 1
    assert row["config"] == to_dict(CONFIG)


def test_no_row_is_none(tmp_path):
    assert read_row(tmp_path) is None


def test_only_done_and_infeasible_rows_are_final():
    rows = {status: unfinished(CONFIG, status, "") for status in ("infeasible", "failed")} | {"done": finished(CONFIG)}
    assert {status: is_final(row, CONFIG) for status, row in rows.items()} == {
        "done": True,
        "infeasible": True,
        "failed": False,
    }
    assert not is_final(None, CONFIG)


def test_a_row_measured_otherwise_is_not_final_but_one_timed_otherwise_is():
    row = finished(CONFIG)
    assert not is_final(row, override(CONFIG, {"measurement.max_symbols": 1}))
    assert is_final(row, override(CONFIG, {"measurement.timing_rounds": 1}))


def test_rows_survive_their_file_and_a_broken_line_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [finished(CONFIG, run=run) for run in "ab"]
    write_lines(path, rows)
    assert read_rows(path) == rows
    path.write_text(json.dumps(rows[0]) + '\n{"run"')
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: not JSON"):
        read_rows(path)
    path.write_text(json.dumps(rows[0]) + '\n{"run": "b"}')
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: a row without 'config'"):
        read_rows(path)


def test_a_table_is_timed_when_all_its_finished_rows_are_as_asked(tmp_path):
    rows = [{**finished(CONFIG), "run": run} for run in "ab"] + [unfinished(CONFIG, "failed", "")]
    assert finished_runs(rows) == ["a", "b"]
    assert not is_timed(tmp_path, rows, CONFIG)
    protocol = {"seconds": CONFIG.measurement.timing_seconds, "rounds": CONFIG.measurement.timing_rounds, "threads": 1}
    (tmp_path / "timing.json").write_text(json.dumps({"a": {}, "_protocol": protocol}))
    assert not is_timed(tmp_path, rows, CONFIG)
    (tmp_path / "timing.json").write_text(json.dumps({"a": {}, "b": {}, "_protocol": protocol}))
    assert is_timed(tmp_path, rows, CONFIG)
    assert not is_timed(tmp_path, rows, override(CONFIG, {"measurement.timing_seconds": 3.0}))
