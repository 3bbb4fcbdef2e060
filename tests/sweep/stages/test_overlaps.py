"""Masks of dense models are compared where they share their pretraining."""

from __future__ import annotations

import json

import pytest
import torch

from prune_bench.artefacts import save_model
from prune_bench.families import preset
from prune_bench.families.ctc.pretraining import make_arch
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.overrides import override
from prune_bench.sweep.runs.dependencies import run_id, with_dependencies
from prune_bench.sweep.runs.files import write_lines
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import read_rows
from prune_bench.sweep.stages.overlaps import compare_table, is_compared
from prune_bench.sweep.stages.progress import Reporter
from tests.helpers.rows import finished

SMALL = {"encoder.width": 12, "encoder.ffn": 24, "encoder.position_groups": 4, "method": "dense"}


def save(config, seed):
    torch.manual_seed(seed)
    save_model(Wav2Vec2(make_arch(config.encoder)), run_folder(config) / "model")


@pytest.fixture
def configs(tmp_path):
    """Two languages from one pretraining, of equal weights, and one from another."""
    languages = [("nl", "en"), ("fr", "en"), ("fr", "en+fr")]
    configs = []
    for language, pretrained in languages:
        given = {"corpus.language": language, "pretraining.languages": pretrained, "execution.output": str(tmp_path)}
        configs.append(override(preset("smoke", "ctc"), {**SMALL, **given}))
        save(with_dependencies(configs[-1])[0], 7)
        save(configs[-1], 1)
    write_lines(tmp_path / "rows.jsonl", map(finished, configs))
    return configs


def test_overlaps_within_one_pretraining(configs, tmp_path):
    nl, fr, other = map(run_id, configs)
    rows = read_rows(tmp_path / "rows.jsonl")
    assert not is_compared(tmp_path, rows)
    compare_table(tmp_path, configs[0], Reporter(None))
    found = json.loads((tmp_path / "overlaps.json").read_text())
    assert found[nl].keys() == {nl, fr, "mpi", "rp"}
    assert found[nl][fr] == found[nl][nl] == 1.0
    assert found[nl]["rp"] == pytest.approx(1 / 3, abs=0.03)
    assert found[nl]["mpi"] == pytest.approx(1 / 3, abs=0.03)
    assert found[other].keys() == {other, "mpi", "rp"}
    assert is_compared(tmp_path, rows)
    assert not is_compared(tmp_path, [*rows, {**rows[0], "run": "another"}])
