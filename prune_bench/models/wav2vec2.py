"""wav2vec 2.0's encoder (Baevski et al., NeurIPS 2020), torchaudio's, with heads, FFN channels and ranks per layer.

State names are torchaudio's own. Every width is per layer, so that a pruned and compacted encoder is the same class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from prune_bench.models.arch import BlockArch, factorised, narrowed
from prune_bench.models.layers import Attention, Positions
from prune_bench.models.low_rank import make_linear
from prune_bench.models.units import read, written
from prune_bench.pruning.units import UnitGroup
from prune_bench.torchaudio_internals import add_positions, project

LAYERS = "encoder.transformer.layers"


@dataclass(frozen=True)
class Wav2Vec2Arch:
    """`convs` are (channels, kernel, stride) of the convolutions that read the waveform.

    `norm` is "group_norm" (over time, the first convolution alone) or "layer_norm" (over channels, each of them);
    `norm_first` puts a block's norms before its modules. `normalize` scales each waveform to zero mean and unit
    variance, to which `epsilon` is added. `vocabulary` counts the outputs of the CTC head, the blank included; 0 for no
    head. With `mask_embedding` the weights hold the vector that stood for hidden frames in pretraining.
    """

    convs: tuple[tuple[int, int, int], ...]
    norm: str
    conv_bias: bool
    width: int
    head_width: int
    position_kernel: int
    position_groups: int
    norm_first: bool
    layers: tuple[BlockArch, ...]
    normalize: bool = False
    vocabulary: int = 0
    epsilon: float = 1e-5
    mask_embedding: bool = False

    def __post_init__(self) -> None:
        layers = (layer if isinstance(layer, BlockArch) else BlockArch(**layer) for layer in self.layers)
        object.__setattr__(self, "layers", tuple(layers))
        object.__setattr__(self, "convs", tuple((c, k, s) for c, k, s in self.convs))

    @classmethod
    def of(cls, model: Wav2Vec2Model, normalize: bool = False) -> Wav2Vec2Arch:
        """The architecture of a model that torchaudio built."""
        convs, transformer = model.feature_extractor.conv_layers, model.encoder.transformer
        position, first = transformer.pos_conv_embed.conv, transformer.layers[0].attention
        return cls(
            convs=tuple((layer.conv.out_channels, layer.kernel_size, layer.stride) for layer in convs),
            norm="group_norm" if isinstance(convs[0].layer_norm, nn.GroupNorm) else "layer_norm",
            conv_bias=convs[0].conv.bias is not None,
            width=first.embed_dim,
            head_width=first.head_dim,
            position_kernel=position.kernel_size[0],
            position_groups=position.groups,
            norm_first=transformer.layers[0].layer_norm_first,
            layers=tuple(
                BlockArch(layer.attention.num_heads, layer.feed_forward.intermediate_dense.out_features)
                for layer in transformer.layers
            ),
            normalize=normalize,
            vocabulary=0 if model.aux is None else model.aux.out_features,
        )

    def keep(self, kept: Mapping[str, Tensor | Sequence[int]]) -> Wav2Vec2Arch:
        """The smaller architecture with only the kept units of the named groups; groups not named stay whole."""
        return replace(self, layers=narrowed(self.layers, LAYERS, kept))

    def with_ranks(self, ranks: Mapping[str, int]) -> Wav2Vec2Arch:
        """The architecture with layers factorised, as in {"encoder.transformer.layers.0.attention.q_proj": 40}."""
        inner = {name.removeprefix("encoder.transformer."): rank for name, rank in ranks.items()}
        return replace(self, layers=factorised(self.layers, inner))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Wav2Vec2Arch:
        """The architecture that `to_dict` gave."""
        return cls(**values)


def read_convs(text: str) -> tuple[tuple[int, int, int], ...]:
    """(channels, kernel, stride) of each convolution from fairseq's "[(512, 10, 5)] + [(512, 3, 2)] * 4"."""
    convs: list[tuple[int, int, int]] = []
    for part in text.split("+"):
        match = re.fullmatch(r"\s*\[((?:\s*\(\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\)\s*,?)+)\](?:\s*\*\s*(\d+))?\s*", part)
        if not match:
            raise ValueError(f"conv_feature_layers={text!r} is not a sum of lists of (channels, kernel, stride)")
        numbers = [int(number) for number in re.findall(r"\d+", match[1])]
        layers = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
        convs += layers * int(match[2] or 1)
    return tuple(convs)


def frames_of(convs: Sequence[tuple[int, int, int]], samples: int) -> int:
    """How many frames the convolutions make of a waveform."""
    for _, kernel, stride in convs:
        samples = max(0, (samples - kernel) // stride + 1)
    return samples


class Wav2Vec2(Wav2Vec2Model):
    """(batch, samples) waveforms at 16 kHz to (batch, frames, vocabulary) CTC logits, or to hidden states.

    In training these probabilities drop projected features (`input_dropout`), attention weights, FFN channels
    (`activation_dropout`), the stream before the layers and what each module adds to it (`dropout`), the head's input
    (`final_dropout`), and whole layers (`layer_drop`). With "group_norm" an utterance's output depends on the length it
    is padded to: evaluate one at a time.
    """

    def __init__(
        self,
        arch: Wav2Vec2Arch,
        dropout: float = 0.0,
        layer_drop: float = 0.0,
        input_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        final_dropout: float = 0.0,
    ):
        dense = wav2vec2_model(
            extractor_mode=arch.norm,
            extractor_conv_layer_config=list(arch.convs),
            extractor_conv_bias=arch.conv_bias,
            encoder_embed_dim=arch.width,
            encoder_projection_dropout=input_dropout,
            encoder_pos_conv_kernel=arch.position_kernel,
            encoder_pos_conv_groups=arch.position_groups,
            encoder_num_layers=len(arch.layers),
            encoder_num_heads=arch.width // arch.head_width,
            encoder_attention_dropout=attention_dropout,
            encoder_ff_interm_features=1,
            encoder_ff_interm_dropout=activation_dropout,
            encoder_dropout=dropout,
            encoder_layer_norm_first=arch.norm_first,
            encoder_layer_drop=layer_drop,
            aux_num_out=arch.vocabulary or None,
        )
        super().__init__(dense.feature_extractor, dense.encoder, dense.aux)
        self.arch = arch
        self.encoder.transformer.pos_conv_embed = Positions(self.encoder.transformer.pos_conv_embed)
        for layer, widths in zip(self.encoder.transformer.layers, arch.layers, strict=True):
            resize(layer, widths, arch)
        self.final_dropout = nn.Dropout(final_dropout)
        self.mask_embedding = nn.Parameter(torch.empty(arch.width).uniform_()) if arch.mask_embedding else None

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Outputs, and how many frames of each are speech. `lengths` are in samples, None for no padding.

        In the place of waveforms and samples may stand what `convolve` made of them.
        """
        features, lengths = (waveforms, lengths) if waveforms.dim() == 3 else self.convolve(waveforms, lengths)
        hidden = self.encoder(features, lengths)
        return hidden if self.aux is None else self.aux(self.final_dropout(hidden)), lengths

    def convolve(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The convolutions' output (batch, frames, channels) for waveforms (batch, samples), and the frames of each."""
        if self.arch.normalize:
            waveforms = normalize(waveforms, lengths, self.arch.epsilon)
        return self.feature_extractor(waveforms, lengths)

    def front_end(self, waveforms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The layers' input for waveforms (batch, samples): convolutions, projection and positions."""
        features, lengths = self.convolve(waveforms, lengths)
        return add_positions(self.encoder.transformer, project(self.encoder, features)), lengths

    def blocks(self, stream: Tensor) -> Tensor:
        """The layers alone, without padding."""
        for layer in self.encoder.transformer.layers:
            stream, _ = layer(stream)
        return stream

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """All but the head."""
        yield from self.feature_extractor.parameters()
        yield from self.encoder.parameters()

    def block_matrices(self) -> list[str]:
        """Names of the weight matrices of the Transformer layers: what sparsity is a fraction of."""
        return [name for name, p in self.named_parameters() if name.startswith(LAYERS) and p.dim() > 1]

    def units(self) -> list[UnitGroup]:
        """The heads and FFN channels of each layer."""
        groups = []
        for i, layer in enumerate(self.encoder.transformer.layers):
            name, width, ffn = f"{LAYERS}.{i}", self.arch.head_width, layer.feed_forward
            projections = [(f"{name}.attention.{p}_proj", getattr(layer.attention, f"{p}_proj")) for p in "qkv"]
            inputs = tuple(place for path, linear in projections for place in written(path, linear, width))
            outputs = read(f"{name}.attention.out_proj", layer.attention.out_proj, width)
            groups.append(UnitGroup(f"{name}.heads", "heads", self.arch.layers[i].heads, inputs, outputs))
            inputs = written(f"{name}.feed_forward.intermediate_dense", ffn.intermediate_dense)
            outputs = read(f"{name}.feed_forward.output_dense", ffn.output_dense)
            groups.append(UnitGroup(f"{name}.ffn", "ffn", self.arch.layers[i].ffn, inputs, outputs))
        return [group for group in groups if group.size]


def resize(layer: Any, widths: BlockArch, arch: Wav2Vec2Arch) -> None:
    """Give a layer of torchaudio's as many heads and FFN channels as `widths` says."""
    inner, attention, ffn, ranks = widths.heads * arch.head_width, layer.attention, layer.feed_forward, widths.ranks
    attention.num_heads = widths.heads
    for name in ("q_proj", "k_proj", "v_proj"):
        setattr(attention, name, make_linear(arch.width, inner, ranks.get(f"attention.{name}")))
    attention.out_proj = make_linear(inner, arch.width, ranks.get("attention.out_proj"))
    layer.attention = Attention(attention)
    ffn.intermediate_dense = make_linear(arch.width, widths.ffn, ranks.get("feed_forward.intermediate_dense"))
    ffn.output_dense = make_linear(widths.ffn, arch.width, ranks.get("feed_forward.output_dense"))


def normalize(waveforms: Tensor, lengths: Tensor | None, epsilon: float = 1e-5) -> Tensor:
    """(batch, samples) waveforms, each less its mean and divided by sqrt(variance + epsilon); padding becomes zero.

    Mean and variance are over the `lengths` samples of each, all of them for None.
    """
    if lengths is None:
        return F.layer_norm(waveforms, waveforms.shape[-1:], eps=epsilon)
    inside = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
    count = lengths[:, None]
    centred = (waveforms - (waveforms * inside).sum(1, keepdim=True) / count) * inside
    return centred * (centred.square().sum(1, keepdim=True) / count + epsilon).rsqrt()
