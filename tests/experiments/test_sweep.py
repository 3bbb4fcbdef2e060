from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments import sweep
from experiments.papers import REPORTS
from prune_bench.config import from_dict
from prune_bench.sweep.grid import read_grid
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.sweep import CorpusError

ROOT = Path(__file__).parents[2]
SPLITS = ("train", "dev-clean", "dev-other", "test-clean", "test-other")


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch):
    monkeypatch.setattr(sweep.signal, "signal", lambda *_: None)


@pytest.mark.parametrize(("arguments", "message"), [
    (["method=ompp"], "unknown value for method: 'ompp': did you mean 'omp'?"),
    (["table=tabel1"], "unknown value for table: 'tabel1': did you mean 'table1'?"),
    (["sparsty=0.5"], "unknown key 'sparsty': did you mean 'sparsity'?"),
])  # fmt: skip
def test_a_wrong_command_is_one_line(capsys, arguments, message):
    assert sweep.main(arguments) == 2
    assert capsys.readouterr().err == f"sweep.py: {message}\n"


def test_help_lists_every_key_and_value(capsys):
    assert sweep.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("final.learning_rate", "execution.jobs", "corpus.name [corpus]", "table1", "l0_flops", "librispeech"):
        assert word in shown


@pytest.mark.parametrize(
    ("error", "code", "told"), [(KeyboardInterrupt(), 130, "goes on from here"), (CorpusError(), 1, "")]
)
def test_what_stops_a_sweep_is_no_traceback(tmp_path, monkeypatch, capsys, error, code, told):
    def stop(self):
        raise error

    monkeypatch.setattr(sweep.Sweep, "run", stop)
    assert sweep.main(["preset=smoke", f"output={tmp_path}"]) == code
    shown = capsys.readouterr()
    assert told in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_a_sweep(name):
    grid = read_grid([f"table={name}"], REPORTS)
    methods = {config.method for config in grid.configs}
    assert {"dense", "l0_sparsity" if grid.configs[0].task == "transducer" else "dense"} <= methods
    assert grid.name == name


def test_table1_has_its_22_rows():
    assert len(read_grid(["table=table1"], REPORTS).configs) == 22
    assert len(read_grid(["table=table1", "extended=true", "references=true"], REPORTS).configs) == 38


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command line of a small sweep: dense on two processes and two methods, on some noise."""
    root, output = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("output")
    random = np.random.default_rng(0)
    for split in SPLITS:
        lines = []
        for number in range(16 if split == "train" else 3):
            name = f"{split}-{number}.wav"
            soundfile.write(root / name, 0.1 * random.standard_normal(4000 + 200 * number), 8000)
            lines.append({"audio_filepath": name, "text": ("ab", "ba", "a b")[number % 3]})
        (root / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    small = "features.sample_rate=8000 features.mels=16 model.width=16 model.ffn=32 model.subsampling=4".split()
    fits = "dense.steps=40 dense.devices=2 dense.frames=300 dense.checkpoint_every=5 final.steps=5".split()
    quick = "measurement.timing_seconds=0.5 measurement.timing_rounds=1 wandb.mode=disabled".split()
    corpus = ["corpus=manifest", f"corpus.root={root}", "tokenizer.kind=characters"]
    runs = ["method=omp,l0_heads", "sparsity=0.9", "preset=smoke", f"output={output}"]
    return [*runs, *corpus, *small, *fits, *quick]


def start(command):
    words = [sys.executable, "experiments/sweep.py", *command]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_sweep_killed_in_training_goes_on_and_a_finished_one_trains_nothing(command):
    configs = read_grid(command, {}).configs
    dense, omp, heads = map(run_folder, configs)
    killed = start(command)
    while not (dense / "last.ckpt").exists():
        assert killed.poll() is None, killed.communicate()[0]
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    time.sleep(3)
    assert not (dense / "model").exists()

    finished = start(command)
    text, _ = finished.communicate(timeout=600)
    assert finished.returncode == 0, text
    rows = {folder: json.loads((folder / "row.json").read_text()) for folder in (dense, omp, heads)}
    assert [row["status"] for row in rows.values()] == ["done", "done", "infeasible"]
    assert "Restoring states from the checkpoint" in (dense / "log.txt").read_text()
    steps = [json.loads(line)["step"] for line in (dense / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert max(steps) == 39
    assert "infeasible: " in text
    assert from_dict(rows[omp]["config"]) == configs[1]

    (table,) = (run_folder(configs[0]).parents[1] / "tables").iterdir()
    assert {"table.md", "table.csv", "table.tex", "timing.json", "rows.jsonl"} <= {
        path.name for path in table.iterdir()
    }
    written = {path: path.stat().st_mtime_ns for path in dense.parent.rglob("*") if path.is_file()}
    again = start(command)
    again.communicate(timeout=600)
    assert again.returncode == 0
    assert written == {path: path.stat().st_mtime_ns for path in dense.parent.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_two_sweeps_at_once_train_each_model_once(command, tmp_path):
    both = [start([*command, f"output={tmp_path}"]) for _ in range(2)]
    texts = [process.communicate(timeout=900)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    for log in (tmp_path / "runs").glob("*/log.txt"):
        assert log.read_text().count("`Trainer.fit` stopped: `max_steps=") <= 1
    for metrics in (tmp_path / "runs").glob("*/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
        assert steps == sorted(set(steps))
