"""Architectures as data: counts, removal, JSON."""

from __future__ import annotations

import json

import pytest
import torch

from prune_bench.config import ModelConfig
from prune_bench.families import preset
from prune_bench.models.arch import ConformerArch, LayerArch, TransducerArch, block_weights, unit_counts

SMALL = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=4, ffn=48, kernel=5, layers=2)


def test_paper_encoder_has_its_published_size():
    arch = TransducerArch.from_config(preset("paper").model, mels=80, vocabulary=1025)
    assert block_weights(arch) == 18 * 4_195_840 == 75_525_120


def test_block_weights_by_hand():
    ffn, attention, conv = 2 * 2 * 32 * 48, 5 * 32 * 32, 3 * 32 * 32 + 32 * 5
    assert block_weights(SMALL) == 2 * (ffn + attention + conv)


def test_configuration_to_architecture():
    arch = TransducerArch.from_config(ModelConfig(width=64, heads=4, layers=3), mels=40, vocabulary=30)
    assert arch.encoder.head_width == 16
    assert arch.encoder.layers == (LayerArch(ffn1=576, heads=4, conv=64, ffn2=576),) * 3
    assert (arch.encoder.mels, arch.vocabulary) == (40, 30)


def test_json_round_trip():
    layer = LayerArch(ffn1=3, heads=1, conv=0, ffn2=2, hidden=(0, 5), ranks={"ffn1.up": 2})
    encoder = ConformerArch(20, 4, 8, 4, 5, 32, (layer, LayerArch(1, 1, 8, 1)))
    arch = TransducerArch(encoder, 30, "lstm", 16, 2, 24)
    assert TransducerArch.from_dict(json.loads(json.dumps(arch.to_dict()))) == arch
    assert ConformerArch.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder


def test_keep_counts_and_reindexes_local_dims():
    kept = {
        "layers.0.ffn1": torch.tensor([1, 7]),
        "layers.1.heads": torch.tensor([], dtype=torch.long),
        "layers.1.conv": [],
        "layers.0.hidden": [9, 4, 2],
        "hidden": [2, 3, 9, 30],
    }
    arch = SMALL.keep(kept)
    assert arch.width == 4
    assert arch.position_width == 32
    assert arch.layers[0] == LayerArch(ffn1=2, heads=4, conv=32, ffn2=48, hidden=(0, 2))
    assert arch.layers[1] == LayerArch(ffn1=48, heads=0, conv=0, ffn2=48, hidden=None)


def test_keep_of_an_already_smaller_architecture():
    once = SMALL.keep({"layers.0.hidden": [1, 2, 8]})
    twice = once.keep({"layers.0.hidden": [0, 2], "hidden": range(1, 32)})
    assert twice.layers[0].hidden == (0, 7)
    assert twice.layers[1].hidden is None


def test_keep_everything_changes_nothing():
    everything = {name: range(size) for name, size in unit_counts(SMALL).items()}
    assert SMALL.keep(everything) == SMALL.keep({}) == SMALL


def test_ranks_count_both_factors():
    arch = SMALL.with_ranks({"layers.1.ffn1.up": 10, "layers.1.conv.pointwise1": 4})
    assert block_weights(arch) == block_weights(SMALL) - 48 * 32 + 10 * 80 - 64 * 32 + 4 * 96
    assert arch.layers[0].ranks == {}


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match=r"model\.kernel=4"):
        ConformerArch.dense(20, 4, 32, 4, 48, kernel=4, layers=1)
