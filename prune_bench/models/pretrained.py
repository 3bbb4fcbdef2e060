"""Pretrained wav2vec 2.0 encoders: torchaudio's bundles, and checkpoints of fairseq and Hugging Face on this disk.

All are read by their own names into torchaudio's; neither fairseq nor transformers is needed.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torchaudio
from safetensors.torch import load_file
from torch import Tensor

from prune_bench.config import PretrainingConfig
from prune_bench.models.wav2vec2 import BlockArch, Wav2Vec2, Wav2Vec2Arch, read_convs

BUNDLES = {
    "wav2vec2-base": "WAV2VEC2_BASE",
    "wav2vec2-large": "WAV2VEC2_LARGE",
    "wav2vec2-large-lv60k": "WAV2VEC2_LARGE_LV60K",
    "xlsr-53": "WAV2VEC2_XLSR53",
}
FAIRSEQ_KEYS = {
    "width": "encoder_embed_dim",
    "heads": "encoder_attention_heads",
    "ffn": "encoder_ffn_embed_dim",
    "layers": "encoder_layers",
    "conv_bias": "conv_bias",
    "position_kernel": "conv_pos",
    "position_groups": "conv_pos_groups",
    "norm_first": "layer_norm_first",
}
HUGGING_FACE_KEYS = {
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "layers": "num_hidden_layers",
    "conv_bias": "conv_bias",
    "position_kernel": "num_conv_pos_embeddings",
    "position_groups": "num_conv_pos_embedding_groups",
    "norm_first": "do_stable_layer_norm",
}
HUGGING_FACE_EPSILON = 1e-7  # added to the variance of a waveform; fairseq, whose weights torchaudio has, adds 1e-5
MULTILINGUAL = "xlsr-53"
Renames = Sequence[tuple[str, str]]
BLOCK = "encoder.transformer.layers"
HUGGING_FACE: Renames = (
    (r"(?:wav2vec2\.)?(feature_extractor\..*)", r"\1"),
    (r"(?:wav2vec2\.)?(feature_projection\..*)", r"encoder.\1"),
    (r"(?:wav2vec2\.)?encoder\.(.*)", r"encoder.transformer.\1"),
    (r"lm_head\.(.*)", r"aux.\1"),
    (r"(?:wav2vec2\.)?masked_spec_embed", "mask_embedding"),
    (r"(?:wav2vec2\.)?(?:quantizer|project_q|project_hid).*", ""),
)
FAIRSEQ: Renames = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(.*)", r"feature_extractor.conv_layers.\1.conv.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2(?:\.1)?\.(.*)", r"feature_extractor.conv_layers.\1.layer_norm.\2"),
    (r"post_extract_proj\.(.*)", r"encoder.feature_projection.projection.\1"),
    (r"layer_norm\.(.*)", r"encoder.feature_projection.layer_norm.\1"),
    (r"encoder\.pos_conv\.0\.(.*)", r"encoder.transformer.pos_conv_embed.conv.\1"),
    (r"encoder\.layer_norm\.(.*)", r"encoder.transformer.layer_norm.\1"),
    (r"encoder\.layers\.(\d+)\.self_attn\.(.*)", rf"{BLOCK}.\1.attention.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn_layer_norm\.(.*)", rf"{BLOCK}.\1.layer_norm.\2"),
    (r"encoder\.layers\.(\d+)\.fc1\.(.*)", rf"{BLOCK}.\1.feed_forward.intermediate_dense.\2"),
    (r"encoder\.layers\.(\d+)\.fc2\.(.*)", rf"{BLOCK}.\1.feed_forward.output_dense.\2"),
    (r"encoder\.layers\.(\d+)\.final_layer_norm\.(.*)", rf"{BLOCK}.\1.final_layer_norm.\2"),
    (r"mask_emb", "mask_embedding"),
    (r"(?:quantizer|project_q|final_proj|target_glu|proj\.).*", ""),
)


def published(pretraining: PretrainingConfig, size: str) -> str | None:
    """The source of a configuration's weights, of an encoder of that size; None where it has no published ones.

    Of two sources the second holds several languages and serves where pretraining names several.
    """
    source = f"wav2vec2-{size}+{MULTILINGUAL}" if pretraining.source == "wav2vec2" else pretraining.source
    if source in ("own", "random"):
        return None
    single, _, many = source.partition("+")
    if "+" not in pretraining.languages:
        return single
    if not many and single != MULTILINGUAL:
        raise ValueError(f"pretraining.source={source} has one language: write {source}+ and a multilingual source")
    return many or single


def load_pretrained(source: str | Path) -> Wav2Vec2:
    """The encoder that `source` names, in eval mode: a bundle of torchaudio (downloaded), a folder written by
    Hugging Face's `save_pretrained`, or a fairseq checkpoint file.

    Raises:
        ValueError: in one line, what is wrong with the source and what to give instead.
    """
    path = Path(source)
    if str(source) in BUNDLES:
        return from_bundle(getattr(torchaudio.pipelines, BUNDLES[str(source)]))
    if (path / "config.json").is_file():
        return from_hugging_face(path)
    if path.is_file():
        return from_fairseq(path)
    raise ValueError(
        f"pretrained weights {str(source)!r}: give one of {', '.join(BUNDLES)}, a folder with config.json "
        "(Hugging Face) or a checkpoint file (fairseq)"
    )


def from_bundle(bundle: Any) -> Wav2Vec2:
    """A bundle of torchaudio.pipelines; its weights are downloaded once."""
    model = bundle.get_model()
    inner = getattr(model, "model", model)  # where the waveform is normalised, the encoder is wrapped
    return build(Wav2Vec2Arch.of(inner, normalize=inner is not model), inner.state_dict(), "the bundle")


def from_hugging_face(folder: Path) -> Wav2Vec2:
    """A folder with config.json and model.safetensors (or pytorch_model.bin)."""
    config = json.loads((folder / "config.json").read_text())
    try:
        arch = hugging_face_arch(config, folder)
    except KeyError as error:
        raise ValueError(f"{folder / 'config.json'} lacks {error}: not the configuration of a wav2vec2 model") from None
    for name, read in (("model.safetensors", load_file), ("pytorch_model.bin", read_torch)):
        if (folder / name).is_file():
            state = rename(read(folder / name), HUGGING_FACE, folder / name)
            vocabulary = len(state["aux.bias"]) if "aux.bias" in state else 0
            return build(replace(arch, vocabulary=vocabulary), state, folder / name)
    raise ValueError(f"{folder} holds no weights: model.safetensors or pytorch_model.bin is missing")


def hugging_face_arch(config: Mapping[str, Any], folder: Path) -> Wav2Vec2Arch:
    preprocessor = folder / "preprocessor_config.json"
    return make_arch(
        {field: config[key] for field, key in HUGGING_FACE_KEYS.items()},
        convs=tuple(zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"], strict=True)),
        norm=f"{config['feat_extract_norm']}_norm",
        normalize=preprocessor.is_file() and json.loads(preprocessor.read_text()).get("do_normalize", False),
        epsilon=HUGGING_FACE_EPSILON,
    )


def make_arch(known: dict[str, Any], **rest: Any) -> Wav2Vec2Arch:
    """An architecture of equal layers, from the fields of `FAIRSEQ_KEYS` and those that each project writes its way."""
    width, heads, ffn, count = (known.pop(key) for key in ("width", "heads", "ffn", "layers"))
    return Wav2Vec2Arch(
        width=width, head_width=width // heads, layers=(BlockArch(heads, ffn),) * count, **known, **rest
    )


def from_fairseq(file: Path) -> Wav2Vec2:
    """The checkpoint of a pretraining run: its `model` and `cfg`."""
    checkpoint = read_torch(file)
    config = checkpoint.get("cfg") or {}
    if "model" not in checkpoint or "model" not in config:
        raise ValueError(
            f"{file} holds no fairseq model with its configuration: save it again with a fairseq since 2021"
        )
    try:
        arch = fairseq_arch(config["model"], config.get("task") or {})
    except KeyError as error:
        raise ValueError(f"{file}: its configuration lacks {error}: give the checkpoint of a pretraining run") from None
    return build(arch, rename(checkpoint["model"], FAIRSEQ, file), file)


def fairseq_arch(model: Mapping[str, Any], task: Mapping[str, Any]) -> Wav2Vec2Arch:
    return make_arch(
        {field: model[key] for field, key in FAIRSEQ_KEYS.items()},
        convs=read_convs(model["conv_feature_layers"]),
        norm="group_norm" if model["extractor_mode"] == "default" else "layer_norm",
        normalize=task.get("normalize", False),
    )


def read_torch(file: Path) -> dict[str, Any]:
    """A file of torch.save, without running code from it."""
    try:
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{file} is not a readable checkpoint of plain tensors: {str(error).splitlines()[0]}"
        ) from None


def rename(state: Mapping[str, Tensor], renames: Renames, source: Path) -> dict[str, Tensor]:
    """Weights under torchaudio's names; those that only pretraining needs are left out."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in renames:
            if match := re.fullmatch(pattern, name):
                renamed[match.expand(replacement)] = tensor
                break
        else:
            raise ValueError(f"{source}: {name} is not a weight of a wav2vec2 encoder")
    renamed.pop("", None)
    return renamed


def build(arch: Wav2Vec2Arch, state: Mapping[str, Tensor], source: Any) -> Wav2Vec2:
    model = Wav2Vec2(replace(arch, mask_embedding="mask_embedding" in state))
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"the weights of {source} do not fit its configuration: {reason}") from None
    return model.eval()
