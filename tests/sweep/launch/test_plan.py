from __future__ import annotations

from prune_bench.overrides import override
from prune_bench.sweep.grid import read_grid
from prune_bench.sweep.launch.plan import plan_runs
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import unfinished, write_row
from tests.helpers.rows import finished


def plan(tmp_path, *arguments):
    return read_grid(["preset=smoke", f"output={tmp_path}", "method=omp", "sparsity=0.5", *arguments], {}).configs


def names(tasks):
    return [(task.config.method, task.config.seed, task.stage) for task in tasks]


def test_each_seed_has_one_fit_that_its_runs_wait_for(tmp_path):
    tasks = plan_runs(plan(tmp_path, "seed=0,1"))
    stages = [("dense", "fit"), ("dense", "run"), ("omp", "run")]
    assert names(tasks) == [(method, seed, stage) for seed in (0, 1) for method, stage in stages]
    assert tasks[2].after == (tasks[0],)
    assert tasks[5].after == (tasks[3],)


def test_a_dense_model_that_is_there_is_not_fitted_again(tmp_path):
    configs = plan(tmp_path)
    (run_folder(configs[0]) / "model").mkdir(parents=True)
    tasks = plan_runs(configs)
    assert names(tasks) == [("dense", 0, "run"), ("omp", 0, "run")]
    assert tasks[1].after == ()


def test_final_rows_need_nothing_and_failed_ones_a_run(tmp_path):
    configs = plan(tmp_path)
    (run_folder(configs[0]) / "model").mkdir(parents=True)
    write_row(run_folder(configs[0]), finished(configs[0]))
    write_row(run_folder(configs[1]), unfinished(configs[1], "failed", "disk full"))
    assert names(plan_runs(configs)) == [("omp", 0, "run")]
    write_row(run_folder(configs[1]), unfinished(configs[1], "infeasible", "too much"))
    assert plan_runs(configs) == []


def test_a_fit_takes_a_slot_for_each_of_its_processes(tmp_path):
    configs = plan(tmp_path, "dense.devices=2", "final.devices=3")
    assert [task.slots for task in plan_runs(configs)] == [2, 1, 3]


def test_a_row_measured_otherwise_is_measured_again_without_a_fit(tmp_path):
    configs = plan(tmp_path)
    for config in configs:
        (run_folder(config) / "model").mkdir(parents=True)
        write_row(run_folder(config), finished(config))
    changed = [override(config, {"measurement.max_symbols": 2}) for config in configs]
    assert names(plan_runs(changed)) == [("dense", 0, "run"), ("omp", 0, "run")]


def test_what_does_not_start_from_the_dense_model_is_trained_beside_it(tmp_path):
    configs = plan(tmp_path, "method=scratch")
    tasks = plan_runs(configs)
    assert names(tasks) == [("dense", 0, "fit"), ("dense", 0, "run"), ("scratch", 0, "fit"), ("scratch", 0, "run")]
    assert [len(task.after) for task in tasks] == [0, 1, 0, 2]
    (run_folder(configs[0]) / "model").mkdir(parents=True)
    assert names(plan_runs(configs)) == [("dense", 0, "run"), ("scratch", 0, "run")]
