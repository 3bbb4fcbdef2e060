"""Encoders of other projects: equal outputs before and after import, and one clear line for what cannot be read."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torchaudio.models import wav2vec2_model

from prune_bench.compaction import largest_difference
from prune_bench.config import PretrainingConfig
from prune_bench.models.pretrained import BUNDLES, from_bundle, load_pretrained, published, read_convs
from prune_bench.models.wav2vec2 import normalize

CONVS = [(12, 10, 5), (12, 3, 2), (16, 2, 2)]
CONFIG = {
    "conv_dim": [12, 12, 16], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2], "conv_bias": True,
    "feat_extract_norm": "layer", "hidden_size": 24, "num_attention_heads": 4, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4, "do_stable_layer_norm": True, "intermediate_size": 40, "num_hidden_layers": 2,
}  # fmt: skip
FAIRSEQ = {
    "conv_feature_layers": "[(12, 10, 5)] + [(12, 3, 2)] * 1 + [(16,2,2)]", "conv_bias": True,
    "extractor_mode": "layer_norm", "encoder_embed_dim": 24, "encoder_attention_heads": 4, "conv_pos": 8,
    "conv_pos_groups": 4, "layer_norm_first": True, "encoder_ffn_embed_dim": 40, "encoder_layers": 2,
}  # fmt: skip
TO_FAIRSEQ = (
    ("encoder.feature_projection.projection.", "post_extract_proj."),
    ("encoder.feature_projection.layer_norm.", "layer_norm."),
    ("encoder.transformer.pos_conv_embed.conv.", "encoder.pos_conv.0."),
    ("encoder.transformer.", "encoder."),
    (".attention.", ".self_attn."),
    ("feed_forward.intermediate_dense", "fc1"),
    ("feed_forward.output_dense", "fc2"),
)


EMBEDDING = torch.linspace(-1, 1, 24)

# How each project writes where the norms are, in wav2vec 2.0 base and in the encoders made of more speech.
BASE = {"conv_bias": False, "feat_extract_norm": "group", "do_stable_layer_norm": False}
FAIRSEQ_BASE = {"conv_bias": False, "extractor_mode": "default", "layer_norm_first": False}


@pytest.fixture(params=["base", "large"])
def original(request):
    norm, later = ("group_norm", False) if request.param == "base" else ("layer_norm", True)
    torch.manual_seed(0)
    widths = 24, 0.0, 8, 4, 2, 4, 0.0, 40, 0.0, 0.0
    return wav2vec2_model(norm, CONVS, later, *widths, later, 0.0, None).eval()


def is_base(model) -> bool:
    return not model.encoder.transformer.layers[0].layer_norm_first


def speech() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 700), torch.tensor([700, 480])


def old_weight_norm(name: str) -> str:
    return name.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


def write_hugging_face(folder, model, **changes) -> None:
    """In the layout and under the names of Hugging Face's Wav2Vec2ForPreTraining."""
    state = {"wav2vec2.masked_spec_embed": EMBEDDING.clone(), "project_q.weight": torch.zeros(2, 2)}
    for name, tensor in model.state_dict().items():
        short = name.removeprefix("encoder.").replace("transformer.", "encoder.")
        state[f"wav2vec2.{short}"] = tensor.clone()
    save_file(state, folder / "model.safetensors")
    norms = BASE if is_base(model) else {}
    (folder / "config.json").write_text(json.dumps({**CONFIG, **norms, **changes}))


def write_fairseq(file, model, normalize: bool = False) -> None:
    state = {"mask_emb": EMBEDDING, "quantizer.vars": torch.zeros(1, 2, 2), "final_proj.bias": torch.zeros(2)}
    for name, tensor in model.state_dict().items():
        for there, here in TO_FAIRSEQ:
            name = name.replace(there, here)
        layer = name.split(".")
        if layer[0] == "feature_extractor":
            place = {"conv": "0", "layer_norm": "2" if is_base(model) else "2.1"}[layer[3]]
            name = ".".join((*layer[:3], place, layer[4]))
        elif layer[1] == "layers" and layer[3] == "layer_norm":
            name = name.replace(".layer_norm.", ".self_attn_layer_norm.")
        state[old_weight_norm(name)] = tensor
    described = {**FAIRSEQ, **(FAIRSEQ_BASE if is_base(model) else {})}
    torch.save({"model": state, "cfg": {"model": described, "task": {"normalize": normalize}}, "args": None}, file)


def test_a_hugging_face_folder_computes_the_same(tmp_path, original):
    write_hugging_face(tmp_path, original)
    assert largest_difference(load_pretrained(tmp_path), original, *speech()) == 0.0


@pytest.mark.parametrize("norms", [{}, BASE], ids=["large", "base"])
def test_a_folder_that_transformers_wrote_computes_the_same(tmp_path, norms):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    for head, vocabulary in (("Wav2Vec2ForPreTraining", 0), ("Wav2Vec2ForCTC", 11)):
        config = transformers.Wav2Vec2Config(**{**CONFIG, **norms}, vocab_size=11, num_feat_extract_layers=3)
        peer = getattr(transformers, head)(config).eval()
        peer.save_pretrained(tmp_path)
        model = load_pretrained(tmp_path)
        assert model.arch.vocabulary == vocabulary
        assert torch.equal(model.mask_embedding, peer.wav2vec2.masked_spec_embed)
        waveforms, _ = speech()
        expected = peer(waveforms).logits if vocabulary else peer.wav2vec2(waveforms).last_hidden_state
        torch.testing.assert_close(model(waveforms)[0], expected, atol=1e-5, rtol=1e-4)


def test_a_quiet_waveform_is_scaled_as_transformers_does(tmp_path, original):
    transformers = pytest.importorskip("transformers")
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    write_hugging_face(tmp_path, original)
    extractor.save_pretrained(tmp_path)
    model = load_pretrained(tmp_path)
    waveform = 1e-3 * torch.randn(700)
    scaled = extractor(waveform.numpy(), sampling_rate=16000, return_tensors="pt").input_values
    torch.testing.assert_close(normalize(waveform[None], None, model.arch.epsilon), scaled, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(waveform[None])[0], original(scaled)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_fairseq_checkpoint_computes_the_same(tmp_path, original, normalize):
    write_fairseq(tmp_path / "wav2vec.pt", original, normalize)
    model = load_pretrained(tmp_path / "wav2vec.pt")
    waveforms = 3 * speech()[0] + 1
    expected = torch.nn.functional.layer_norm(waveforms, (700,)) if normalize else waveforms
    torch.testing.assert_close(model(waveforms)[0], original(expected)[0])


class Bundle:
    def __init__(self, model, wrapped: bool):
        self.model, self.wrapped = model, wrapped

    def get_model(self):
        if not self.wrapped:
            return self.model
        outer = torch.nn.Module()
        outer.model = self.model
        return outer


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_bundle_keeps_its_weights_and_its_normalisation(original, wrapped):
    model = from_bundle(Bundle(original, wrapped))
    assert model.arch.normalize == wrapped
    assert all(torch.equal(tensor, original.state_dict()[name]) for name, tensor in model.state_dict().items())
    waveforms = 3 * speech()[0] + 1
    expected = torch.nn.functional.layer_norm(waveforms, (700,)) if wrapped else waveforms
    torch.testing.assert_close(model(waveforms)[0], original(expected)[0])


def test_a_waveforms_variance_is_increased_as_its_source_does(tmp_path, original):
    write_hugging_face(tmp_path, original)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    write_fairseq(tmp_path / "wav2vec.pt", original, normalize=True)
    sources = load_pretrained(tmp_path), load_pretrained(tmp_path / "wav2vec.pt"), from_bundle(Bundle(original, True))
    assert [model.arch.epsilon for model in sources] == [1e-7, 1e-5, 1e-5]
    quiet = 1e-3 * torch.randn(1, 700)
    centred, variance = quiet - quiet.mean(), quiet.var(unbiased=False)
    for model in sources:
        expected = original(centred / (variance + model.arch.epsilon).sqrt())[0]
        torch.testing.assert_close(model(quiet)[0], expected, atol=1e-4, rtol=1e-3)


def test_the_mask_embedding_of_pretraining_is_read_where_a_source_has_one(tmp_path, original):
    write_hugging_face(tmp_path, original)
    write_fairseq(tmp_path / "wav2vec.pt", original)
    for source in (tmp_path, tmp_path / "wav2vec.pt"):
        model = load_pretrained(source)
        assert model.arch.mask_embedding
        assert torch.equal(model.mask_embedding, EMBEDDING)
    model = from_bundle(Bundle(original, False))
    assert (model.arch.mask_embedding, model.mask_embedding) == (False, None)


def test_fairseqs_text_of_the_convolutions():
    assert read_convs("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] + [(512,2,2)]") == (
        (512, 10, 5), *((512, 3, 2),) * 4, (512, 2, 2), (512, 2, 2)
    )  # fmt: skip
    assert read_convs("[(8, 4, 2), (6, 3, 1)] * 2") == ((8, 4, 2), (6, 3, 1)) * 2
    with pytest.raises(ValueError, match="not a sum of lists"):
        read_convs("__import__('os').getcwd()")


def spoil(folder, original, fault: str):
    """A source with one fault, and what the message must name."""
    if fault == "nothing":
        return folder / "absent", "xlsr-53"
    if fault == "size":
        write_hugging_face(folder, original, intermediate_size=44)
        return folder, "intermediate_dense"
    if fault == "weights":
        (folder / "config.json").write_text(json.dumps(CONFIG))
        return folder, "model.safetensors or pytorch_model.bin is missing"
    if fault == "key":
        (folder / "config.json").write_text(json.dumps({"hidden_size": 24}))
        return folder, "num_attention_heads"
    file = folder / "checkpoint.pt"
    if fault == "truncated":
        write_fairseq(file, original)
        file.write_bytes(file.read_bytes()[:2000])
        return file, "checkpoint.pt is not a readable checkpoint"
    if fault == "code":
        torch.save({"model": Bundle(None, False)}, file)
        return file, "checkpoint.pt is not a readable checkpoint"
    torch.save({"model": {"decoder.weight": torch.zeros(1)}, "cfg": {"model": FAIRSEQ}}, file)
    return file, "decoder.weight is not a weight of a wav2vec2 encoder"


@pytest.mark.parametrize("fault", ["nothing", "size", "weights", "key", "truncated", "code", "names"])
def test_a_bad_source_is_one_clear_line(tmp_path, original, fault):
    source, named = spoil(tmp_path, original, fault)
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        load_pretrained(source)
    assert named in str(caught.value)


@pytest.mark.parametrize(("source", "size", "languages", "expected"), [
    ("own", "base", "en", None), ("random", "base", "en+es", None),
    ("wav2vec2", "base", "en", "wav2vec2-base"), ("wav2vec2", "large", "en", "wav2vec2-large"),
    ("wav2vec2", "base", "en+es", "xlsr-53"), ("xlsr-53", "base", "en+es", "xlsr-53"),
    ("one+many", "base", "en", "one"), ("one+many", "base", "en+es", "many"),
])  # fmt: skip
def test_the_source_depends_on_size_and_languages(source, size, languages, expected):
    assert published(PretrainingConfig(source=source, languages=languages), size) == expected
    assert source != "wav2vec2" or expected in BUNDLES


def test_one_source_is_not_taken_for_many_languages():
    with pytest.raises(ValueError, match=r"^pretraining\.source=mine has one language: write mine\+ and"):
        published(PretrainingConfig(source="mine", languages="en+es"), "base")
