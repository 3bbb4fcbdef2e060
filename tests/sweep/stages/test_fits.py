from __future__ import annotations

import json

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from prune_bench.artefacts import load_model
from prune_bench.data import prepare
from prune_bench.pruning import Infeasible
from prune_bench.sweep.runs.dependencies import dense_of, fit_config
from prune_bench.sweep.runs.folders import cache_folder, run_folder
from prune_bench.sweep.stages import fits
from prune_bench.sweep.stages.progress import Reporter, read_progress
from prune_bench.tasks.training import TrainingTask


def fit(config):
    corpus = prepare(config, cache_folder(config), progress=False)
    return fits.fit(config, corpus, Reporter(run_folder(config)))


def weights(config):
    return load_model(run_folder(config) / "model").state_dict()


@pytest.fixture
def same_twice(make_config, place_dense, tmp_path):
    """The same run in two places, each with the dense model that it starts from."""

    def make(**options):
        pair = [make_config(**options, execution__output=str(tmp_path / name)) for name in ("whole", "killed")]
        for config in pair if options["method"] != "dense" else []:
            place_dense(config)
        return pair

    return make


def assert_same_outcome(first, second):
    expected, found = weights(first), weights(second)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    logs = [(run_folder(config) / "metrics.jsonl").read_text() for config in (first, second)]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) == fit_config(first).steps


@pytest.mark.parametrize("method", ["dense", "parp", "l0_sparsity", "svd"])
def test_a_killed_fit_goes_on_to_the_same_weights(same_twice, kill_at, method):
    whole, killed = same_twice(method=method, sparsity=0.0 if method == "dense" else 0.3, pruning__settle=0.7)
    fit(whole)
    with kill_at(3):
        fit(killed)
    assert torch.load(run_folder(killed) / fits.CHECKPOINT, weights_only=False)["global_step"] == 2
    fit(killed)
    assert_same_outcome(whole, killed)


def test_a_fit_killed_after_its_last_update_only_saves_its_model(same_twice, monkeypatch):
    class Killed(BaseException):
        pass

    whole, killed = same_twice(method="parp", sparsity=0.3)
    fit(whole)
    with monkeypatch.context() as patch:
        patch.setattr(fits, "save_model", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            fit(killed)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingTask, "training_step", lambda *_: pytest.fail("trained on"))
        fit(killed)
    assert_same_outcome(whole, killed)


def test_a_finished_fit_is_not_repeated(make_config, monkeypatch):
    config = make_config()
    assert fit(config)
    before = weights(config)
    monkeypatch.setattr(fits, "make_trainer", lambda *_: pytest.fail("trained again"))
    assert fit(config)
    assert all(torch.equal(before[name], value) for name, value in weights(config).items())


def test_a_fit_leaves_model_and_summary_but_no_checkpoint(make_config):
    config = make_config()
    fit(config)
    assert {path.name for path in run_folder(config).iterdir()} == {
        "model",
        "fit.json",
        "metrics.jsonl",
        "progress.json",
    }
    assert json.loads((run_folder(config) / "fit.json").read_text())["updates"] == 4
    progress = read_progress(run_folder(config))
    assert progress is not None
    assert (progress.phase, progress.done, progress.total) == ("training", 4, 4)


def test_the_final_fit_starts_from_the_dense_weights(make_config, place_dense):
    config = make_config(method="continue_ft")
    place_dense(config)
    corpus = prepare(config, cache_folder(config), progress=False)
    dense, start = weights(dense_of(config)), fits.make_task(config, corpus).model.state_dict()
    assert all(torch.equal(dense[name], value) for name, value in start.items())


def test_a_fit_without_its_dense_model_names_what_is_missing(make_config):
    with pytest.raises(ValueError, match=r"dense-s0-.*arch\.json is missing"):
        fit(make_config(method="omp", sparsity=0.3))


def test_an_infeasible_method_says_so_before_training(make_config, place_dense):
    config = make_config(method="l0_heads", sparsity=0.9)
    place_dense(config)
    with pytest.raises(Infeasible, match="heads"):
        fit(config)


@pytest.mark.parametrize(("cuda", "accelerator", "expected"), [
    (0, "auto", ("cpu", 2)), (1, "auto", ("gpu", 1)), (8, "auto", ("gpu", 2)), (0, "gpu", ("gpu", 2)),
])  # fmt: skip
def test_hardware_follows_what_is_there_only_when_asked_to(make_config, monkeypatch, cuda, accelerator, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    run = make_config(dense__devices=2, dense__accelerator=accelerator).dense
    assert fits.hardware(run) == expected


@pytest.mark.parametrize(("devices", "layer_drop", "unused"), [(1, 0.1, None), (2, 0.0, False), (2, 0.1, True)])
def test_processes_wait_for_no_gradient_of_a_dropped_layer(make_config, tmp_path, devices, layer_drop, unused):
    config = make_config(dense__devices=devices, dense__accelerator="cpu", finetuning__layer_drop=layer_drop)
    strategy = fits.make_trainer(config, tmp_path, []).strategy
    assert isinstance(strategy, DDPStrategy) == (unused is not None)
    if unused is not None:
        assert strategy._ddp_kwargs.get("find_unused_parameters", False) == unused


def test_a_fit_names_its_gpus_and_no_others(make_config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Example GPU")
    assert fits.gpus(make_config(dense__devices=4, dense__accelerator="gpu").dense) == "4 x Example GPU"
    assert fits.gpus(make_config(dense__devices=4, dense__accelerator="cpu").dense) == ""


@pytest.mark.parametrize(("asked", "units", "expected"), [
    ("auto", {"avx512_bf16": True}, "bf16-mixed"), ("auto", {"amx_bf16": False}, "32-true"), ("auto", {}, "32-true"),
    ("32-true", {"avx512_bf16": True}, "32-true"),
])  # fmt: skip
def test_auto_precision_follows_the_units_of_the_cpu(make_config, monkeypatch, asked, units, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    run = make_config(dense__precision=asked, dense__accelerator="cpu").dense
    assert fits.precision(run) == expected
