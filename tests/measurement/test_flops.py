from __future__ import annotations

from dataclasses import replace

import pytest

from prune_bench.measurement.flops import count_flops
from prune_bench.models.arch import ConformerArch, LayerArch, TransducerArch
from prune_bench.models.costs import cost_terms

ENCODER = ConformerArch.dense(mels=8, subsampling=4, width=12, heads=3, ffn=20, kernel=5, layers=1)


def transducer(*layers: LayerArch) -> TransducerArch:
    encoder = replace(ENCODER, layers=layers) if layers else ENCODER
    return TransducerArch(encoder, 7, "stateless", 6, 1, 5)


def by_formula(arch: TransducerArch, frames: int) -> int:
    """Operations of the blocks as the terms that pruning optimises have it."""
    return round(sum(term.coefficient for term in cost_terms(arch.encoder, "flops", frames, offered=())))


def test_dense_layer_by_hand():
    frames = 25  # of 100 features
    ffn = 2 * (2 * frames * 20 * (12 + 12))
    projections = 4 * (2 * frames * 12 * 12) + 2 * (2 * frames) * 12 * 12
    products = 2 * 2 * frames * frames * 12 + 2 * frames * (2 * frames) * 12
    convolution = 2 * frames * (12 * 24 + 12 * 5 + 12 * 12)
    flops = count_flops(transducer(), seconds=1.0, hop_ms=10)
    assert flops["blocks"] == ffn + projections + products + convolution
    assert flops["encoder"] - flops["blocks"] == 2 * frames * 12 * (8 * 11 + 12 * 3)


def test_a_removed_unit_saves_its_products():
    dense = ENCODER.layers[0]
    frames = 25
    counted = {
        name: count_flops(transducer(replace(dense, **{name: kept})), 1.0, 10)["blocks"]
        for name, kept in {"ffn1": 19, "heads": 2, "conv": 0, "ffn2": 19}.items()
    }
    saved = {name: count_flops(transducer(), 1.0, 10)["blocks"] - flops for name, flops in counted.items()}
    assert saved["ffn1"] == saved["ffn2"] == 2 * frames * (12 + 12)
    head = 8 * frames * 4 * 12 + 2 * (2 * frames) * 4 * 12 + 4 * frames**2 * 4 + 2 * frames * (2 * frames) * 4
    assert saved["heads"] == head
    assert saved["conv"] == 2 * frames * (3 * 12 * 12 + 12 * 5)


PRUNED = {
    "hidden subset": LayerArch(ffn1=9, heads=2, conv=12, ffn2=5, hidden=(0, 3, 7, 11)),
    "no heads": LayerArch(ffn1=9, heads=0, conv=12, ffn2=5),
    "no convolution": LayerArch(ffn1=9, heads=2, conv=0, ffn2=5, hidden=(2, 4)),
    "low rank": LayerArch(20, 3, 12, 20, ranks={"ffn1.up": 3, "attention.query": 2, "attention.position": 4}),
    "nothing": LayerArch(ffn1=0, heads=0, conv=0, ffn2=0),
}


@pytest.mark.parametrize("layer", PRUNED.values(), ids=PRUNED)
@pytest.mark.parametrize("seconds", [0.37, 2.0])
def test_formula_and_counter_agree(layer, seconds):
    arch = transducer(ENCODER.layers[0], layer)
    assert count_flops(arch, seconds, 10)["blocks"] == by_formula(arch, round(100 * seconds))
    assert by_formula(arch, 200) < by_formula(transducer(ENCODER.layers[0], ENCODER.layers[0]), 200)


def test_a_layer_of_nothing_costs_nothing():
    assert count_flops(transducer(PRUNED["nothing"]), 1.0, 10)["blocks"] == 0


def test_published_encoder_needs_no_memory():
    arch = TransducerArch(ConformerArch.dense(80, 4, 512, 8, 1024, 3, 18), 1025, "lstm", 512, 2, 512)
    flops = count_flops(arch, 15.0, 10)
    assert flops["blocks"] == by_formula(arch, 1500)
    assert 55e9 < flops["blocks"] < 85e9
