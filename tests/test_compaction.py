from __future__ import annotations

import pytest
import torch
from torch import nn

from prune_bench.compaction import compact, largest_difference
from prune_bench.models.arch import ConformerArch, TransducerArch, block_weights
from prune_bench.models.transducer import Transducer
from prune_bench.pruning.gates import affected, effective, kept_counts, total_cost
from prune_bench.pruning.gating import Gating
from prune_bench.pruning.groups import scale_outputs
from prune_bench.pruning.masks import MaskSet

KINDS = ("heads", "ffn", "conv", "hidden_global", "hidden_local")
CASES = [(kind,) for kind in KINDS] + [("hidden_global", "hidden_local"), ("heads", "ffn", "conv"), KINDS]


def lively_transducer() -> Transducer:
    """Small, with biases, norms and BatchNorm statistics away from their initial values."""
    torch.manual_seed(0)
    encoder = ConformerArch.dense(mels=12, subsampling=4, width=24, heads=3, ffn=20, kernel=5, layers=3)
    model = Transducer(TransducerArch(encoder, 11, "stateless", 8, 1, 10))
    for parameter in model.parameters():
        if parameter.dim() == 1 or parameter.shape == (3, 8):
            nn.init.normal_(parameter, mean=0.3, std=0.5)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return model.eval()


def random_masks(model: Transducer, kinds: tuple[str, ...], density: float = 0.6) -> MaskSet:
    generator = torch.Generator().manual_seed(1)
    masks = MaskSet()
    for group in model.units():
        if group.kind in kinds:
            masks[group.name] = torch.rand(group.size, generator=generator) < density
    if "conv" in kinds:
        masks["layers.0.conv"], masks["layers.1.conv"] = torch.tensor([False]), torch.tensor([True])
    return masks


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(3, 61, 12), torch.tensor([61, 40, 17]), torch.randint(1, 11, (3, 5))


def masked_and_compact(kinds: tuple[str, ...], soft: bool = False) -> tuple[Transducer, Transducer]:
    model = lively_transducer()
    groups = affected(model.units(), kinds)
    masks = random_masks(model, kinds)
    values = {name: mask * (torch.rand(mask.shape) * 0.8 + 0.2 if soft else 1.0) for name, mask in masks.items()}
    folded = lively_transducer()
    scale_outputs(dict(folded.named_parameters()), groups, effective(groups, values))
    Gating(model, groups).set(values)
    return model, compact(folded, masks)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("kinds", CASES, ids="+".join)
def test_masked_and_compact_outputs_are_equal(kinds, soft):
    model, small = masked_and_compact(kinds, soft)
    features, lengths, targets = inputs()
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert largest_difference(model, small, features, lengths, targets) < 1e-4
    assert largest_difference(model, lively_transducer(), features, lengths, targets) > 1e-2


@pytest.mark.parametrize("mutation", ["bias", "rows"])
def test_a_wrong_compaction_is_noticed(mutation):
    model, small = masked_and_compact(KINDS)
    if mutation == "bias":
        small.encoder.layers[1].ffn2.down.bias.data += 0.1 * torch.randn(small.arch.encoder.width)
    else:
        weight = small.encoder.layers[2].attention.out.weight.data
        weight.copy_(weight.roll(1, 0))
    assert largest_difference(model, small, *inputs()) > 1e-3


def test_zeroed_outputs_alone_equal_the_compact_model_for_whole_modules():
    model = lively_transducer()
    groups = [group for group in model.units() if group.kind in ("heads", "ffn", "conv")]
    masks = random_masks(model, ("heads", "ffn", "conv"))
    scale_outputs(dict(model.named_parameters()), groups, masks)
    assert largest_difference(model, compact(model, masks), *inputs()) < 1e-4


@pytest.mark.parametrize("part", ["heads", "ffn", "conv"])
def test_a_layer_that_lost_a_whole_module_still_works(part):
    model = lively_transducer()
    groups = [group for group in model.units() if group.kind == part]
    masks = MaskSet({group.name: torch.ones(group.size, dtype=torch.bool) for group in groups})
    for group in groups:
        if group.name.startswith("layers.1."):
            masks[group.name][:] = False
    scale_outputs(dict(model.named_parameters()), groups, masks)
    small = compact(model, masks)
    assert largest_difference(model, small, *inputs()) < 1e-4
    hidden, _ = small.encoder(*inputs()[:2])
    hidden.sum().backward()


@pytest.mark.parametrize("kinds", CASES, ids="+".join)
def test_counted_cost_is_the_compact_models_size(kinds):
    model = lively_transducer()
    masks = random_masks(model, kinds)
    counted = float(total_cost(model.cost_terms("size", 1), kept_counts(model.units(), masks)))
    small = compact(model, masks)
    state = small.state_dict()
    assert counted == block_weights(small.arch) == sum(state[name].numel() for name in small.block_matrices())


def test_dense_cost_of_the_papers_encoder():
    arch = ConformerArch.dense(mels=80, subsampling=4, width=512, heads=8, ffn=1024, kernel=3, layers=18)
    assert block_weights(arch) == 18 * 4_195_840
    assert block_weights(arch) / 1e6 == pytest.approx(75.53, abs=0.005)


def test_removed_groups_still_receive_gradient_on_their_output_side():
    model = lively_transducer().train()
    groups = [group for group in model.units() if group.kind in ("heads", "ffn", "conv")]
    masks = MaskSet({group.name: torch.zeros(group.size, dtype=torch.bool) for group in groups})
    scale_outputs(dict(model.named_parameters()), groups, masks)
    model(*inputs()).joint.square().sum().backward()
    parameters = dict(model.named_parameters())
    for group in groups:
        for place in group.outputs:
            assert parameters[place.parameter].grad.abs().sum() > 0, place
