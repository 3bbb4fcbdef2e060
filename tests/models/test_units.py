"""Removable units: what they own, what removing them saves, and that zeroed outputs silence them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer

D, H, F, K, J, V, LAYERS = 32, 4, 48, 5, 24, 30, 2
C, W = D, D // H
ENCODER = ConformerArch.dense(mels=20, subsampling=4, width=D, heads=H, ffn=F, kernel=K, layers=LAYERS)
ARCH = TransducerArch(ENCODER, V, "stateless", 16, 1, J)

LOCAL = (F + 1) + 2 * 3 + (3 * D + D + 1) + (2 * C + C + 1) + F
STREAM = LAYERS * (2 + F + (F + 1) + 2) + (3 * D + 1) + J + V
REMOVED = {
    "layers.0.ffn1": 2 * D + 1,
    "layers.1.ffn2": 2 * D + 1,
    "layers.0.heads": 5 * D * W + 5 * W,
    "layers.1.conv": 3 * C * D + C * K + 2 * C + C + 2 * C + D + 2 * D,
    "layers.0.hidden": LOCAL,
    "hidden": STREAM + LAYERS * LOCAL,
}


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_unit_saves_what_the_formula_says(name):
    model = Transducer(ARCH)
    group = next(group for group in model.units() if group.name == name)
    smaller = Transducer(ARCH.keep({name: range(1, group.size)}))
    assert size(model) - size(smaller) == REMOVED[name]


@pytest.mark.parametrize("name", [name for name in REMOVED if name != "hidden"])
def test_units_own_all_that_goes_with_them(name):
    model = Transducer(ARCH)
    group = next(group for group in model.units() if group.name == name)
    parameters = dict(model.named_parameters())
    owned = sum(parameters[place.parameter].numel() for place in (*group.inputs, *group.outputs))
    assert owned == group.size * REMOVED[name]


def test_stream_units_own_the_rest_of_what_they_remove():
    model = Transducer(ARCH)
    group = next(group for group in model.units() if group.name == "hidden")
    parameters = dict(model.named_parameters())
    owned = sum(parameters[place.parameter].numel() for place in (*group.inputs, *group.outputs))
    assert owned == group.size * STREAM


def test_slices_fit_their_parameters():
    model = Transducer(ARCH)
    parameters = dict(model.named_parameters())
    for group in model.units():
        for place in (*group.inputs, *group.outputs):
            assert parameters[place.parameter].shape[place.dim] == group.size * place.block, (group.name, place)


def test_no_entry_belongs_to_two_groups():
    groups = [group for group in Transducer(ARCH).units() if group.kind != "conv"]
    places = [(p.parameter, p.dim) for group in groups for p in (*group.inputs, *group.outputs)]
    assert max(Counter(places).values()) == 1


def test_local_units_lie_within_the_stream():
    within = {group.name: group.within for group in Transducer(ARCH).units()}
    assert {name for name, outer in within.items() if outer == "hidden"} == {"layers.0.hidden", "layers.1.hidden"}
    assert within["hidden"] is None


@pytest.mark.parametrize("name", ["layers.0.ffn1", "layers.1.ffn2", "layers.0.heads", "layers.1.conv"])
def test_zeroed_outputs_silence_a_unit(name):
    torch.manual_seed(0)
    model = Transducer(ARCH).eval()
    parameters = dict(model.named_parameters())
    group = next(group for group in model.units() if group.name == name)
    features, targets = torch.randn(2, 30, 20), torch.randint(1, V, (2, 3))

    def unit(place):
        return parameters[place.parameter].data.narrow(place.dim, 0, place.block)

    def outputs():
        with torch.no_grad():
            return model(features, None, targets).joint

    for place in group.inputs:
        unit(place).uniform_(-1, 1)
    loud = outputs()
    for place in group.outputs:
        unit(place).zero_()
    silent = outputs()
    assert (loud - silent).abs().max() > 1e-3
    for place in group.inputs:
        unit(place).uniform_(-1, 1)
    torch.testing.assert_close(outputs(), silent, atol=1e-6, rtol=0)


def test_units_of_a_smaller_model():
    arch = ARCH.keep({"layers.0.heads": [], "layers.0.conv": [], "layers.1.hidden": [0, 1], "layers.1.ffn1": [5]})
    model = Transducer(arch)
    sizes = {group.name: group.size for group in model.units()}
    assert sizes == {"layers.0.ffn1": F, "layers.0.ffn2": F, "layers.1.ffn1": 1, "layers.1.heads": H,
                     "layers.1.conv": 1, "layers.1.ffn2": F}  # fmt: skip


def test_units_of_low_rank_layers_name_the_outer_factors():
    arch = ARCH.with_ranks({"encoder.layers.0.ffn1.up": 4, "encoder.layers.0.ffn1.down": 5})
    group = next(group for group in Transducer(arch).units() if group.name == "layers.0.ffn1")
    assert {place.parameter for place in group.inputs} == {
        "encoder.layers.0.ffn1.up.up.weight",
        "encoder.layers.0.ffn1.up.up.bias",
    }
    assert [place.parameter for place in group.outputs] == ["encoder.layers.0.ffn1.down.down.weight"]
