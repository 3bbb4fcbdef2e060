from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from prune_bench.artefacts import save_model
from prune_bench.callbacks.factors import factorised
from prune_bench.measurement.size import kept_fractions, measure_size
from prune_bench.models.arch import ConformerArch, LayerArch, TransducerArch, block_weights
from prune_bench.models.transducer import Transducer
from prune_bench.pruning.targets import find_targets
from tests.helpers.text import make_model

ENCODER = ConformerArch.dense(mels=8, subsampling=4, width=12, heads=3, ffn=20, kernel=5, layers=2)
ARCH = TransducerArch(ENCODER, 7, "stateless", 6, 1, 5)
PRUNED = LayerArch(ffn1=3, heads=0, conv=0, ffn2=7, hidden=(1, 4, 5), ranks={"ffn2.up": 2})
SMALLER = replace(ARCH, encoder=replace(ENCODER, layers=(ENCODER.layers[0], PRUNED)))


def test_counts_by_hand():
    matrices = 4 * 12 * 20 + 5 * 12 * 12 + 3 * 12 * 12 + 12 * 5
    feed_forward, attention, convolution, norm = 24 + 20 + 12, 24 + 4 * 12 + 24, 24 + 24 + 12 + 24 + 12, 24
    vectors = 2 * feed_forward + attention + convolution + norm
    front_end = (12 * 8 * 11 + 12) + (12 * 12 * 3 + 12)
    predictor, joiner, ctc = 7 * 6 + (6 * 6 * 2 + 6), (5 * 12 + 5) + 5 * 6 + (7 * 5 + 7), 7 * 12 + 7
    size = measure_size(Transducer(ARCH))
    assert size["blocks"] == 2 * matrices
    assert size["encoder"] == 2 * (matrices + vectors) + front_end
    assert size["total"] == size["encoder"] + predictor + joiner + ctc


@pytest.mark.parametrize("arch", [ARCH, SMALLER], ids=["dense", "pruned"])
def test_blocks_are_the_denominator_of_sparsity(arch):
    assert measure_size(Transducer(arch))["blocks"] == block_weights(arch)


def test_biases_count_where_they_are_prunable():
    model = make_model()
    prunable = find_targets(model, biases=True).values()
    assert measure_size(model, biases=True)["blocks"] == sum(value.numel() for value in prunable)
    assert measure_size(model, biases=True)["blocks"] > measure_size(model)["blocks"]


def test_zeros_are_seen():
    model = Transducer(ARCH)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
        model.encoder.layers[0].ffn1.up.weight[:5] = 0
        model.ctc.weight[0] = 0
    size = measure_size(model)
    assert size["blocks"] - size["blocks_nonzero"] == 5 * 12
    assert size["total"] - size["total_nonzero"] == 5 * 12 + 12


def test_bytes_are_those_of_the_saved_files(tmp_path):
    model = Transducer(ARCH)
    saved = measure_size(model, save_model(model, tmp_path / "model"))["bytes"]
    assert saved == sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    held = measure_size(model)["bytes"]
    assert 4 * measure_size(model)["total"] < held < saved
    smaller = Transducer(SMALLER)
    assert measure_size(smaller, save_model(smaller, tmp_path / "small"))["bytes"] < saved


def test_factors_count_as_the_matrix_that_they_stand_for():
    dense, model = make_model(), make_model()
    model.layers[0].ffn.up = factorised(model.layers[0].ffn.up, 3)
    model.layers[1].attention.out.weight.data[:, ::2] = 0
    kept = kept_fractions(model, dense)
    assert kept.pop("layers.0.ffn.up.weight") == (3 * (16 + 24) / (16 * 24), 16 * 24)
    assert kept.pop("layers.1.attention.out.weight") == (0.5, 16 * 16)
    assert {fraction for fraction, _ in kept.values()} == {1.0}
    assert len(kept) == 2 * 6 + 1 - 2
