"""Saved models are read back, those of older versions too."""

from __future__ import annotations

import json

import pytest
import torch

import prune_bench
from prune_bench.artefacts import load_model, save_model
from prune_bench.compaction import largest_difference
from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch


def test_a_model_whose_tokenizer_was_written_as_units_is_read(tmp_path):
    arch = LanguageModelArch(vocabulary=9, width=8, head_width=4, layers=(BlockArch(2, 16),), tokenizer="3f9a")
    model = LanguageModel(arch)
    path = save_model(model, tmp_path / "model") / "arch.json"
    described = json.loads(path.read_text())
    described["units"] = described.pop("tokenizer")
    path.write_text(json.dumps(described))
    older = load_model(tmp_path / "model")
    assert older.arch.tokenizer == "3f9a"
    assert largest_difference(model, older, torch.tensor([[0, 3, 5]])) == 0.0


def test_the_package_offers_finished_models():
    assert prune_bench.load_pruned is load_model
    with pytest.raises(AttributeError, match="module 'prune_bench' has no attribute 'load'"):
        getattr(prune_bench, "load")  # noqa: B009
