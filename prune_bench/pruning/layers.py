"""The layers of a network by name, and which of them read its input and give its output."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_INPUT = re.compile(r"(^|_)(embed|feature_projection|patch|stem|subsampl|prenet|front_?end|input|in_proj)")
_OUTPUT = re.compile(r"(lm_|ctc_|cls_|classification_|output_)?head|classifier|qa_outputs|logits|score")
_OUTPUT_LAYER = re.compile(r"decoder|output_layer|output_projection")


@dataclass(frozen=True)
class LayerWeights:
    """Weight matrices that act together, and the features (channels of a convolution) that they read and write.

    `kind` is "linear", "attention", "recurrent", "convolution" or "embedding"; `weights` are parameter names.
    """

    path: str
    kind: str
    weights: tuple[str, ...]
    inputs: int
    outputs: int

    @property
    def is_numbered(self) -> bool:
        """Whether it lies inside an element of a list of modules, as the layers of a Transformer block do."""
        return any(part.isdigit() for part in self.path.split(".")[:-1])

    @property
    def place(self) -> tuple[str, int, int]:
        """What it shares with its counterparts in equal blocks: its path without numbers, and its shape."""
        *outer, last = self.path.split(".")
        return ".".join([*("*" if part.isdigit() else part for part in outer), last]), self.inputs, self.outputs


def plain(name: str) -> str:
    """A name without what torch.compile puts into it."""
    return name.replace("_orig_mod.", "").removesuffix("_orig_mod").rstrip(".")


def is_transposed(layer: nn.Module) -> bool:
    """Whether a linear layer holds its matrix as (inputs, outputs): GPT-2's Conv1D."""
    return type(layer).__name__ == "Conv1D" and hasattr(layer, "nf")


def list_layers(module: nn.Module) -> list[LayerWeights]:
    """The layers of known kinds in order of registration; each layer of a recurrent stack is one of its own."""
    return [layer for name, child in module.named_modules() for layer in _read(plain(name), child)]


def _read(path: str, child: Any) -> Iterator[LayerWeights]:
    def layer(kind: str, weights: Iterable[str], inputs: int, outputs: int) -> LayerWeights:
        return LayerWeights(path, kind, tuple(f"{path}.{name}" if path else name for name in weights), inputs, outputs)

    if isinstance(child, nn.Linear):
        yield layer("linear", ["weight"], child.in_features, child.out_features)
    elif is_transposed(child):
        yield layer("linear", ["weight"], *child.weight.shape)
    elif isinstance(child, CONVOLUTIONS):
        yield layer("convolution", ["weight"], child.in_channels, child.out_channels)
    elif isinstance(child, EMBEDDINGS):
        yield layer("embedding", ["weight"], 0, child.embedding_dim)
    elif isinstance(child, nn.MultiheadAttention):
        names = [name for name, _ in child.named_parameters(recurse=False) if name.endswith("_proj_weight")]
        yield layer("attention", names, child.embed_dim, child.embed_dim)
    elif isinstance(child, nn.RNNCellBase):
        yield layer("recurrent", ["weight_ih", "weight_hh"], child.input_size, child.hidden_size)
    elif isinstance(child, nn.RNNBase):
        width = (child.proj_size or child.hidden_size) * (1 + child.bidirectional)
        for i in range(child.num_layers):
            names = [name for name in child._parameters if re.fullmatch(rf"weight_.*_l{i}(_reverse)?", name)]
            yield layer("recurrent", names, width if i else child.input_size, width)


def input_layers(layers: Sequence[LayerWeights]) -> set[LayerWeights]:
    """The layers that read the network's input (see `find_targets` for the rule)."""
    return _ends(layers, _named(layers, _is_input), _reads_input)


def output_layers(layers: Sequence[LayerWeights]) -> set[LayerWeights]:
    """The layers that give the network's output (see `find_targets` for the rule)."""
    return _ends(layers[::-1], _named(layers[::-1], _is_output), _gives_output)


def _ends(
    layers: Sequence[LayerWeights],
    named: set[LayerWeights],
    is_end: Callable[[LayerWeights, Sequence[LayerWeights]], bool],
) -> set[LayerWeights]:
    """Those named so, and those of such a width outside of blocks or else inside; if there are none, the first one."""
    own = [layer for layer in layers if layer.kind != "embedding"]
    places = Counter(layer.place for layer in own)
    outer = {layer for layer in own if not layer.is_numbered and is_end(layer, layers)}
    inner = {layer for layer in own if layer.is_numbered and places[layer.place] == 1 and is_end(layer, layers)}
    return named | (outer or inner) or {layer for layer in own[:1] if not layer.is_numbered}


def _named(layers: Iterable[LayerWeights], fits: Callable[[str, bool], bool]) -> set[LayerWeights]:
    """The first layer inside each module whose name fits, blocks left aside."""
    found: dict[str, LayerWeights] = {}
    for layer in layers:
        parts = layer.path.split(".")
        if layer.kind == "embedding" or layer.is_numbered:
            continue
        for depth, part in enumerate(parts, 1):
            if fits(part, depth == len(parts)):
                found.setdefault(".".join(parts[:depth]), layer)
    return set(found.values())


def _is_input(name: str, is_layer: bool) -> bool:
    return bool(_INPUT.search(name))


def _is_output(name: str, is_layer: bool) -> bool:
    return bool(_OUTPUT.fullmatch(name) or (is_layer and _OUTPUT_LAYER.fullmatch(name)))


def _reads_input(layer: LayerWeights, layers: Collection[LayerWeights]) -> bool:
    return not any(_feeds(other, layer) for other in layers if other is not layer)


def _gives_output(layer: LayerWeights, layers: Collection[LayerWeights]) -> bool:
    return not any(_feeds(layer, other) for other in layers if other is not layer)


def _feeds(first: LayerWeights, second: LayerWeights) -> bool:
    """Whether widths allow the second layer to read the first one's output, which for a convolution may be flattened
    over its positions."""
    if first.kind == "convolution" and first.outputs and second.kind == "linear" and second.inputs:
        return second.inputs % first.outputs == 0
    return first.outputs == second.inputs
