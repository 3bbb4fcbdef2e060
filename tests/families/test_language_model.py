"""A language model as a sweep sees it."""

from __future__ import annotations

import pytest
import torch

from prune_bench.families import experiment_of, preset
from prune_bench.families.language_model.family import SENTENCE, make_arch
from prune_bench.models.transformer_lm import LanguageModel
from tests.helpers.text import WORDS


@pytest.fixture
def config():
    return preset("smoke", "language_model")


def dense(config):
    torch.manual_seed(0)
    return LanguageModel(make_arch(config.lm, WORDS)).eval()


def test_operations_are_those_of_the_matrices_and_of_attention(config):
    model = dense(config)
    found = experiment_of(config).count_flops(model)
    d, ffn, layers = config.lm.width, config.lm.ffn, config.lm.layers
    matrices, attention = 2 * (4 * d * d + 2 * d * ffn), 2 * 2 * SENTENCE * d
    assert found["blocks"] == layers * (matrices + attention)
    assert found["encoder"] - found["blocks"] == 2 * d * WORDS.size


@pytest.mark.parametrize("gone", ["heads", "ffn", "both"])
def test_operations_of_layers_without_units_are_counted(config, gone):
    model = dense(config)
    kinds = ("heads", "ffn") if gone == "both" else (gone,)
    small = LanguageModel(model.arch.keep({g.name: [] for g in model.units() if g.kind in kinds}))
    found = experiment_of(config).count_flops(small)
    assert found["blocks"] < experiment_of(config).count_flops(model)["blocks"]
    assert (found["blocks"] == 0) == (gone == "both")


def test_heads_may_be_wider_than_the_stream_over_their_number(config):
    config.lm.head_width = 128
    arch = make_arch(config.lm, WORDS)
    assert arch.head_width == 128
    model = LanguageModel(arch)
    assert model.layers[0].attention.query.weight.shape == (128 * config.lm.heads, config.lm.width)


def test_the_published_size_is_met():
    config = preset("paper", "language_model")
    arch = make_arch(config.lm, WORDS)
    with torch.device("meta"):
        model = LanguageModel(arch)
    layers = sum(p.numel() for p in model.layers.parameters())
    assert layers / 1e6 == pytest.approx(18.9, abs=0.1)
    vocabulary = config.tokenizer.size
    assert (layers + vocabulary * config.lm.width) / 1e6 == pytest.approx(20, abs=1)
