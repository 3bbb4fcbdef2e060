"""What pruning kept of each layer and module, from the unit counts of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prune_bench.models.arch import ConformerArch, layer_matrices

MODULES = ("ffn", "attention", "conv")
BOTTOM, TOP = 10 / 18, 3 / 18  # the published split: layers 1-10 and 16-18 of 18


def retained(row: Mapping[str, Any]) -> dict[str, list[float]]:
    """Kept fraction of the block weight matrices, layer by layer: one list for each of MODULES and one for `all`."""
    kept, dense = _weights(row, "layers", row["stream"]), _weights(row, "dense_layers", row["config"]["model"]["width"])
    ratios = {name: [k[name] / d[name] for k, d in zip(kept, dense, strict=True)] for name in MODULES}
    totals = zip(kept, dense, strict=True)
    return {**ratios, "all": [sum(k.values()) / sum(d.values()) for k, d in totals]}


def hidden_widths(row: Mapping[str, Any], layers: str = "layers") -> list[int]:
    """Hidden dimensions each layer works on; `layers="dense_layers"` gives them before pruning."""
    in_order = sorted(row[layers].items(), key=lambda item: int(item[0].rpartition(".")[2]))
    return [units["hidden"] for _, units in in_order]


def lost(row: Mapping[str, Any]) -> dict[str, float]:
    """Removed percentage of the weights: of each module over all layers, and of the `bottom` and `top` layers.

    Bottom and top are the first ten and the last three eighteenths of the layers, at least one each.
    """
    kept, dense = _weights(row, "layers", row["stream"]), _weights(row, "dense_layers", row["config"]["model"]["width"])
    bottom, top = max(1, round(BOTTOM * len(dense))), max(1, round(TOP * len(dense)))

    def removed(layers: slice, modules: tuple[str, ...]) -> float:
        left, whole = (sum(layer[m] for layer in side[layers] for m in modules) for side in (kept, dense))
        return 100 * (1 - left / whole)

    by_module = {name: removed(slice(None), (name,)) for name in MODULES}
    return {**by_module, "bottom": removed(slice(bottom), MODULES), "top": removed(slice(-top, None), MODULES)}


def _weights(row: Mapping[str, Any], layers: str, stream: int) -> list[dict[str, int]]:
    """Block weights of each module in each layer."""
    model = row["config"]["model"]
    sizes = [model[key] for key in ("width", "heads", "ffn", "kernel", "layers")]
    arch = ConformerArch.dense(row["config"]["features"]["mels"], model["subsampling"], *sizes)
    counts = {"hidden": stream}
    for name, units in row[layers].items():
        counts |= {f"{name}.{group}": int(count > 0) if group == "conv" else count for group, count in units.items()}
    weights = []
    for i in range(len(arch.layers)):
        sums = dict.fromkeys(MODULES, 0)
        for name, rows, columns in layer_matrices(arch, i):
            module = name.split(".")[0]
            sums["ffn" if module.startswith("ffn") else module] += rows.value(counts) * columns.value(counts)
        weights.append(sums)
    return weights
