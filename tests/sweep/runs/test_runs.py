from __future__ import annotations

from dataclasses import replace

import pytest

from prune_bench.families import preset
from prune_bench.overrides import override
from prune_bench.pruning.axes import MASKS
from prune_bench.pruning.methods import METHODS
from prune_bench.sweep.runs.dependencies import dense_of, fine_tunings, fit_config, label, mask_run, run_id
from prune_bench.sweep.stages.methods import callbacks_for

BASE = replace(preset("tiny"), method="omp", sparsity=0.5)


def change(config, key, value):
    return override(config, {key: value})


def test_the_name_tells_method_sparsity_and_seed():
    assert run_id(replace(BASE, seed=2)).startswith("omp-0.5-s2-")
    assert run_id(dense_of(BASE)).startswith("dense-s0-")
    assert label(BASE) == "OMP 50 %, groups, seed 0"
    values = {"method": "transfer", "corpus.language": "nl", "corpus.labels": "1h", "pruning.mask_language": "es"}
    dutch = override(BASE, {**values, "pretraining.languages": "en+nl", "encoder.size": "large"})
    assert label(dutch) == "OMP, another language's mask 50 %, 1h, nl, groups, mask of es, multilingual, large, seed 0"
    assert label(replace(dutch, task="ctc", method="pretraining", sparsity=0.0)) == (
        "Pretraining, multilingual, large, seed 0"
    )


@pytest.mark.parametrize(("key", "value"), [
    ("seed", 1), ("sparsity", 0.4), ("final.steps", 5), ("dense.steps", 5), ("corpus.seed", 3),
    ("pruning.structure", "weights"), ("model.layers", 3),
])  # fmt: skip
def test_what_shapes_a_run_changes_its_name(key, value):
    assert run_id(change(BASE, key, value)) != run_id(BASE)


@pytest.mark.parametrize(("key", "value"), [("execution.output", "x"), ("execution.jobs", 7), ("wandb.mode", "online"),
                                            ("measurement.max_symbols", 9), ("dense.checkpoint_every", 9)])  # fmt: skip
def test_how_a_run_executes_does_not(key, value):
    assert run_id(change(BASE, key, value)) == run_id(BASE)


@pytest.mark.parametrize(("method", "key", "shared"), [
    ("dense", "final.steps", True), ("dense", "pruning.ramp", True), ("dense", "dense.steps", False),
    ("continue_ft", "pruning.ramp", True), ("continue_ft", "final.steps", False),
    ("scratch", "final.steps", True), ("scratch", "dense.steps", False),
])  # fmt: skip
def test_references_are_shared_by_runs_that_differ_elsewhere(method, key, shared):
    config = replace(BASE, method=method, sparsity=0.5 if method == "scratch" else 0.0)
    assert (run_id(change(config, key, 1)) == run_id(config)) is shared


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.means == MASKS])
def test_a_method_names_the_knobs_that_are_read_for_it(name):
    read = set()

    class Recorder:
        def __getattr__(self, key):
            read.add(key)
            return "weights" if key == "structure" else getattr(BASE.pruning, key)

    config, method = replace(BASE, method=name, pruning=Recorder()), METHODS[name]
    callbacks_for(config)
    method.schedule(0.5, 1000, config.pruning)
    method.revival.tuned(config.pruning)
    method.criterion.make_statistics(config.pruning)
    source = mask_run(config)
    if source is not None:
        fit_config(source)
    assert read - {"reference_seconds"} == set(method.knobs)


@pytest.mark.parametrize(("method", "key", "shapes"), [
    ("omp", "pruning.distillation", False), ("parp", "pruning.interval", True), ("omp", "pruning.interval", False),
    ("svd", "pruning.structure", False), ("l0_sparsity", "pruning.distillation", True),
])  # fmt: skip
def test_a_knob_changes_the_runs_of_the_methods_that_have_it(method, key, shapes):
    config = replace(BASE, method=method)
    value = "weights" if key.endswith("structure") else 0.5
    assert (run_id(change(config, key, value)) != run_id(config)) is shapes


def test_the_recipe_follows_where_a_run_starts():
    scratch = replace(BASE, method="scratch")
    assert (fit_config(BASE), fit_config(scratch), fit_config(dense_of(BASE))) == (BASE.final, BASE.dense, BASE.dense)
    assert [fit_config(one) for one in fine_tunings(BASE)] == [BASE.dense, BASE.final]
    assert [fit_config(one) for one in fine_tunings(scratch)] == [BASE.dense]
