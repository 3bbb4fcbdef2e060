from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from prune_bench.data.corpora.source import SPLITS
from prune_bench.sweep import sweep
from prune_bench.sweep.grid import read_grid
from prune_bench.sweep.launch import processes
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import finished_runs, read_row, read_rows, unfinished, write_row
from prune_bench.sweep.sweep import CorpusError, Sweep
from tests.helpers.rows import finished


class Ended:
    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code

    def stop(self):
        pass


class Workers:
    """Stands for the real workers: leaves what they would leave, at once. `codes` maps task names to exit codes."""

    def __init__(self):
        self.started, self.codes = [], {}

    def __call__(self, task, foreground=False):
        name = f"{task.config.method} {task.config.seed} {task.stage}"
        self.started.append(name)
        code = self.codes.get(name, 0)
        if code == 0:
            getattr(self, task.stage)(task)
        elif code > 0 and task.stage in ("fit", "run"):
            write_row(task.folder, unfinished(task.config, "failed", f"reason of {name}"))
        return Ended(code)

    def corpus(self, task):
        pass

    def fit(self, task):
        (task.folder / "model").mkdir(parents=True)

    def run(self, task):
        errors = {"test-clean": 5, "test-other": 20}
        counts = {"utterances": {split: {"errors": [count], "words": [100]} for split, count in errors.items()}}
        numbers = {"size.blocks_nonzero": 10**6, "seconds.train": 60.0, "seconds.evaluate": 30.0}
        write_row(task.folder, finished(task.config, **counts, **numbers))

    def time(self, task):
        keys = task.config.measurement
        protocol = {"seconds": keys.timing_seconds, "rounds": keys.timing_rounds}
        runs = {run: {} for run in finished_runs(read_rows(task.folder / "rows.jsonl"))}
        (task.folder / "timing.json").write_text(json.dumps({**runs, "_protocol": protocol}))


@pytest.fixture
def workers(monkeypatch):
    found = Workers()
    monkeypatch.setattr(processes, "POLL", 0)
    monkeypatch.setattr(sweep, "start_local", found)
    return found


@pytest.fixture
def make_sweep(tmp_path):
    def make(*arguments):
        configs = read_grid(["preset=smoke", f"output={tmp_path / 'output'}", *arguments], {}).configs
        return Sweep(configs, tmp_path / "table", Console(file=io.StringIO(), width=200))

    return make


ARGUMENTS = ("method=omp,svd", "sparsity=0.5")
STAGES = ["dense 0 corpus", "dense 0 fit", "dense 0 run", "omp 0 run", "svd 0 run", "dense 0 time"]


def test_a_sweep_goes_from_corpus_to_timing(workers, make_sweep, tmp_path):
    rows = make_sweep(*ARGUMENTS).run()
    assert workers.started == STAGES
    assert [row["method"] for row in rows] == ["dense", "omp", "svd"]
    assert read_rows(tmp_path / "table" / "rows.jsonl") == rows


def test_a_finished_sweep_starts_nothing(workers, make_sweep):
    first = make_sweep(*ARGUMENTS).run()
    workers.started.clear()
    again = make_sweep(*ARGUMENTS)
    assert again.run() == first
    assert workers.started == []
    assert not again.failed


def test_runs_on_a_corpus_that_changed_are_others_under_one_name_of_the_table(workers, make_sweep, tmp_path):
    path, arguments = tmp_path / "m.jsonl", ("corpus=manifest", f"corpus.root={tmp_path / 'm.jsonl'}")
    found, names = [], []
    for text in ("one", "two"):
        path.write_text(json.dumps({"audio_filepath": "missing.wav", "text": text, "split": "dev-clean"}))
        (row,) = make_sweep("method=dense", *arguments).run()
        found.append(row["run"])
        names.append(read_grid(["method=dense", *arguments], {}).name)
    assert len(set(found)) == 2
    assert len(set(names)) == 1
    assert workers.started == 2 * ["dense 0 corpus", "dense 0 fit", "dense 0 run", "dense 0 time"]
    assert row["config"]["corpus"]["content"]["en"].keys() == set(SPLITS)


def test_a_corpus_that_is_not_there_is_named(workers, make_sweep, tmp_path, capsys):
    with pytest.raises(CorpusError):
        make_sweep("method=dense", "corpus=manifest", f"corpus.root={tmp_path}").run()
    assert "train.jsonl: no such manifest" in capsys.readouterr().err
    assert workers.started == []


def test_runs_named_by_an_earlier_version_are_left_alone_and_counted(workers, make_sweep, tmp_path):
    old = tmp_path / "output" / "runs" / "omp-0.5-s0-0123456789ab"
    old.mkdir(parents=True)
    sweep = make_sweep(*ARGUMENTS)
    sweep.run()
    shown = sweep.display.console.file.getvalue()
    assert shown.count(f"1 run in {tmp_path / 'output'}/runs is named by an earlier version: left alone") == 1
    assert old.is_dir()
    assert "omp 0 run" in workers.started


def test_a_new_row_needs_itself_and_a_new_timing_only(workers, make_sweep):
    make_sweep(*ARGUMENTS).run()
    workers.started.clear()
    make_sweep("method=omp,svd,parp", "sparsity=0.5").run()
    assert workers.started == ["dense 0 corpus", "parp 0 run", "dense 0 time"]


def test_a_failed_run_is_recorded_the_rest_goes_on_and_it_is_tried_again(workers, make_sweep):
    workers.codes = {"omp 0 run": 1}
    first = make_sweep(*ARGUMENTS)
    assert [row["status"] for row in first.run()] == ["done", "failed", "done"]
    assert first.failed
    shown = first.display.console.file.getvalue()
    assert "failed: reason of omp 0 run" in shown
    assert str(run_folder(first.configs[1]) / "log.txt") in shown
    workers.codes = {}
    workers.started.clear()
    again = make_sweep(*ARGUMENTS)
    assert {row["status"] for row in again.run()} == {"done"}
    assert workers.started == ["dense 0 corpus", "omp 0 run", "dense 0 time"]
    assert not again.failed


def test_a_worker_that_was_killed_leaves_a_row_too(workers, make_sweep):
    workers.codes = {"omp 0 run": -9}
    row = make_sweep(*ARGUMENTS).run()[1]
    assert (row["status"], row["reason"]) == ("failed", "ended by signal 9")


def test_without_its_dense_model_no_run_starts_but_other_seeds_do(workers, make_sweep):
    workers.codes = {"dense 0 fit": 1}
    rows = make_sweep("method=omp", "sparsity=0.5", "seed=0,1").run()
    assert [row["status"] for row in rows] == ["failed", "failed", "done", "done"]
    assert rows[0]["reason"] == "reason of dense 0 fit"
    assert rows[1]["reason"] == "it needs Dense, seed 0: reason of dense 0 fit"
    assert "omp 0 run" not in workers.started


def test_a_dense_model_killed_in_training_fails_its_rows(workers, make_sweep):
    workers.codes = {"dense 0 fit": -9}
    rows = make_sweep("method=omp", "sparsity=0.5").run()
    assert [row["reason"] for row in rows] == ["ended by signal 9", "it needs Dense, seed 0: ended by signal 9"]


def test_nothing_starts_without_a_corpus(workers, make_sweep):
    workers.codes = {"dense 0 corpus": 1}
    with pytest.raises(CorpusError):
        make_sweep(*ARGUMENTS).run()
    assert workers.started == ["dense 0 corpus"]


def test_a_failed_timing_is_told_and_tried_again(workers, make_sweep):
    workers.codes = {"dense 0 time": 1}
    first = make_sweep(*ARGUMENTS)
    first.run()
    assert first.failed
    assert "stage 'time' failed" in first.display.console.file.getvalue()
    workers.codes = {}
    workers.started.clear()
    make_sweep(*ARGUMENTS).run()
    assert workers.started == ["dense 0 time"]


def test_an_untimed_table_is_not_timed(workers, make_sweep):
    untimed = make_sweep(*ARGUMENTS)
    untimed.timed = False
    untimed.run()
    assert "dense 0 time" not in workers.started


def test_rows_are_shown_as_they_finish_finished_ones_first(workers, make_sweep):
    make_sweep("method=svd", "sparsity=0.5").run()
    more = make_sweep(*ARGUMENTS)
    more.run()
    lines = [line.split() for line in more.display.console.file.getvalue().splitlines() if "training" in line]
    assert [(line[0], line[1]) for line in lines] == [("1/3", "Dense,"), ("2/3", "SVD"), ("3/3", "OMP")]


def test_an_interrupted_sweep_keeps_what_is_finished(workers, make_sweep, monkeypatch):
    def interrupt(task):
        if task.config.method == "svd":
            raise KeyboardInterrupt
        Workers.run(workers, task)

    stopped = make_sweep(*ARGUMENTS)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stopped.run()
    workers.started.clear()
    make_sweep(*ARGUMENTS).run()
    assert workers.started == ["dense 0 corpus", "svd 0 run", "dense 0 time"]
    assert all(read_row(run_folder(config))["status"] == "done" for config in stopped.configs)
