from __future__ import annotations

import warnings
from dataclasses import replace

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import prune_bench
from prune_bench import artefacts
from prune_bench.artefacts import export_model, save_model
from prune_bench.callbacks import OMP, LowRank
from prune_bench.export import (
    export_blocks,
    export_encoder,
    export_front_end,
    export_language_model,
    open_session,
    run_encoder,
)
from prune_bench.families import FAMILIES
from prune_bench.models.arch import BlockArch, ConformerArch, LayerArch, TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch
from prune_bench.models.wav2vec2 import Wav2Vec2, Wav2Vec2Arch
from tests.helpers.strangers import Classifier, loader, trainer

DENSE = ConformerArch.dense(mels=8, subsampling=4, width=16, heads=2, ffn=24, kernel=5, layers=2)
LAYERS = {
    "dense": DENSE.layers,
    "hidden subsets": (
        LayerArch(ffn1=7, heads=1, conv=16, ffn2=3, hidden=(0, 3, 4, 9, 15)),
        LayerArch(ffn1=24, heads=2, conv=16, ffn2=24, hidden=(2,)),
    ),
    "no heads": (LayerArch(ffn1=24, heads=0, conv=16, ffn2=24), DENSE.layers[0]),
    "no convolution": (LayerArch(ffn1=24, heads=2, conv=0, ffn2=24), DENSE.layers[0]),
    "no channels": (LayerArch(ffn1=0, heads=0, conv=0, ffn2=0, hidden=(1, 2)), DENSE.layers[0]),
    "low rank": (
        LayerArch(24, 2, 16, 24, ranks={"ffn1.up": 3, "attention.query": 2, "attention.position": 4}),
        LayerArch(24, 2, 16, 24, ranks={"ffn2.down": 5, "attention.out": 1, "conv.pointwise1": 6}),
    ),
}


def make_model(layers: tuple[LayerArch, ...]) -> Transducer:
    """Random weights, biases, norms and running statistics, none at its initial value."""
    torch.manual_seed(0)
    model = Transducer(TransducerArch(replace(DENSE, layers=layers), 5, "stateless", 8, 1, 8))
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.rand_like(tensor)
                tensor.copy_(noise - 0.4 if tensor.dim() > 1 else noise + 0.5)
    return model.eval()


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_encoder_computes_the_same_at_other_lengths(tmp_path, layers):
    model = make_model(layers)
    session = open_session(export_encoder(model, tmp_path / "encoder.onnx"))
    for frames in (1, 37, 210):
        features = torch.randn(1, frames, 8)
        with torch.no_grad():
            expected, _ = model.encoder(features)
        torch.testing.assert_close(run_encoder(session, features), expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.1


@pytest.mark.parametrize("layers", [LAYERS["dense"], LAYERS["hidden subsets"]], ids=["dense", "hidden subsets"])
def test_front_end_and_blocks_make_the_encoder(tmp_path, layers):
    model = make_model(layers)
    front_end = export_front_end(model, tmp_path / "front_end.onnx")
    blocks = export_blocks(model, tmp_path / "blocks.onnx")
    for frames in (50, 131):
        features = torch.randn(1, frames, 8)
        with torch.no_grad():
            stream, _ = model.encoder.front_end(features, None)
            expected = model.encoder.blocks(stream)
        torch.testing.assert_close(run_encoder(front_end, features), stream, atol=1e-4, rtol=0)
        torch.testing.assert_close(run_encoder(blocks, stream), expected, atol=1e-4, rtol=0)


def test_removed_weights_are_zeros_of_the_file(tmp_path):
    model, features = make_model(LAYERS["dense"][:1]), torch.randn(1, 60, 8)
    weights = [model.encoder.get_parameter(name) for name in model.encoder.block_matrices()]
    with torch.no_grad():
        dense, _ = model.encoder(features)
        for weight in weights:
            weight[torch.rand_like(weight) < 0.5] = 0
        expected, _ = model.encoder(features)
    path = export_encoder(model, tmp_path / "encoder.onnx")
    torch.testing.assert_close(run_encoder(path, features), expected, atol=1e-4, rtol=0)
    assert (expected - dense).abs().max() > 1e-2
    matrices = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1]
    assert sum(int((matrix == 0).sum()) for matrix in matrices) == sum(int((weight == 0).sum()) for weight in weights)


def test_file_is_whole_valid_and_alone(tmp_path, capfd):
    model = make_model(LAYERS["dense"][:1]).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = export_encoder(model, tmp_path / "deep" / "encoder.onnx")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert [file.name for file in path.parent.iterdir()] == ["encoder.onnx"]
    graph = onnx.load(path).graph
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert [axis.dim_param or axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim] == [1, "frames", 8]
    assert model.training


def test_export_of_a_model_in_training_has_no_dropout(tmp_path):
    arch = TransducerArch(DENSE, 5, "stateless", 8, 1, 8)
    model, features = Transducer(arch, dropout=0.5).train(), torch.randn(1, 60, 8)
    exported = run_encoder(export_encoder(model, tmp_path / "encoder.onnx"), features)
    with torch.no_grad():
        expected, _ = model.eval().encoder(features)
    torch.testing.assert_close(exported, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layers", [(BlockArch(2, 24),) * 2, (BlockArch(0, 24), BlockArch(1, 0))], ids=["dense", "cut"])
@pytest.mark.parametrize("ranks", [{}, {"layers.0.ffn.up": 3, "head": 4}], ids=["whole", "factorised"])
def test_a_language_model_computes_the_same_at_other_lengths(tmp_path, layers, ranks):
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelArch(9, 16, 8, layers).with_ranks(ranks)).eval()
    session = open_session(export_language_model(model, tmp_path / "model.onnx"))
    for length in (1, 7, 120):
        tokens = torch.randint(9, (1, length))
        with torch.no_grad():
            assert torch.allclose(run_encoder(session, tokens), model(tokens), atol=1e-5)


def test_a_saved_recogniser_is_exported_as_its_family_does(tmp_path):
    torch.manual_seed(0)
    arch = Wav2Vec2Arch(((8, 10, 5), (8, 3, 2)), "layer_norm", True, 16, 8, 4, 2, True, (BlockArch(2, 24),), True, 9)
    model = Wav2Vec2(arch).eval()
    (path,) = prune_bench.export_pruned(save_model(model, tmp_path / "model"), tmp_path / "onnx")
    assert path.name == "recogniser.onnx"
    for samples in (90, 800):
        waveform = torch.randn(1, samples)
        with torch.no_grad():
            assert torch.allclose(run_encoder(path, waveform), model(waveform)[0], atol=1e-5)


def test_a_family_without_an_export_says_so(tmp_path, monkeypatch):
    model = LanguageModel(LanguageModelArch(9, 16, 8, (BlockArch(2, 24),)))
    folder = save_model(model, tmp_path)
    monkeypatch.setattr(artefacts, "FAMILIES", [replace(FAMILIES.find("language_model"), exports={})])
    with pytest.raises(ValueError, match="models of task=language_model have no export"):
        export_model(folder, tmp_path / "onnx")


class Called(nn.Module):
    """A module of others with a forward of its layers."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module.layers(x)


PRUNINGS = {
    "weights": lambda: OMP(0.5),
    "svd": lambda: LowRank(0.5),
    "ranks": lambda: OMP(0.5, structure="ranks"),
}


@pytest.mark.filterwarnings("ignore:You are using the legacy")
@pytest.mark.parametrize("dynamo", [False, True], ids=["tracer", "torch.export"])
@pytest.mark.parametrize("make", PRUNINGS.values(), ids=PRUNINGS)
def test_a_pruned_module_of_others_can_be_exported(tmp_path, make, dynamo):
    module, pruning, inputs = Classifier(), make(), torch.randn(4, 10)
    trainer(tmp_path, pruning).fit(module, loader())
    keys = list(module.state_dict())
    model = Called(pruning.export(module)).eval()
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (inputs,), path, input_names=["input"], dynamo=dynamo)
    torch.testing.assert_close(run_encoder(path, inputs), model(inputs).detach(), atol=1e-5, rtol=0)
    assert list(module.state_dict()) == keys
