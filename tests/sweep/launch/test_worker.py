from __future__ import annotations

import threading

import pytest
from filelock import FileLock
from lightning.pytorch.utilities.exceptions import SIGTERMException

from prune_bench.pruning import Infeasible
from prune_bench.sweep.launch import worker
from prune_bench.sweep.runs.files import write_config
from prune_bench.sweep.runs.rows import read_row, unfinished, write_row
from prune_bench.sweep.stages.progress import Reporter, read_progress


@pytest.fixture
def folder(make_config, tmp_path):
    write_config(tmp_path, make_config(method="omp", sparsity=0.3))
    return tmp_path


def raises(monkeypatch, error):
    def perform(folder, stage):
        raise error

    monkeypatch.setattr(worker, "perform", perform)


@pytest.mark.parametrize(("error", "reason"), [
    (RuntimeError("shapes differ"), "RuntimeError: shapes differ"),
    (ValueError("a.wav:3: truncated, remove it"), "a.wav:3: truncated, remove it"),
    (ZeroDivisionError(), "ZeroDivisionError"),
])  # fmt: skip
def test_a_failure_is_recorded_with_its_reason(folder, monkeypatch, capsys, error, reason):
    raises(monkeypatch, error)
    assert worker.main(folder) == 1
    row = read_row(folder)
    assert (row["status"], row["reason"], row["method"]) == ("failed", reason, "omp")
    assert "Traceback" in capsys.readouterr().err


def test_a_terminated_stage_does_not_pass_for_done(folder, monkeypatch):
    raises(monkeypatch, SIGTERMException())
    assert worker.main(folder, "fit") == 143
    assert read_row(folder) is None


def test_what_cannot_be_reached_is_no_failure(folder, monkeypatch):
    raises(monkeypatch, Infeasible("all heads save 12 %"))
    assert worker.main(folder) == 0
    row = read_row(folder)
    assert (row["status"], row["reason"]) == ("infeasible", "all heads save 12 %")


def test_bad_input_to_the_corpus_is_one_line(folder, monkeypatch, capsys):
    raises(monkeypatch, ValueError("a.wav:3: truncated, remove it"))
    assert worker.main(folder, "corpus") == 1
    assert capsys.readouterr().err == "a.wav:3: truncated, remove it\n"
    assert read_row(folder) is None


def test_an_attempt_forgets_the_failure_and_progress_of_the_one_before(folder, make_config, monkeypatch):
    write_row(folder, unfinished(make_config(), "failed", "disk full"))
    Reporter(folder)("training", 3, 9)
    seen = []
    monkeypatch.setattr(worker, "perform", lambda *_: seen.append((read_row(folder), read_progress(folder))))
    assert worker.main(folder) == 0
    assert seen == [(None, None)]


def test_two_workers_of_one_folder_fit_interleaved(folder, monkeypatch):
    began, order = threading.Event(), []
    monkeypatch.setattr(worker, "perform", lambda *_: order.append("worker"))

    def start():
        began.set()
        worker.main(folder)

    with FileLock(folder / ".lock"):
        thread = threading.Thread(target=start)
        thread.start()
        began.wait(10)
        thread.join(0.3)
        order.append("other")
    thread.join(10)
    assert order == ["other", "worker"]


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "SLURM_PROCID"])
def test_a_further_rank_needs_no_lock_and_records_nothing(folder, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    raises(monkeypatch, Infeasible("all heads save 12 %"))
    with FileLock(folder / ".lock"):
        assert worker.main(folder) == 0
    assert read_row(folder) is None
