"""A corpus of a few noises with a transcript, and the smallest configuration that trains on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lightning import Callback

from prune_bench.config import Config
from prune_bench.data import prepare
from prune_bench.families import preset
from prune_bench.overrides import override
from prune_bench.sweep.runs.folders import cache_folder
from prune_bench.sweep.stages import fits
from prune_bench.sweep.stages.progress import Reporter

SPLITS = ("train", "dev-clean", "dev-other", "test-clean", "test-other")
SMALLEST = {
    "corpus.name": "manifest",
    "tokenizer.kind": "characters",
    "features.sample_rate": 8000,
    "features.mels": 16,
    "model.layers": 2,
    "model.width": 16,
    "model.ffn": 32,
    "model.kernel": 3,
    "model.subsampling": 4,
    "model.predictor_width": 8,
    "model.joint_width": 8,
    "dense.steps": 4,
    "final.steps": 6,
    "dense.frames": 300,
    "final.frames": 300,
    "dense.checkpoint_every": 2,
    "final.checkpoint_every": 2,
    "measurement.timing_seconds": 0.5,
    "measurement.timing_rounds": 1,
    "wandb.mode": "disabled",
}


class Killed(BaseException):
    """Ends a fit as abruptly as one process can."""


class Killer(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise Killed


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """`with kill_at(step)`: the fit within is killed before it makes that update."""

    @contextmanager
    def killing(step: int) -> Iterator[None]:
        make = fits.make_trainer
        with monkeypatch.context() as patch:
            patch.setattr(fits, "make_trainer", lambda *given: make(*given[:2], [*given[2], Killer(step)]))
            with pytest.raises(Killed):
                yield

    return killing


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest a split and half a second of noise an utterance."""
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for split in SPLITS:
        lines = []
        for number in range(12 if split == "train" else 3):
            name = f"{split}-{number}.wav"
            soundfile.write(folder / name, 0.1 * random.standard_normal(4000 + 200 * number), 8000)
            lines.append({"audio_filepath": name, "text": ("ab", "ba", "a b")[number % 3]})
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture
def make_config(recordings: Path, tmp_path: Path) -> Callable[..., Config]:
    """Configurations of the smallest runs, `section.key` overrides given as keywords with `__` for the dot."""

    def make(**overrides: object) -> Config:
        values = {key.replace("__", "."): value for key, value in overrides.items()}
        places = {"corpus.root": str(recordings), "execution.output": str(tmp_path / "output")}
        return override(preset("smoke"), {**SMALLEST, **places, **values})

    return make


@pytest.fixture(scope="session")
def trained(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the corpus and the smallest dense model in it."""
    output = tmp_path_factory.mktemp("trained")
    places = {"corpus.root": str(recordings), "execution.output": str(output)}
    config = override(preset("smoke"), {**SMALLEST, **places})
    fits.fit(config, prepare(config, cache_folder(config), progress=False), Reporter(None))
    return output


@pytest.fixture
def place_dense(trained: Path) -> Callable[[Config], None]:
    """Puts the corpus and the dense model where a configuration looks for them."""
    return lambda config: shutil.copytree(trained, config.execution.output, dirs_exist_ok=True)
