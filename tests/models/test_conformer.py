"""The encoder against plain re-computations, padding, and layers that lost parts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from prune_bench.models.arch import ConformerArch, LayerArch
from prune_bench.models.conformer import Conformer, RelativeAttention, beyond, sinusoids

DENSE = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=4, ffn=48, kernel=5, layers=2)


def shaken(model):
    """The model in eval mode with random biases and moved statistics, so that nothing is zero or one by accident."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(noise + 0.5 if name.endswith("running_var") else tensor + 0.3 * (noise - 0.5))
    return model.eval()


def speech(batch=3, frames=50, mels=20):
    return torch.randn(batch, frames, mels, generator=torch.Generator().manual_seed(2))


def test_relative_attention_by_definition():
    torch.manual_seed(0)
    attention = shaken(RelativeAttention(width=12, heads=2, head_width=4, position_width=10, dropout=0.0, ranks={}))
    x = torch.randn(1, 5, 12)
    normed = attention.norm(x)[0]
    query, key, value = (f(normed).view(5, 2, 4) for f in (attention.query, attention.key, attention.value))
    table = attention.position(sinusoids(5, 10, x)).view(10, 2, 4)
    heads = []
    for h in range(2):
        scores = torch.empty(5, 5)
        for t in range(5):
            for s in range(5):
                position = table[5 - (t - s), h]
                content = (query[t, h] + attention.u[h]) @ key[s, h]
                scores[t, s] = (content + (query[t, h] + attention.v[h]) @ position) / math.sqrt(4)
        heads.append(scores.softmax(-1) @ value[:, h])
    expected = attention.out(torch.cat(heads, -1))
    torch.testing.assert_close(attention(x, sinusoids(5, 10, x), None)[0], expected, atol=1e-5, rtol=1e-5)


def test_sinusoids_encode_offsets():
    table = sinusoids(4, 6, torch.zeros(()))
    assert table.shape == (8, 6)
    for row, offset in enumerate(range(4, -4, -1)):
        angles = [offset / 10000 ** (i / 6) for i in (0, 2, 4)]
        expected = [f(angle) for angle in angles for f in (math.sin, math.cos)]
        torch.testing.assert_close(table[row], torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("frames", [1, 4, 5, 23, 24])
def test_length_is_divided_rounding_up(frames):
    hidden, lengths = Conformer(DENSE)(speech(frames=frames), torch.full((3,), frames))
    assert hidden.shape == (3, math.ceil(frames / 4), 32)
    assert lengths.tolist() == [math.ceil(frames / 4)] * 3


def test_output_is_independent_of_the_batch():
    model, features, lengths = shaken(Conformer(DENSE)), speech(), torch.tensor([50, 31, 8])
    together, frames = model(features, lengths)
    other_padding, _ = model(features.masked_fill(beyond(lengths, 50)[..., None], 7.0), lengths)
    for i in range(3):
        alone, none = model(features[i : i + 1, : lengths[i]])
        assert none is None
        torch.testing.assert_close(together[i, : frames[i]], alone[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together[i, : frames[i]], other_padding[i, : frames[i]], atol=1e-5, rtol=1e-5)
    unmasked, _ = model(features)
    assert (unmasked[1, : frames[1]] - together[1, : frames[1]]).abs().max() > 1e-2


def test_blocks_are_the_encoder_without_its_front_end():
    model, features = shaken(Conformer(DENSE)), speech()
    x, _ = model.front_end(features, None)
    torch.testing.assert_close(model.blocks(x), model(features)[0])


@pytest.mark.parametrize(
    "change",
    [
        {"heads": 0},
        {"ffn1": 0},
        {"ffn2": 0},
        {"conv": 0},
        {"hidden": ()},
        {"heads": 0, "ffn1": 0, "ffn2": 0, "conv": 0, "hidden": (3,)},
    ],
    ids=lambda change: "-".join(change),
)
def test_layers_that_lost_parts_still_train(change):
    layer = replace(DENSE.layers[0], **change)
    model = Conformer(replace(DENSE, layers=(layer, DENSE.layers[1])), dropout=0.1)
    hidden, _ = model(speech(), torch.tensor([50, 31, 8]))
    hidden.square().sum().backward()
    assert torch.isfinite(hidden).all()
    used = [p for p in model.parameters() if p.requires_grad and p.numel()]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in used)


def test_an_empty_module_adds_only_its_bias():
    arch = replace(DENSE, layers=(LayerArch(ffn1=0, heads=0, conv=0, ffn2=0),))
    model = shaken(Conformer(arch))
    layer, x = model.layers[0], torch.randn(2, 6, 32)
    moved = x + 0.5 * layer.ffn1.down.bias + layer.attention.out.bias + 0.5 * layer.ffn2.down.bias
    torch.testing.assert_close(model.blocks(x), layer.norm(moved))


def test_local_dims_by_definition():
    hidden = (1, 4, 6, 30)
    arch = replace(DENSE, layers=(replace(DENSE.layers[0], hidden=hidden),))
    model = shaken(Conformer(arch))
    layer, x, index = model.layers[0], torch.randn(2, 6, 32), list(hidden)
    local = x[..., index] + 0.5 * layer.ffn1(x)
    local = local + layer.attention(local, sinusoids(6, 32, x), None)
    local = local + layer.conv(local, None)
    stream = x.clone()
    stream[..., index] = local
    torch.testing.assert_close(model.blocks(x), layer.norm(stream + 0.5 * layer.ffn2(local)))
    assert layer.ffn1.down.weight.shape == (4, 48)
    assert layer.ffn2.up.weight.shape == (48, 4)


def test_all_local_dims_listed_equal_none_listed():
    listed = replace(DENSE, layers=tuple(replace(layer, hidden=tuple(range(32))) for layer in DENSE.layers))
    plain, other = shaken(Conformer(DENSE)), Conformer(listed).eval()
    other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(plain(speech())[0], other(speech())[0])


def test_low_rank_layers_where_named():
    names = ("ffn1.up", "ffn2.down", "attention.query", "attention.position", "attention.out", "conv.pointwise1")
    arch = DENSE.with_ranks({f"layers.0.{name}": 3 for name in names})
    model = Conformer(arch)
    for name in names:
        layer = model.get_submodule(f"layers.0.{name}")
        assert layer.down.weight.shape[0] == layer.up.weight.shape[1] == 3
        assert layer.down.bias is None
    assert model.layers[0].attention.position.up.bias is None
    assert torch.isfinite(model(speech())[0]).all()


def test_block_matrices_are_the_denominator():
    model = Conformer(DENSE)
    names = model.block_matrices()
    assert "layers.1.conv.depthwise.weight" in names
    assert not any("norm" in name or "front_end" in name or "bias" in name or name.endswith(".u") for name in names)
    assert len(names) == 2 * 12
