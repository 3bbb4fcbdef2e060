from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from torch import nn

from prune_bench.pruning.layers import input_layers, list_layers, output_layers


def chain(*widths: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))


def named(**parts: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(parts))


def block(width: int = 8) -> nn.Module:
    """Joint projections and a gated FFN, whose widths no other layer reads."""
    sizes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, 4 * width), "down": (2 * width, width)}
    return named(**{name: nn.Linear(*size) for name, size in sizes.items()})


def linears(**widths: tuple[int, int]) -> nn.Module:
    return named(**{name: nn.Linear(*width) for name, width in widths.items()})


def between(*blocks: nn.Module) -> nn.Module:
    return named(low=nn.Linear(5, 8), blocks=nn.ModuleList(blocks), top=nn.Linear(8, 3))


NETWORKS = {
    "a chain": (chain(10, 24, 32, 3), ["0"], ["2"]),
    "a chain of one width": (chain(8, 8, 8, 8), ["0"], ["2"]),
    "an autoencoder": (chain(10, 6, 6, 10), ["0"], ["2"]),
    "registered backwards": (linears(top=(32, 3), middle=(24, 32), low=(10, 24)), ["low"], ["top"]),
    "two inputs and outputs": (
        linears(sound=(5, 8), image=(7, 8), join=(8, 8), word=(8, 40), tag=(8, 3)),
        ["sound", "image"],
        ["word", "tag"],
    ),
    "named ends of one width": (
        named(body=chain(8, 8, 8), classifier=chain(8, 8, 8), input_projection=nn.Linear(8, 8)),
        ["input_projection"],
        ["classifier.1"],
    ),
    "blocks between ends": (between(block(), block()), ["low"], ["top"]),
    "one block between ends": (between(block()), ["low"], ["top"]),
    "blocks after an embedding": (named(tokens=nn.Embedding(9, 8), blocks=nn.ModuleList([block(), block()])), [], []),
    "ends inside of blocks": (
        nn.ModuleList([nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise((10, 8, 8, 8, 3))]),
        ["0.0"],
        ["3.0"],
    ),
    "images": (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 6, 3), nn.Flatten(), chain(6 * 25, 16, 3)),
        ["0"],
        ["3.1"],
    ),
    "a recurrent input": (named(gru=nn.GRU(10, 20, 2), out=nn.Linear(20, 3)), ["gru"], ["out"]),
    "cells": (named(cell=nn.LSTMCell(10, 20), next=nn.GRUCell(20, 20), out=nn.Linear(20, 3)), ["cell"], ["out"]),
    "words inside of words": (
        linears(first=(8, 8), overhead=(8, 8), system=(8, 8), dispatch=(8, 8), last=(8, 8)),
        ["first"],
        ["last"],
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_input_and_output_are_found_by_name_width_and_order(network):
    module, inputs, outputs = NETWORKS[network]
    layers = list_layers(module)
    assert sorted(layer.path for layer in input_layers(layers)) == sorted(inputs)
    assert sorted(layer.path for layer in output_layers(layers)) == sorted(outputs)


def test_a_recurrent_stack_is_one_layer_after_another():
    first, second = list_layers(nn.LSTM(5, 6, 2, bidirectional=True, proj_size=4))
    assert (first.inputs, first.outputs, second.inputs, second.outputs) == (5, 8, 8, 8)
    ends = ("", "_reverse")
    assert sorted(second.weights) == sorted(f"weight_{part}_l1{end}" for part in ("ih", "hh", "hr") for end in ends)


def test_compiled_parts_have_their_plain_names():
    module = named(
        body=torch.compile(chain(3, 4, 5), backend="eager"), top=torch.compile(nn.Linear(5, 2), backend="eager")
    )
    assert [layer.path for layer in list_layers(module)] == ["body.0", "body.1", "top"]
