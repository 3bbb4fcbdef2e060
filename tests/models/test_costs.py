"""Costs as sums of products: equal to counted weights and counted operations for any smaller model."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from prune_bench.models.arch import ConformerArch, block_weights, unit_counts
from prune_bench.models.conformer import Conformer

ENCODER = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=4, ffn=48, kernel=5, layers=2)
SMALLER = [
    {},
    {"layers.0.heads": [1], "layers.1.ffn1": range(7), "layers.0.ffn2": range(3)},
    {"layers.1.conv": []},
    {"hidden": range(20), "layers.0.hidden": range(5, 25)},
    {"hidden": range(9), "layers.0.heads": [], "layers.0.conv": [], "layers.1.ffn2": []},
]


def cost(terms, counts):
    return sum(term.coefficient * math.prod(counts[name] for name in term.groups) for term in terms)


def counted_flops(arch, frames):
    with torch.device("meta"):
        model = Conformer(arch).eval()
        x = torch.empty(1, math.ceil(frames / arch.subsampling), arch.width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.blocks(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("kept", SMALLER, ids=range(len(SMALLER)))
def test_dense_terms_at_kept_counts_equal_the_smaller_model(kept):
    model, smaller = Conformer(ENCODER), ENCODER.keep(kept)
    counts = unit_counts(smaller)
    assert cost(model.cost_terms("size", 0), counts) == block_weights(smaller)
    assert cost(model.cost_terms("flops", 203), counts) == counted_flops(smaller, 203)


def test_smaller_models_know_their_own_cost():
    smaller = ENCODER.keep({"layers.0.hidden": range(5, 25), "layers.1.heads": [], "layers.0.ffn1": range(9)})
    model = Conformer(smaller.with_ranks({"layers.0.ffn2.up": 3}))
    counts = {group.name: group.size for group in model.units()}
    assert cost(model.cost_terms("size", 0), counts) == block_weights(model.arch)
    assert cost(model.cost_terms("flops", 90), counts) == counted_flops(model.arch, 90)


def test_size_as_printed_counts_three_vectors_a_channel():
    arch = ConformerArch.dense(mels=80, subsampling=4, width=512, heads=8, ffn=1024, kernel=3, layers=18)
    with torch.device("meta"):
        model = Conformer(arch)
    without_positions = cost(model.cost_terms("size_eq3", 0), unit_counts(arch)) - 18 * 512 * 512
    assert without_positions == pytest.approx(89.7e6, rel=1e-3)
