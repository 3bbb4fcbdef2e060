"""The removable units of a Conformer: FFN channels, heads, convolution modules, local and global hidden dims."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prune_bench.models.units import read, vectors, whole, written
from prune_bench.pruning.units import Slice, UnitGroup

Slices = tuple[Slice, ...]


def conformer_units(encoder: Any) -> list[UnitGroup]:
    """All groups, layer by layer, then the stream.

    Hidden dims come last and in two kinds: "hidden" owns what reads and writes the stream, "layers.i.hidden" what
    works on local dims, within it. No entry of a parameter's dimension belongs to both. An encoder that already lost
    local dims offers no hidden units.
    """
    groups: list[UnitGroup] = []
    with_hidden = all(layer.hidden is None for layer in encoder.arch.layers)
    for i, layer in enumerate(encoder.layers):
        groups += _channels(f"layers.{i}", layer, encoder.arch.head_width)
        if with_hidden:
            groups.append(_local_hidden(f"layers.{i}", layer, encoder.arch.width))
    if with_hidden:
        groups.append(_global_hidden(encoder))
    return [group for group in groups if group.size]


def _channels(name: str, layer: Any, head_width: int) -> list[UnitGroup]:
    groups = []
    for ffn in ("ffn1", "ffn2"):
        size = getattr(layer, ffn).inner
        inputs, outputs = _all(written, name, layer, [f"{ffn}.up"]), _all(read, name, layer, [f"{ffn}.down"])
        groups.append(UnitGroup(f"{name}.{ffn}", "ffn", size, inputs, outputs))
    projections = [f"attention.{part}" for part in ("query", "key", "value", "position")]
    biases = (Slice(f"{name}.attention.u", 0), Slice(f"{name}.attention.v", 0))
    inputs = _all(written, name, layer, projections, head_width) + biases
    outputs = _all(read, name, layer, ["attention.out"], head_width)
    groups.append(UnitGroup(f"{name}.heads", "heads", layer.attention.heads, inputs, outputs))
    if layer.conv is not None:
        parts = ["conv.norm", "conv.pointwise1", "conv.depthwise", "conv.batch_norm"]
        outputs = _all(whole, name, layer, ["conv.pointwise2"])
        groups.append(UnitGroup(f"{name}.conv", "conv", 1, _all(whole, name, layer, parts), outputs))
    return groups


def _local_hidden(name: str, layer: Any, width: int) -> UnitGroup:
    """Attention and convolution read and write local dims; the first FFN writes them, the second reads them."""
    conv = layer.conv is not None
    readers = ["attention.query", "attention.key", "attention.value", "ffn2.up"] + ["conv.pointwise1"] * conv
    writers = ["ffn1.down", "attention.out"] + ["conv.pointwise2"] * conv
    norms = ["attention.norm", "ffn2.norm"] + ["conv.norm"] * conv
    outputs = _all(written, name, layer, writers) + _all(vectors, name, layer, norms)
    return UnitGroup(f"{name}.hidden", "hidden_local", width, _all(read, name, layer, readers), outputs, "hidden")


def _global_hidden(encoder: Any) -> UnitGroup:
    """The front end and both FFNs' outer sides read and write the stream, as does each layer's last norm."""
    inputs: Slices = ()
    outputs = _all(written, "front_end", encoder.front_end, ["project"])
    for i, layer in enumerate(encoder.layers):
        name = f"layers.{i}"
        inputs += _all(read, name, layer, ["ffn1.up"])
        outputs += _all(written, name, layer, ["ffn2.down"]) + _all(vectors, name, layer, ["ffn1.norm", "norm"])
    return UnitGroup("hidden", "hidden_global", encoder.arch.width, inputs, outputs)


def _all(rule: Callable[..., Slices], name: str, parent: Any, parts: Iterable[str], *block: int) -> Slices:
    """One rule of prune_bench.models.units over several submodules of `parent`, which is called `name`."""
    places = (rule(f"{name}.{part}", parent.get_submodule(part), *block) for part in parts)
    return tuple(place for group in places for place in group)
