"""A causal Transformer over tokens (Vaswani et al., 2017, norms first), built from an Arch.

Token 0, the blank of a recogniser, stands for the border of a sentence: it is the first input and the last output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prune_bench.models.arch import BlockArch, factorised, narrowed
from prune_bench.models.layers import Dropout, attend
from prune_bench.models.low_rank import LowRankLinear, make_linear
from prune_bench.models.units import read, written
from prune_bench.pruning.units import UnitGroup

BORDER = 0
ROOM = 16
State = tuple[Tensor, ...]
Ranks = Mapping[str, int]


@dataclass(frozen=True)
class LanguageModelArch:
    """Widths of a language model. `vocabulary` counts the border, token 0; `tokenizer` is the tokenizer's digest.

    `tied` uses one matrix to read tokens and to score them. With `embeddings` these matrices are prunable too; `ranks`
    names which of them are factorised.
    """

    vocabulary: int
    width: int
    head_width: int
    layers: tuple[BlockArch, ...]
    tied: bool = True
    embeddings: bool = True
    tokenizer: str = ""
    ranks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layers = (layer if isinstance(layer, BlockArch) else BlockArch(**layer) for layer in self.layers)
        object.__setattr__(self, "layers", tuple(layers))

    def keep(self, kept: Mapping[str, Tensor | Sequence[int]]) -> LanguageModelArch:
        """The smaller architecture with only the kept units of the named groups; groups not named stay whole."""
        return replace(self, layers=narrowed(self.layers, "layers", kept))

    def with_ranks(self, ranks: Mapping[str, int]) -> LanguageModelArch:
        """The architecture with the named layers factorised, as in {"layers.0.ffn.up": 40, "head": 30}."""
        inner = {name: rank for name, rank in ranks.items() if name.startswith("layers.")}
        outer = {name: rank for name, rank in ranks.items() if name not in inner}
        return replace(self, layers=factorised(self.layers, inner), ranks={**self.ranks, **outer})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LanguageModelArch:
        """The architecture that `to_dict` gave."""
        return cls(**values)


class CausalAttention(nn.Module):
    """Self-attention that looks back alone; without heads the bias of its output is left."""

    def __init__(self, width: int, heads: int, head_width: int, ranks: Ranks):
        super().__init__()
        inner = heads * head_width
        self.query = make_linear(width, inner, ranks.get("attention.query"))
        self.key = make_linear(width, inner, ranks.get("attention.key"))
        self.value = make_linear(width, inner, ranks.get("attention.value"))
        self.out = make_linear(inner, width, ranks.get("attention.out"))
        self.heads, self.head_width = heads, head_width

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to the same shape."""
        if self.heads == 0:
            return self.out.bias.expand_as(x)
        query, key, value = self.project(x)
        mixed = attend(query, key, value, causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """One token, (batch, width) to the same shape; writes its key and value behind the `lengths` of each row."""
        if self.heads == 0:
            return self.out.bias.expand_as(x)
        query, key, value = self.project(x[:, None])
        rows = torch.arange(len(x), device=x.device)
        keys[rows, :, lengths], values[rows, :, lengths] = key[:, :, 0], value[:, :, 0]
        seen = torch.arange(keys.shape[2], device=x.device) <= lengths[:, None]
        mixed = F.scaled_dot_product_attention(query, keys, values, attn_mask=seen[:, None, None])
        return self.out(mixed[:, :, 0].flatten(1))

    def project(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values, each (batch, heads, tokens, head_width)."""
        layers = self.query, self.key, self.value
        return [layer(x).unflatten(-1, (self.heads, self.head_width)).transpose(1, 2) for layer in layers]


class TransformerFeedForward(nn.Module):
    """Widen, GELU, narrow."""

    def __init__(self, width: int, inner: int, ranks: Ranks):
        super().__init__()
        self.up = make_linear(width, inner, ranks.get("ffn.up"))
        self.down = make_linear(inner, width, ranks.get("ffn.down"))

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class Block(nn.Module):
    """Attention, then FFN, each on the norm of the stream and added to it."""

    def __init__(self, arch: LanguageModelArch, layer: BlockArch, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(arch.width), nn.LayerNorm(arch.width)
        self.attention = CausalAttention(arch.width, layer.heads, arch.head_width, layer.ranks)
        self.ffn = TransformerFeedForward(arch.width, layer.ffn, layer.ranks)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.ffn(self.norm2(x)))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        x = x + self.attention.step(self.norm1(x), keys, values, lengths)
        return x + self.ffn(self.norm2(x))


class LanguageModel(nn.Module):
    """Scores of the next token after each prefix of a sentence."""

    layers: Any
    head: nn.Linear | LowRankLinear
    embedding: nn.Linear | LowRankLinear

    def __init__(self, arch: LanguageModelArch, dropout: float = 0.0):
        super().__init__()
        self.arch = arch
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(Block(arch, layer, dropout) for layer in arch.layers)
        self.norm = nn.LayerNorm(arch.width)
        self.head = make_linear(arch.width, arch.vocabulary, arch.ranks.get("head"), bias=False)
        if not arch.tied:
            self.embedding = make_linear(arch.width, arch.vocabulary, arch.ranks.get("embedding"), bias=False)
        for layer in (self.head, self.reader):
            for parameter in layer.parameters():
                nn.init.normal_(parameter, std=arch.width**-0.5)

    @property
    def reader(self) -> nn.Linear | LowRankLinear:
        """The layer whose rows are the tokens' vectors."""
        return self.head if self.arch.tied else self.embedding

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, tokens, vocabulary) of the token after each of (batch, tokens), first the border."""
        return self.head(self.norm(self.blocks(self.front_end(tokens))))

    def front_end(self, tokens: Tensor) -> Tensor:
        """The layers' input (batch, tokens, width): embeddings plus sinusoidal positions."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.dropout(self.embed(tokens) + sinusoids(places, self.arch.width))

    def embed(self, tokens: Tensor) -> Tensor:
        return look_up(self.reader, tokens) * math.sqrt(self.arch.width)

    def blocks(self, stream: Tensor) -> Tensor:
        for layer in self.layers:
            stream = layer(stream)
        return stream

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before the first token: tokens read so far, then each layer's keys and values, batch first."""
        shapes = [(batch, layer.heads, ROOM, self.arch.head_width) for layer in self.arch.layers for _ in "kv"]
        return (torch.zeros(batch, dtype=torch.long, device=like.device), *(like.new_zeros(shape) for shape in shapes))

    def make_room(self, state: State) -> State:
        """The state with room for one more token in each row."""
        lengths, *caches = state
        if len(lengths) == 0 or int(lengths.max()) < caches[0].shape[2]:
            return state
        return lengths, *(F.pad(cache, (0, 0, 0, ROOM)) for cache in caches)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (batch, vocabulary) after the next tokens (batch,), and the new state; the old one is used up."""
        lengths, *caches = self.make_room(state)
        stream = self.embed(tokens) + sinusoids(lengths, self.arch.width)
        for layer, keys, values in zip(self.layers, caches[::2], caches[1::2], strict=True):
            stream = layer.step(stream, keys, values, lengths)
        return self.head(self.norm(stream)), (lengths + 1, *caches)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """All but the embeddings."""
        yield from self.layers.parameters()
        yield from self.norm.parameters()

    def block_matrices(self) -> list[str]:
        """Names of the weight matrices of the layers (and of the embeddings, if they count): what sparsity is of."""
        prefixes = ("layers.", "head.", "embedding.") if self.arch.embeddings else ("layers.",)
        return [name for name, p in self.named_parameters() if name.startswith(prefixes) and p.dim() > 1]

    def units(self) -> list[UnitGroup]:
        """The heads and FFN channels of each layer."""
        groups = []
        for i, (layer, arch) in enumerate(zip(self.layers, self.arch.layers, strict=True)):
            name, width = f"layers.{i}", self.arch.head_width
            attention, ffn = layer.attention, layer.ffn
            sides = [(f"{name}.attention.{part}", getattr(attention, part)) for part in ("query", "key", "value")]
            inputs = tuple(place for path, linear in sides for place in written(path, linear, width))
            outputs = read(f"{name}.attention.out", attention.out, width)
            groups.append(UnitGroup(f"{name}.heads", "heads", arch.heads, inputs, outputs))
            inputs, outputs = written(f"{name}.ffn.up", ffn.up), read(f"{name}.ffn.down", ffn.down)
            groups.append(UnitGroup(f"{name}.ffn", "ffn", arch.ffn, inputs, outputs))
        return [group for group in groups if group.size]


def look_up(layer: nn.Linear | LowRankLinear, tokens: Tensor) -> Tensor:
    """Rows of a scoring layer's matrix, dense or factorised."""
    if isinstance(layer, LowRankLinear):
        return F.embedding(tokens, layer.up.weight) @ layer.down.weight
    return F.embedding(tokens, layer.weight)


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Sine and cosine of each place at geometric wavelengths: (..., width)."""
    rates = torch.exp(torch.arange(0, width, 2, device=places.device) * (-math.log(10000.0) / width))
    angles = places[..., None] * rates
    return torch.cat((angles.sin(), angles.cos()), -1)[..., :width]
