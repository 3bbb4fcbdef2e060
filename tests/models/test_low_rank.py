from __future__ import annotations

import pytest
import torch

from prune_bench.models.low_rank import LowRankLinear


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_factorised_layer_is_traced_and_scripted_with_its_factors_alone(bias, transposed):
    layer, inputs = LowRankLinear(6, 2, 8, bias), torch.randn(5, 6)
    layer.transposed = transposed
    for made in (torch.jit.trace(layer, inputs), torch.jit.script(layer)):
        torch.testing.assert_close(made(inputs), layer(inputs))
        assert made.state_dict().keys() == layer.state_dict().keys()
        constants = [node for node in made.inlined_graph.nodes() if node.kind() == "prim::Constant"]
        assert not [node for node in constants if node.hasAttribute("value") and node.kindOf("value") == "t"]
