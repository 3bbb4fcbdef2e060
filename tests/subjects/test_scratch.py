from __future__ import annotations

import pytest

from prune_bench.config import ModelConfig
from prune_bench.models.arch import TransducerArch, block_weights
from prune_bench.pruning import Infeasible
from prune_bench.subjects.scratch import shrink

ARCH = TransducerArch.from_config(ModelConfig(), mels=80, vocabulary=129)


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
