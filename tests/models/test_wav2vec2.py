"""The wav2vec 2.0 encoder: torchaudio's outputs, padding, units, compaction."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torchaudio.models import wav2vec2_model

from prune_bench.artefacts import load_model, save_model
from prune_bench.compaction import compact, largest_difference
from prune_bench.models.wav2vec2 import LAYERS, BlockArch, Wav2Vec2, Wav2Vec2Arch, normalize
from prune_bench.pruning.groups import scale_outputs
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.targets import find_targets

CONVS = ((12, 10, 5), (12, 3, 2), (16, 2, 2))


def arch(**changes) -> Wav2Vec2Arch:
    values = {
        "convs": CONVS, "norm": "layer_norm", "conv_bias": True, "width": 24, "head_width": 6, "position_kernel": 8,
        "position_groups": 4, "norm_first": True, "layers": (BlockArch(4, 40),) * 3, "vocabulary": 9,
    }  # fmt: skip
    return Wav2Vec2Arch(**{**values, **changes})


def lively(**changes) -> Wav2Vec2:
    """Biases and norms away from their initial values."""
    torch.manual_seed(0)
    model = Wav2Vec2(arch(**changes))
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=0.3, std=0.5)
    return model.eval()


def speech() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    waveforms, lengths = torch.randn(3, 900), torch.tensor([900, 640, 333])
    return waveforms * (torch.arange(900) < lengths[:, None]), lengths


@pytest.mark.parametrize("norm", ["group_norm", "layer_norm"])
def test_computes_what_torchaudio_does_with_its_names(norm):
    torch.manual_seed(0)
    peer = wav2vec2_model(
        norm, list(CONVS), norm == "layer_norm", 24, 0.0, 8, 4, 3, 4, 0.0, 40, 0.0, 0.0, norm == "layer_norm", 0.0, 9
    ).eval()
    model = Wav2Vec2(Wav2Vec2Arch.of(peer))
    model.load_state_dict(peer.state_dict())
    assert Wav2Vec2Arch.of(model) == model.arch == arch(norm=norm, conv_bias=norm == "layer_norm",
                                                        norm_first=norm == "layer_norm")  # fmt: skip
    assert largest_difference(model, peer, *speech()) == 0.0
    assert torch.equal(model(*speech())[1], peer(*speech())[1])


def test_trains_as_torchaudio_does():
    torch.manual_seed(0)
    peer = wav2vec2_model(
        "layer_norm", list(CONVS), True, 24, 0.0, 8, 4, 3, 4, 0.0, 40, 0.0, 0.0, True, 0.0, 9
    )  # fmt: skip
    model = Wav2Vec2(Wav2Vec2Arch.of(peer))
    model.load_state_dict(peer.state_dict())
    for one in (peer, model):
        outputs, _ = one(*speech())
        outputs.square().mean().backward()
    theirs = {name: parameter.grad for name, parameter in peer.named_parameters()}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name], rtol=1e-3, atol=1e-6, msg=name)
    assert float(theirs["encoder.transformer.pos_conv_embed.conv.bias"].abs().sum()) > 1e-4


@pytest.mark.parametrize("normalize", [False, True])
def test_an_utterance_does_not_depend_on_its_batch(normalize):
    model = lively(normalize=normalize)
    waveforms, lengths = speech()
    batched, frames = model(waveforms, lengths)
    for one, length, count, output in zip(waveforms, lengths, frames, batched, strict=True):
        alone, _ = model(one[None, :length])
        torch.testing.assert_close(output[:count], alone[0], atol=1e-5, rtol=1e-4)


def test_group_norm_depends_on_padding():
    model = lively(norm="group_norm", conv_bias=False)
    waveforms, lengths = speech()
    batched, frames = model(waveforms, lengths)
    alone, _ = model(waveforms[2:, :333])
    assert (batched[2, : frames[2]] - alone[0]).abs().max() > 1e-3


def test_loudness_does_not_matter_when_normalised():
    model = lively(normalize=True)
    waveforms, lengths = speech()
    torch.testing.assert_close(model(7 * waveforms + 0.5, lengths)[0][0], model(waveforms, lengths)[0][0],
                               atol=1e-4, rtol=1e-3)  # fmt: skip


@pytest.mark.parametrize("epsilon", [1e-5, 1e-7])
def test_epsilon_is_added_to_the_variance_of_a_quiet_waveform(epsilon):
    waveforms, lengths = speech()
    quiet = 1e-3 * waveforms
    for row, length, scaled in zip(quiet, lengths.tolist(), normalize(quiet, lengths, epsilon), strict=True):
        inside = row[:length].double()
        expected = (inside - inside.mean()) / (inside.var(unbiased=False) + epsilon).sqrt()
        torch.testing.assert_close(scaled[:length].double(), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(normalize(row[None, :length], None, epsilon)[0], scaled[:length])
        assert float(expected.var()) == pytest.approx(1 / (1 + epsilon / 1e-6), rel=0.2)


def test_a_model_adds_the_epsilon_of_its_arch_which_is_kept_on_disk(tmp_path):
    quiet, lengths = 1e-3 * speech()[0], speech()[1]
    model = lively(normalize=True, epsilon=1e-7)
    again = load_model(save_model(model, tmp_path / "model"))
    assert again.arch.epsilon == 1e-7
    assert largest_difference(model, again, quiet, lengths) == 0.0
    described = json.loads((tmp_path / "model" / "arch.json").read_text())
    del described["epsilon"]  # as written before the field was
    (tmp_path / "model" / "arch.json").write_text(json.dumps(described))
    older = load_model(tmp_path / "model")
    assert older.arch.epsilon == 1e-5
    assert largest_difference(older, lively(normalize=True), quiet, lengths) == 0.0
    assert largest_difference(older, again, quiet, lengths) > 1e-2


def test_each_dropout_has_its_place():
    model = Wav2Vec2(arch(), dropout=0.1, layer_drop=0.2, input_dropout=0.3, attention_dropout=0.4,
                     activation_dropout=0.5, final_dropout=0.6)  # fmt: skip
    places = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    transformer, ffn = model.encoder.transformer, "feed_forward"
    assert transformer.layer_drop == 0.2
    assert [layer.attention.dropout for layer in transformer.layers] == [0.4] * 3
    expected = {"encoder.feature_projection.dropout": 0.3, "encoder.transformer.dropout": 0.1, "final_dropout": 0.6}
    for i in range(3):
        expected[f"{LAYERS}.{i}.dropout"] = expected[f"{LAYERS}.{i}.{ffn}.output_dropout"] = 0.1
        expected[f"{LAYERS}.{i}.{ffn}.intermediate_dropout"] = 0.5
    assert places == expected


def test_the_head_reads_what_the_final_dropout_leaves():
    model = Wav2Vec2(arch(vocabulary=24), final_dropout=0.5).train()
    nn.init.eye_(model.aux.weight)
    nn.init.zeros_(model.aux.bias)
    read, _ = model(*speech())
    assert 0.4 < float((read == 0).float().mean()) < 0.6
    assert not bool((model.eval()(*speech())[0] == 0).any())


def test_a_mask_embedding_is_kept_on_disk_and_by_compaction(tmp_path):
    model = lively(mask_embedding=True)
    again = load_model(save_model(model, tmp_path / "model"))
    small = compact(model, MaskSet({f"{LAYERS}.0.heads": torch.tensor([True, False, True, True])}))
    for one in (again, small):
        assert one.arch.mask_embedding
        assert torch.equal(one.mask_embedding, model.mask_embedding)
    without = Wav2Vec2(arch())
    without.load_state_dict({name: value for name, value in model.state_dict().items() if name != "mask_embedding"})
    assert largest_difference(again, without, *speech()) == 0.0


def test_sparsity_is_a_fraction_of_the_transformers_matrices():
    model = lively()
    assert sum(weight.numel() for weight in find_targets(model).values()) == 3 * (4 * 24 * 24 + 2 * 24 * 40)


def test_blocks_of_the_published_base_model():
    base = {"convs": ((8, 10, 5),), "width": 768, "head_width": 64, "layers": (BlockArch(12, 3072),) * 12}
    with torch.device("meta"):
        model = Wav2Vec2(arch(**base, position_kernel=128, position_groups=16))
    matrices = sum(model.get_parameter(name).numel() for name in model.block_matrices())
    assert matrices == sum(weight.numel() for weight in find_targets(model).values()) == 84_934_656
    assert sum(weight.numel() for weight in find_targets(model, biases=True).values()) == 85_017_600


@pytest.mark.parametrize("kinds", [("heads",), ("ffn",), ("heads", "ffn")], ids="+".join)
def test_masked_and_compact_outputs_are_equal(kinds):
    model = lively()
    groups = [group for group in model.units() if group.kind in kinds]
    generator = torch.Generator().manual_seed(1)
    masks = MaskSet({group.name: torch.rand(group.size, generator=generator) < 0.6 for group in groups})
    for name in masks:
        masks[name] &= torch.tensor(f"{LAYERS}.1." not in name)  # the middle layer loses everything
    scale_outputs(dict(model.named_parameters()), groups, masks)
    small = compact(model, masks)
    assert small.arch.layers[1] == BlockArch(0 if "heads" in kinds else 4, 0 if "ffn" in kinds else 40)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
    assert largest_difference(model, small, *speech()) < 1e-4
    assert largest_difference(small, lively(), *speech()) > 1e-2
    small.train()(*speech())[0].sum().backward()
    assert Wav2Vec2Arch.from_dict(json.loads(json.dumps(small.arch.to_dict()))) == small.arch


def test_a_wrong_compaction_is_noticed():
    model = lively()
    groups = model.units()
    masks = MaskSet({group.name: torch.arange(group.size) % 3 > 0 for group in groups})
    scale_outputs(dict(model.named_parameters()), groups, masks)
    small = compact(model, masks)
    weight = small.encoder.transformer.layers[1].attention.out_proj.weight.data
    weight.copy_(weight.roll(1, 0))
    assert largest_difference(model, small, *speech()) > 1e-3
