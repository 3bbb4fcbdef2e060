"""Architectures as plain data: every width of every layer, before and after pruning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from torch import Tensor

from prune_bench.config import ModelConfig


@dataclass(frozen=True)
class LayerArch:
    """Widths of one Conformer layer.

    `conv` is the number of convolution channels, 0 for no module. `hidden` lists the positions of the stream that
    attention and convolution work on (None: all). `ranks` names factorised layers, as in {"ffn1.up": 40}.
    """

    ffn1: int
    heads: int
    conv: int
    ffn2: int
    hidden: tuple[int, ...] | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", None if self.hidden is None else tuple(self.hidden))
        object.__setattr__(self, "ranks", dict(self.ranks))

    def local_width(self, width: int) -> int:
        """How many dimensions of a stream of `width` this layer works on."""
        return width if self.hidden is None else len(self.hidden)


@dataclass(frozen=True)
class BlockArch:
    """Heads and FFN channels of one Transformer layer; `ranks` names factorised layers, as in {"ffn.up": 40}."""

    heads: int
    ffn: int
    ranks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ConformerArch:
    """A Conformer encoder. `position_width` is the width before pruning: sinusoids and the front end keep it."""

    mels: int
    subsampling: int
    width: int
    head_width: int
    kernel: int
    position_width: int
    layers: tuple[LayerArch, ...]

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"model.kernel={self.kernel}: depthwise kernels must have an odd number of taps")
        layers = (layer if isinstance(layer, LayerArch) else LayerArch(**layer) for layer in self.layers)
        object.__setattr__(self, "layers", tuple(layers))

    @classmethod
    def dense(
        cls, mels: int, subsampling: int, width: int, heads: int, ffn: int, kernel: int, layers: int
    ) -> ConformerArch:
        """Equal layers, nothing pruned."""
        layer = LayerArch(ffn1=ffn, heads=heads, conv=width, ffn2=ffn)
        return cls(mels, subsampling, width, width // heads, kernel, width, (layer,) * layers)

    def keep(self, kept: Mapping[str, Tensor | Sequence[int]]) -> ConformerArch:
        """The smaller architecture with only the kept units of the named groups; groups not named stay whole.

        A layer keeps a local dimension if both its own group and the global one do.
        """
        stream = _indices(kept, "hidden", self.width)
        moved = {old: new for new, old in enumerate(stream)}
        layers = []
        for i, layer in enumerate(self.layers):
            prefix = f"layers.{i}"
            local = layer.hidden if layer.hidden is not None else tuple(range(self.width))
            survivors = (local[j] for j in _indices(kept, f"{prefix}.hidden", len(local)))
            hidden = tuple(moved[position] for position in survivors if position in moved)
            layers.append(
                replace(
                    layer,
                    ffn1=len(_indices(kept, f"{prefix}.ffn1", layer.ffn1)),
                    heads=len(_indices(kept, f"{prefix}.heads", layer.heads)),
                    conv=layer.conv if _indices(kept, f"{prefix}.conv", 1) else 0,
                    ffn2=len(_indices(kept, f"{prefix}.ffn2", layer.ffn2)),
                    hidden=None if len(hidden) == len(stream) else hidden,
                )
            )
        return replace(self, width=len(stream), layers=tuple(layers))

    def with_ranks(self, ranks: Mapping[str, int]) -> ConformerArch:
        """The architecture with the named layers factorised, as in {"layers.0.ffn1.up": 40}."""
        return replace(self, layers=factorised(self.layers, ranks))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ConformerArch:
        """The architecture that `to_dict` gave."""
        return cls(**values)


@dataclass(frozen=True)
class TransducerArch:
    """A Conformer-Transducer. `vocabulary` counts the blank, token 0; `predictor` is "stateless" or "lstm".

    `tokenizer` is the digest of the tokenizer, empty where it is not known.
    """

    encoder: ConformerArch
    vocabulary: int
    predictor: str
    predictor_width: int
    predictor_layers: int
    joint_width: int
    tokenizer: str = ""

    @classmethod
    def from_config(cls, model: ModelConfig, mels: int, vocabulary: int) -> TransducerArch:
        """The dense architecture of a configuration."""
        encoder = ConformerArch.dense(
            mels, model.subsampling, model.width, model.heads, model.ffn, model.kernel, model.layers
        )
        return cls(
            encoder, vocabulary, model.predictor, model.predictor_width, model.predictor_layers, model.joint_width
        )

    def keep(self, kept: Mapping[str, Tensor | Sequence[int]]) -> TransducerArch:
        """The architecture with a smaller encoder; see ConformerArch.keep."""
        return replace(self, encoder=self.encoder.keep(kept))

    def with_ranks(self, ranks: Mapping[str, int]) -> TransducerArch:
        """The architecture with encoder layers factorised, as in {"encoder.layers.0.ffn1.up": 40}."""
        inner = {name.removeprefix("encoder."): rank for name, rank in ranks.items()}
        return replace(self, encoder=self.encoder.with_ranks(inner))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TransducerArch:
        """The architecture that `to_dict` gave."""
        return cls(**{**values, "encoder": ConformerArch.from_dict(values["encoder"])})


Layer = TypeVar("Layer", LayerArch, BlockArch)


def factorised(layers: Sequence[Layer], ranks: Mapping[str, int]) -> tuple[Layer, ...]:
    """The layers with ranks for what is named "layers.0.ffn1.up" and the like."""
    per_layer: list[dict[str, int]] = [dict(layer.ranks) for layer in layers]
    for name, rank in ranks.items():
        _, i, module = name.split(".", 2)
        per_layer[int(i)][module] = rank
    return tuple(replace(layer, ranks=each) for layer, each in zip(layers, per_layer, strict=True))


def narrowed(
    layers: Sequence[BlockArch], prefix: str, kept: Mapping[str, Tensor | Sequence[int]]
) -> tuple[BlockArch, ...]:
    """The layers with only the kept units of the groups named "prefix.0.heads", "prefix.0.ffn" and the like."""
    return tuple(
        replace(
            layer,
            heads=len(kept.get(f"{prefix}.{i}.heads", range(layer.heads))),
            ffn=len(kept.get(f"{prefix}.{i}.ffn", range(layer.ffn))),
        )
        for i, layer in enumerate(layers)
    )


@dataclass(frozen=True)
class Extent:
    """One side of a matrix: a fixed size times the units kept in a group (None: no group, the size alone)."""

    size: int
    group: str | None = None

    def value(self, counts: Mapping[str, int]) -> int:
        return self.size * (1 if self.group is None else counts[self.group])


def layer_matrices(arch: ConformerArch, i: int) -> Iterator[tuple[str, Extent, Extent]]:
    """(name, rows, columns) of layer i's weight matrices before any factorisation, depthwise kernels included."""
    groups = ("hidden", "ffn1", "heads", "conv", "ffn2")
    local, ffn1, heads, conv, ffn2 = (f"layers.{i}.{group}" for group in groups)
    attention, channels, position = arch.head_width, arch.layers[i].conv, arch.position_width
    yield "ffn1.up", Extent(1, ffn1), Extent(1, "hidden")
    yield "ffn1.down", Extent(1, local), Extent(1, ffn1)
    for name in ("query", "key", "value"):
        yield f"attention.{name}", Extent(attention, heads), Extent(1, local)
    yield "attention.position", Extent(attention, heads), Extent(position)
    yield "attention.out", Extent(1, local), Extent(attention, heads)
    yield "conv.pointwise1", Extent(2 * channels, conv), Extent(1, local)
    yield "conv.depthwise", Extent(channels, conv), Extent(arch.kernel)
    yield "conv.pointwise2", Extent(1, local), Extent(channels, conv)
    yield "ffn2.up", Extent(1, ffn2), Extent(1, local)
    yield "ffn2.down", Extent(1, "hidden"), Extent(1, ffn2)


def unit_counts(arch: ConformerArch) -> dict[str, int]:
    """How many units each group holds, by group name."""
    counts = {"hidden": arch.width}
    for i, layer in enumerate(arch.layers):
        sizes = {"ffn1": layer.ffn1, "heads": layer.heads, "conv": int(layer.conv > 0), "ffn2": layer.ffn2}
        counts |= {f"layers.{i}.{name}": size for name, size in sizes.items()}
        counts[f"layers.{i}.hidden"] = layer.local_width(arch.width)
    return counts


def block_weights(arch: ConformerArch | TransducerArch) -> int:
    """Parameters in the weight matrices of the encoder blocks: the denominator of every sparsity."""
    encoder = arch.encoder if isinstance(arch, TransducerArch) else arch
    counts, total = unit_counts(encoder), 0
    for i, layer in enumerate(encoder.layers):
        for name, rows, columns in layer_matrices(encoder, i):
            a, b = rows.value(counts), columns.value(counts)
            total += layer.ranks[name] * (a + b) if name in layer.ranks else a * b
    return total


def _indices(kept: Mapping[str, Tensor | Sequence[int]], name: str, size: int) -> list[int]:
    if name not in kept:
        return list(range(size))
    chosen = kept[name]
    return sorted(chosen.tolist() if isinstance(chosen, Tensor) else chosen)
