"""The check of a GPU, carried out on the CPU: the same steps on the smallest model and a few utterances."""

from __future__ import annotations

import json

import pytest
import torch

from experiments import gpu_check
from prune_bench.families import preset
from prune_bench.overrides import override

SMALLEST = {
    "corpus.train_utterances": 12,
    "corpus.dev_utterances": 4,
    "corpus.on_bad": "skip",
    "corpus.test_utterances": 4,
    "tokenizer.kind": "characters",
    "model.layers": 2,
    "model.width": 16,
    "model.ffn": 32,
    "model.kernel": 3,
    "model.subsampling": 4,
    "model.predictor_width": 8,
    "model.joint_width": 8,
    "dense.steps": 12,
    "dense.frames": 1000,
    "final.steps": 12,
    "final.frames": 1000,
    "wandb.mode": "disabled",
}
FIT = {"method": "omp", "first_loss": 9.0, "last_loss": 5.0, "asked": 0.5, "achieved": 0.5}


@pytest.fixture
def config():
    return override(preset("smoke"), SMALLEST)


def write_test(folder, text):
    path = folder / "test_one.py"
    path.write_text(f"def test_one():\n    assert {text}\n")
    return ["-p", "no:cacheprovider", "-c", "/dev/null", str(path)]


def test_without_a_gpu_it_says_so_and_ends_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no GPU: nothing was checked\n"
    assert list(tmp_path.iterdir()) == []


def test_with_a_gpu_it_runs_the_marked_tests_and_the_small_model(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_check, "check", lambda *given: asked.append(given) or 0)
    assert gpu_check.main(["--output", str(tmp_path)]) == 0
    ((accelerator, output, tests, config),) = asked
    assert (accelerator, output, tests) == ("gpu", tmp_path, ["-m", "gpu"])
    assert config.model == preset("small").model
    assert (config.dense.steps, config.final.steps, config.corpus.train_utterances) == (200, 200, 500)


def test_every_step_is_taken_and_written_down(tmp_path, capfd, config):
    assert gpu_check.check("cpu", tmp_path, write_test(tmp_path, "True"), config) == 0
    result = json.loads((tmp_path / "gpu-check.json").read_text())
    assert result["device"] == {"name": "cpu"}
    assert [row["method"] for row in result["fits"]] == list(gpu_check.METHODS)
    assert [row["updates"] for row in result["fits"]] == [12, 12, 12]
    assert [row["achieved"] for row in result["fits"]] == pytest.approx([0.0, 0.5, 0.5], abs=0.05)
    assert [row["peak_gib"] for row in result["fits"]] == [None] * 3
    assert {path.name for path in tmp_path.iterdir()} >= {"cache", "gpu-check.json"}
    assert not (tmp_path / "runs").exists()
    assert "1 passed" in capfd.readouterr().out


def test_failed_tests_fail_the_check(tmp_path, monkeypatch, capfd, config):
    monkeypatch.setattr(gpu_check, "fits", lambda config: [FIT])
    assert gpu_check.check("cpu", tmp_path, write_test(tmp_path, "False"), config) == 1
    result = json.loads((tmp_path / "gpu-check.json").read_text())
    assert result["faults"] == ["tests failed"]
    assert "1 failed" in capfd.readouterr().out
    assert result["fits"] == [FIT]


def test_it_stops_at_its_limit(tmp_path, monkeypatch, config):
    monkeypatch.setattr(gpu_check, "LIMIT", 1)
    monkeypatch.setattr(gpu_check, "fits", lambda config: [FIT])
    assert gpu_check.check("cpu", tmp_path, write_test(tmp_path, "__import__('time').sleep(600)"), config) == 1
    result = json.loads((tmp_path / "gpu-check.json").read_text())
    assert result["faults"] == ["stopped after 1 seconds"]
    assert result["fits"] == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, []),
        ({"last_loss": float("nan")}, ["omp: the loss is nan"]),
        ({"achieved": 0.4}, ["omp: asked 50.0%, achieved 40.0%"]),
        ({"method": "dense", "last_loss": 9.5}, ["dense: the loss rose from 9 to 9.5"]),
    ],
)
def test_faults_of_a_fit(change, fault):
    assert gpu_check.faults({**FIT, **change}) == fault
