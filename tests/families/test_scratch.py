from __future__ import annotations

from dataclasses import replace

import pytest

from prune_bench.config import ModelConfig
from prune_bench.families.language_model.scratch import matrix_weights
from prune_bench.families.language_model.scratch import shrink as shrink_language_model
from prune_bench.families.transducer.scratch import shrink
from prune_bench.measurement.size import measure_size
from prune_bench.models.arch import BlockArch, TransducerArch, block_weights
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch
from prune_bench.pruning import Infeasible

ARCH = TransducerArch.from_config(ModelConfig(), mels=80, vocabulary=129)
LANGUAGE = LanguageModelArch(129, 128, 32, (BlockArch(4, 512),) * 4)


@pytest.mark.parametrize("sparsity", [0.2, 0.3, 0.4, 0.5, 0.7, 0.85])
def test_the_size_is_right_within_one_channel(sparsity):
    small = shrink(ARCH, sparsity)
    missing = (1 - sparsity) * block_weights(ARCH) - block_weights(small)
    assert -1 <= missing < 2 * ARCH.encoder.width


def test_all_layers_are_alike_and_the_stream_stays():
    small = shrink(ARCH, 0.5).encoder
    assert (small.width, small.head_width, len(small.layers)) == (144, 36, 4)
    assert {(layer.heads, layer.conv) for layer in small.layers} == {(2, 72)}
    channels = [count for layer in small.layers for count in (layer.ffn1, layer.ffn2)]
    assert max(channels) - min(channels) <= 1
    assert max(channels) < 576


def test_a_size_below_one_head_a_layer_is_infeasible():
    with pytest.raises(Infeasible, match="one head"):
        shrink(ARCH, 0.97)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_models_size_is_right_within_one_channel(sparsity, tied):
    dense = replace(LANGUAGE, tied=tied)
    small = shrink_language_model(dense, sparsity)
    missing = (1 - sparsity) * matrix_weights(dense) - matrix_weights(small)
    assert -1 <= missing < 2 * small.width
    assert matrix_weights(small) == measure_size(LanguageModel(small))["blocks"]


def test_a_language_model_keeps_its_proportions():
    assert shrink_language_model(LANGUAGE, 0.0) == LANGUAGE
    small = shrink_language_model(LANGUAGE, 0.75)
    assert small.width == 4 * small.head_width == 60
    assert {layer.ffn // small.width for layer in small.layers} == {4}
    assert {layer.heads for layer in small.layers} == {4}


def test_a_language_model_narrower_than_its_heads_is_infeasible():
    with pytest.raises(Infeasible, match="one dimension a head"):
        shrink_language_model(LANGUAGE, 0.9995)
