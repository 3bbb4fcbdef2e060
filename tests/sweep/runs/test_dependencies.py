"""What a run needs before it can start: pretraining, dense model, rounds, the other language."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prune_bench.families import preset
from prune_bench.overrides import override
from prune_bench.sweep.launch.plan import plan_runs
from prune_bench.sweep.runs.dependencies import (
    fine_tunings,
    fit_config,
    initial_run,
    mask_run,
    normalise,
    run_id,
    with_dependencies,
)
from prune_bench.sweep.runs.folders import run_folder

BASE = override(preset("tiny", "ctc"), {"method": "parp", "sparsity": 0.9})


def make(method, sparsity=0.9, **changes):
    values = {key.replace("__", "."): value for key, value in changes.items()}
    return override(BASE, {"method": method, "sparsity": sparsity, **values})


def names(configs):
    return [(config.method, config.sparsity) for config in configs]


@pytest.mark.parametrize(("method", "needed"), [
    ("dense", ["pretraining"]),
    ("unpretrained", []),
    ("continue_ft", ["pretraining", "dense"]),
    ("rp", ["pretraining"]),
    ("mpi", ["pretraining"]),
    ("omp", ["pretraining", "dense"]),
    ("omp_continue", ["pretraining", "dense"]),
    ("parp", ["pretraining"]),
    ("parp_p", ["pretraining"]),
    ("parp_p_staged", ["pretraining", "parp_p"]),
    ("parp_random", ["pretraining"]),
])  # fmt: skip
def test_each_method_needs_what_its_paper_says(method, needed):
    assert [config.method for config in with_dependencies(make(method))[:-1]] == needed


@pytest.mark.parametrize(("method", "count"), [
    ("dense", 1), ("rp", 1), ("mpi", 1), ("omp", 2), ("imp", 10), ("parp", 1), ("parp_p", 1), ("parp_p_staged", 2),
])  # fmt: skip
def test_published_numbers_of_fine_tunings(method, count):
    assert len(fine_tunings(make(method))) == count


def test_rounds_of_iterative_pruning_are_stages_that_larger_targets_share():
    expected = [("pretraining", 0.0), ("imp_round", 0.0), ("imp_round", 0.1), ("imp_round", 0.2), ("imp", 0.25)]
    assert names(with_dependencies(make("imp", 0.25))) == expected
    small, large = ({run_id(one) for one in with_dependencies(make("imp", sparsity))[:-1]} for sparsity in (0.25, 0.9))
    assert small < large
    assert names([mask_run(make("imp", 0.19, pruning__imp_step="remaining10"))]) == [("imp_round", 0.1)]
    assert sum(fit_config(one).steps for one in fine_tunings(make("imp", 0.25))) == (3 * 0.2 + 1) * BASE.final.steps


def test_two_stages_go_on_from_the_first():
    assert names([initial_run(make("parp_p_staged"))]) == [("parp_p", 0.8)]
    with pytest.raises(ValueError, match="give a larger sparsity"):
        normalise(make("parp_p_staged", 0.1))


@pytest.mark.parametrize("method", ["imp", "parp_p_staged"])
def test_stages_need_models_of_the_same_shape(method):
    with pytest.raises(ValueError, match=r"add pruning\.structure=weights"):
        normalise(make(method, pruning__structure="groups"))


def test_a_transferred_mask_is_of_the_other_language_and_of_ones_own_by_default():
    source = mask_run(make("transfer", corpus__language="nl", pruning__mask_language="ru"))
    assert (source.method, source.corpus.language) == ("dense", "ru")
    assert run_id(mask_run(make("transfer"))) == run_id(mask_run(make("omp")))


def test_pretraining_is_shared_by_everything_but_what_shapes_it():
    def pretraining(config):
        return run_id(with_dependencies(config)[0])

    shared = pretraining(BASE)
    for key, value in {"corpus.language": "nl", "seed": 3, "final.steps": 9, "tokenizer.kind": "words",
                       "finetuning.dropout": 0.3}.items():  # fmt: skip
        assert pretraining(override(BASE, {key: value})) == shared
    for key, value in {"encoder.width": 96, "pretraining.languages": "en+nl", "pretraining.fit.steps": 9,
                       "features.sample_rate": 8000}.items():  # fmt: skip
        assert pretraining(override(BASE, {key: value})) != shared


def test_published_weights_need_no_pretraining():
    assert names(with_dependencies(make("omp", pretraining__source="wav2vec2-base"))) == [("dense", 0.0), ("omp", 0.9)]


def test_without_pretraining_the_dense_model_is_where_methods_start():
    config = override(preset("tiny"), {"method": "omp", "sparsity": 0.5})
    assert names(with_dependencies(config)) == [("dense", 0.0), ("omp", 0.5)]
    assert run_id(initial_run(config)) == run_id(mask_run(config))


def test_a_plan_has_each_shared_fit_once_and_in_order(tmp_path):
    configs = [make(method, 0.3, execution__output=str(tmp_path)) for method in ("omp", "imp", "parp", "mpi")]
    configs = [replace(configs[0], method="dense", sparsity=0.0), *configs]
    tasks = plan_runs(configs)
    assert [(task.stage, task.config.method) for task in tasks] == [
        ("fit", "pretraining"), ("fit", "dense"), ("run", "dense"), ("run", "omp"),
        ("fit", "imp_round"), ("fit", "imp_round"), ("fit", "imp_round"), ("fit", "imp"), ("run", "imp"),
        ("fit", "parp"), ("run", "parp"), ("fit", "mpi"), ("run", "mpi"),
    ]  # fmt: skip
    known = set()
    for task in tasks:
        assert set(task.after) <= known
        known.add(task)
    assert {task.config.sparsity for task in tasks[4:7]} == {0.0, 0.1, 0.2}
    assert tasks[0].slots == BASE.pretraining.fit.devices


def test_a_row_that_is_also_a_stage_is_fitted_once(tmp_path):
    configs = [
        make(method, s, execution__output=str(tmp_path)) for method, s in (("parp_p", 0.8), ("parp_p_staged", 0.9))
    ]
    tasks = plan_runs(configs)
    folder = run_folder(configs[0])
    fit, run = (task for task in tasks if task.folder == folder)
    assert (fit.stage, run.stage) == ("fit", "run")
    assert fit in run.after
    (staged, _) = (task for task in tasks if task.folder == run_folder(configs[1]))
    assert fit in staged.after
    assert staged in tasks[-1].after
