from __future__ import annotations

import io

import pytest
from rich.console import Console

from prune_bench.config import Config
from prune_bench.sweep.launch.display import Display, describe_row, duration, estimate_left, remaining
from prune_bench.sweep.launch.processes import Task
from prune_bench.sweep.stages import progress
from prune_bench.sweep.stages.progress import Progress, Reporter

TESTED = {"test-clean": {"errors": [504], "words": [10000]}, "test-other": {"errors": [20], "words": [100]}}
DONE = {"status": "done", "task": "transducer", "utterances": {"dev-clean": {}, **TESTED},
        "size.blocks_nonzero": 1_500_000, "seconds.train": 61.0, "seconds.evaluate": 9.0}  # fmt: skip
FAILED = {"status": "failed", "reason": "disk full"}


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(progress.time, "time", lambda: 50.0)
    report = Reporter(tmp_path)
    report("training", 0, 10)
    monkeypatch.setattr(progress.time, "time", lambda: 80.0)
    report("training", 5, 10)
    return Task("run", tmp_path, Config(method="omp", sparsity=0.5))


def show(task, terminal, shown=True):
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal)
    with Display(console, 3, shown) as display:
        display.show_tasks([task])
        display.show_tasks([task])
        display.show_row({**DONE}, "OMP 50 %, groups, seed 0", 1, "about 2:20 left")
    return console.file.getvalue()


def test_a_terminal_shows_a_bar_a_stage_with_the_time_left(task):
    text = show(task, terminal=True)
    for part in ("OMP 50 %, groups, seed 0, training", "5/10", "0:30 left", "about 2:20 left"):
        assert part in text


def test_elsewhere_a_stage_is_told_once_a_minute_and_rows_are_plain(task):
    assert show(task, terminal=False).splitlines() == [
        "         OMP 50 %, groups, seed 0: training 5/10 0:30 left",
        "    1/3  OMP 50 %, groups, seed 0                  "
        "test-clean, WER % 5.04  test-other, WER % 20.00  blocks 1.50 M  1:01 training",
    ]


def test_without_progress_only_rows_are_shown(task):
    assert len(show(task, terminal=True, shown=False).splitlines()) == 1


def test_a_run_without_numbers_shows_its_reason():
    assert describe_row(FAILED) == "failed: disk full"


def test_a_stage_that_has_not_begun_has_no_time_left(tmp_path):
    assert remaining(None) == ""
    assert remaining(Progress("training", 5, 10, 5, 0.0, 9.0)) == ""


def test_the_rest_of_a_sweep_is_estimated_from_finished_runs():
    assert estimate_left([DONE, FAILED, DONE], runs=7, slots=2) == "about 2:20 left"
    assert estimate_left([FAILED], runs=7, slots=2) == ""
    assert estimate_left([DONE], runs=1, slots=2) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (725, "12:05"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text
