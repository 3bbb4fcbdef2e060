from __future__ import annotations

import re

import pytest
import torch
from strangers import Classifier, SpeechClassifier
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch
from prune_bench.pruning.targets import describe_coverage, find_targets


class LanguageNet(nn.Module):
    """An embedding, plain layers and a head that may be tied to it."""

    def __init__(self, tied: bool = True, auxiliary: bool = False):
        super().__init__()
        self.embedding = nn.Embedding(40, 16)
        self.first, self.second, self.third = (nn.Linear(16, 16) for _ in range(3))
        self.head = nn.Linear(16, 40, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        if auxiliary:
            self.tagger = nn.Linear(16, 2)


class Tagger(nn.Module):
    """A recurrent network between linear layers."""

    def __init__(self):
        super().__init__()
        self.reader = nn.Linear(10, 16)
        self.lstm = nn.LSTM(16, 12, 2, bidirectional=True)
        self.classifier = nn.Sequential(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3))


class Conv1D(nn.Module):
    """As in GPT-2: a linear layer whose matrix is (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int):
        super().__init__()
        self.nf, self.nx = outputs, inputs
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.zeros(outputs))


class Adapted(nn.Module):
    """A layer with a low-rank adapter beside its frozen matrix, named as in PEFT."""

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, base.out_features, bias=False)})


def with_teacher() -> nn.Module:
    return nn.ModuleDict({"student": Classifier().layers, "teacher": Classifier().layers.requires_grad_(False)})


def images(dims: int = 2) -> nn.Module:
    plain = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    transposed = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    layers = plain(1, 8, 3), plain(8, 8, 3), plain(8, 8, 3, groups=8), transposed(8, 8, 3)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 16), nn.Linear(16, 3))


def names(module: nn.Module, **choice) -> list[str]:
    return [name.removesuffix(".weight") for name in find_targets(module, **choice)]


def test_input_and_output_of_a_plain_network_are_left_out():
    assert names(Classifier()) == ["layers.2", "layers.4"]
    assert len(names(SpeechClassifier())) == 12


@pytest.mark.parametrize(("option", "chosen"), [("include", ["layers.2"]), ("exclude", ["layers.4"])])
def test_one_string_is_one_pattern(option, chosen):
    for pattern in ("layers.2", "*layers.2*", "layers.2.weight", "layers.[12]*"):
        assert names(Classifier(), **{option: pattern}) == chosen
        assert names(Classifier(), **{option: [pattern]}) == chosen


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("pattern", ["layer.4*", "layers.44*", "layers.4.bias", "net.layers.4"])
def test_a_pattern_that_matches_nothing_is_an_error_with_near_names(option, pattern):
    message = rf"{option}='{re.escape(pattern)}' matches no weight matrix; near names: layers\.4\.weight"
    with pytest.raises(ValueError, match=message):
        find_targets(Classifier(), **{option: ["layers.2*", pattern]})


def test_include_takes_any_matrix_by_name():
    assert names(Classifier(), include=["layers.0", "layers.6"]) == ["layers.0", "layers.6"]
    assert names(images(), include="3") == ["3"]
    assert names(images(), include="[13]", exclude="1") == ["3"]
    bilinear = nn.ModuleDict({"mix": nn.Bilinear(4, 4, 4), "norm": nn.LayerNorm([3, 4]), "end": nn.Linear(4, 2)})
    assert names(bilinear, include="*") == ["mix", "end"]


def test_frozen_weights_are_left_alone_unless_named():
    module = Classifier()
    module.layers[2].requires_grad_(False)
    assert names(module) == ["layers.4"]
    assert names(module, include="layers.[24]") == ["layers.2", "layers.4"]
    assert names(with_teacher()) == ["student.2", "student.4"]
    assert names(with_teacher(), include="teacher.2") == ["teacher.2"]
    assert names(Classifier().requires_grad_(False)) == ["layers.2", "layers.4"]  # where nothing trains it says nothing


def test_where_only_the_head_trains_the_error_says_what_is_frozen():
    module = Classifier().requires_grad_(False)
    module.layers[6].requires_grad_(True)
    with pytest.raises(ValueError, match=r"nothing to prune in Classifier: left out: frozen \(layers\.0.*output \(la"):
        find_targets(module)


def test_adapters_are_left_out_and_their_frozen_base_is_not():
    module = nn.Sequential(*(layer for layer in Classifier().requires_grad_(False).layers))
    module[2] = Adapted(module[2])
    module.peft_config = {"default": "as PEFT's models have it"}
    assert names(module) == ["2.base_layer", "4"]
    assert names(module, include="*lora_*") == ["2.lora_A.default", "2.lora_B.default"]


@pytest.mark.parametrize("auxiliary", [False, True])
def test_a_matrix_shared_with_an_embedding_is_one(auxiliary):
    module = LanguageNet(auxiliary=auxiliary)
    assert names(module) == ["second", "third"]
    assert names(module, include="*", exclude="tagger" if auxiliary else ()) == ["first", "second", "third"]
    assert names(module, include="head") == names(module, include="embed*") == ["embedding"]
    assert "embedding (embedding.weight shared with head.weight)" in describe_coverage(module, find_targets(module))
    assert names(LanguageNet(tied=False)) == ["second", "third"]


def test_a_matrix_that_layers_share_counts_once():
    module = nn.Sequential(nn.Linear(8, 12), nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 5))
    module[2].weight = module[1].weight
    assert names(module) == names(module, include="2") == ["1"]
    shared = nn.Linear(12, 12)
    module = nn.Sequential(nn.Linear(8, 12), shared, nn.ReLU(), shared, nn.Linear(12, 5))
    assert names(module) == names(module, include="3") == ["1"]


def test_attention_and_recurrent_matrices_are_targets():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 1)
    module = nn.Sequential(nn.Linear(10, 16), encoder, nn.Linear(16, 3))
    block = "1.layers.0.self_attn.in_proj_weight", "1.layers.0.self_attn.out_proj", "1.layers.0.linear1"
    assert names(module) == [*block, "1.layers.0.linear2"]
    assert names(module, include="*in_proj_weight") == [block[0]]
    found = names(Tagger())
    assert found[0] == "lstm.weight_ih_l0"
    assert len(found) == 9
    assert found[-1] == "classifier.0"
    separate = nn.ModuleList([nn.Linear(9, 8), nn.MultiheadAttention(8, 2, kdim=4, vdim=6), nn.Linear(8, 3)])
    assert names(separate) == [*(f"1.{part}_proj_weight" for part in "qkv"), "1.out_proj"]


def test_biases_go_with_their_weights():
    assert list(find_targets(Classifier(), include="layers.2", biases=True)) == ["layers.2.weight", "layers.2.bias"]
    found = list(find_targets(Tagger(), include="lstm.weight_ih_l0", biases=True))
    assert found == ["lstm.weight_ih_l0", "lstm.bias_ih_l0"]
    attention = nn.TransformerEncoderLayer(16, 2, 32)
    found = list(find_targets(attention, include="*in_proj_weight", biases=True))
    assert found == ["self_attn.in_proj_weight", "self_attn.in_proj_bias"]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_are_opt_in_transposed_ones_too(dims):
    assert names(images(dims)) == ["5"]
    assert names(images(dims), convolutions=True) == ["1", "2", "3", "5"]
    with pytest.raises(ValueError, match="convolutions=True"):
        find_targets(images(dims)[:5])


def test_gpt2s_linear_layers_are_targets():
    blocks = nn.ModuleList([nn.ModuleDict({"up": Conv1D(64, 16), "down": Conv1D(16, 64)}) for _ in range(2)])
    module = nn.ModuleDict({"wte": nn.Embedding(40, 16), "h": blocks, "lm_head": nn.Linear(16, 40)})
    assert names(module) == ["h.0.up", "h.0.down", "h.1.up", "h.1.down"]


@pytest.mark.parametrize(
    ("compute", "by"),
    [
        (parametrizations.weight_norm, "WeightNorm"),
        (parametrizations.orthogonal, "Orthogonal"),
        (weight_norm, "weight_norm"),
        (spectral_norm, "spectral_norm"),
        (lambda layer: prune.l1_unstructured(layer, "weight", 0.3), "torch.nn.utils.prune"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_computed_weights_are_refused_with_a_remedy_that_works(compute, by):
    module = Classifier()
    compute(module.layers[2])
    with pytest.raises(ValueError, match=rf"layers\.2\.weight \(by {by}\).*exclude=\['layers\.2\.weight'\]"):
        find_targets(module)
    assert names(module, exclude=["layers.2.weight"]) == ["layers.4"]
    assert "2 of 4" in describe_coverage(module, ["layers.2.weight", "layers.4.weight"])
    compute(module.layers[0])
    assert names(module, exclude=["layers.2.weight"]) == ["layers.4"]


def test_lazy_layers_are_named_until_they_are_built():
    module = nn.Sequential(nn.LazyLinear(24), nn.LazyLinear(32), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"0\.weight has no shape yet .*pass one batch through"):
        find_targets(module)
    module(torch.randn(2, 10))
    assert names(module) == ["1"]


def test_names_are_those_of_the_module_before_it_was_compiled():
    module = Classifier()
    plain = find_targets(module)
    module.layers = torch.compile(module.layers, backend="eager")
    assert {name: id(weight) for name, weight in find_targets(module).items()} == {n: id(w) for n, w in plain.items()}
    assert names(torch.compile(Classifier(), backend="eager"), include="layers.4") == ["layers.4"]


def test_models_with_blocks_of_their_own_decide_themselves():
    model = LanguageModel(LanguageModelArch(9, 16, 8, (BlockArch(2, 24),) * 2, embeddings=False))
    wrapped = nn.Sequential(nn.Linear(3, 3), model.requires_grad_(False), nn.Linear(3, 3))
    assert list(find_targets(wrapped)) == model.block_matrices()
    assert names(wrapped, include="*ffn.up") == ["layers.0.ffn.up", "layers.1.ffn.up"]
    with pytest.raises(ValueError, match="include='head' matches no weight matrix"):
        find_targets(wrapped, include="head")


def test_coverage_says_what_is_left_out_and_why():
    module = with_teacher()
    line = describe_coverage(module, find_targets(module))
    total = 2 * (10 * 24 + 2 * 24 * 32 + 24 * 3)
    assert line.startswith(
        f"targets 2 of 8 weight matrices, {2 * 24 * 32 / total:.1%} of the weights in them; left out: "
    )
    assert "input (student.0.weight)" in line
    assert "output (student.6.weight)" in line
    assert "frozen (teacher.0.weight, teacher.2.weight and 2 more)" in line
    assert (
        describe_coverage(nn.Linear(2, 2), ["weight"])
        == "targets 1 of 1 weight matrices, 100.0% of the weights in them"
    )
    assert describe_coverage(Classifier(), ["layers.2.weight"]).endswith(
        "not chosen (layers.4.weight), output (layers.6.weight)"
    )


def test_hugging_faces_models_keep_embeddings_input_and_head():
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, **small))
    assert names(bert) == [f"bert.{name}" for name, layer in bert.bert.named_modules() if isinstance(layer, nn.Linear)]
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4))
    assert names(gpt2) == [
        f"transformer.h.{i}.{part}" for i in (0, 1) for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    albert = transformers.AlbertForSequenceClassification(
        transformers.AlbertConfig(vocab_size=50, embedding_size=16, **small)
    )
    assert not [name for name in names(albert) if "embedding" in name or "classifier" in name]


def test_adapters_of_peft_are_left_out():
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, **small))
    dense = names(bert)
    adapted = peft.get_peft_model(bert, peft.LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS"))
    assert [name.removeprefix("base_model.model.").removesuffix(".base_layer") for name in names(adapted)] == dense
