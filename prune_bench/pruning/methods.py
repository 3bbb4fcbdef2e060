"""Every published method as a value on the five axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALL_KINDS = ("heads", "ffn", "conv", "hidden_global", "hidden_local")


@dataclass(frozen=True)
class Method:
    """A row of the methods table; `family` names the callback that runs it, the rest are its values.

    `target` is what the asked fraction is a fraction of: "size" or "flops". `kinds` are the unit kinds it may remove.
    """

    name: str
    label: str
    family: str
    criterion: str
    structure: str
    allocation: str
    schedule: str
    revival: str
    starts_from: str
    target: str = "size"
    kinds: tuple[str, ...] = ("heads", "ffn", "conv")
    options: Mapping[str, float] = field(default_factory=dict)
    source: str = ""


_REFERENCE = {"criterion": "-", "structure": "-", "allocation": "-", "schedule": "-", "revival": "-"}
_MAGNITUDE = {"criterion": "magnitude", "structure": "groups or weights", "allocation": "global"}
_L0 = {
    "family": "l0",
    "criterion": "learned gates",
    "structure": "heads, FFN channels, conv modules, hidden dims",
    "allocation": "Lagrangian",
    "schedule": "ramped target",
    "revival": "gate",
    "starts_from": "converged, with a teacher",
    "kinds": ALL_KINDS,
    "source": "arXiv 2305.19549",
}

_ROWS = (
    Method("dense", "Dense", "none", **_REFERENCE, starts_from="random weights"),
    Method("continue_ft", "Dense, trained on", "none", **_REFERENCE, starts_from="converged"),
    Method("scratch", "Dense of this size", "none", **_REFERENCE, starts_from="random weights"),
    Method(
        "omp", "OMP", "omp", **_MAGNITUDE, schedule="one-shot", revival="hard", starts_from="converged",
        source="arXiv 2305.19549, section 3.1",
    ),
    Method(
        "parp", "PARP", "parp", **_MAGNITUDE, schedule="one-shot, re-judged every n updates", revival="free",
        starts_from="converged", source="arXiv 2106.05933, Algorithm 1",
    ),
    Method(
        "svd", "SVD", "low_rank", criterion="singular values", structure="rank components", allocation="uniform",
        schedule="one-shot", revival="none", starts_from="converged", kinds=(), source="arXiv 2305.19549, section 3.1",
    ),
    Method("l0_sparsity", "L0 (sparsity)", **_L0),
    Method("l0_flops", "L0 (FLOPs)", **_L0, target="flops"),
    Method(
        "l0_without_hidden", "L0 without layer-wise hidden masks",
        **{**_L0, "kinds": ("heads", "ffn", "conv", "hidden_global")},
    ),
    Method("l0_heads", "L0, heads only", **{**_L0, "kinds": ("heads",), "structure": "heads"}),
    Method("l0_without_kd", "L0 without distillation", **_L0, options={"distillation": 0.0}),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
ALIASES = {"l0": "l0_sparsity", "low_rank": "svd"}


def methods_table() -> str:
    """The methods as a Markdown table."""
    columns = ("name", "criterion", "structure", "allocation", "schedule", "revival", "starts_from", "source")
    lines = ["| " + " | ".join(column.replace("_", " ") for column in columns) + " |", "|---" * len(columns) + "|"]
    for method in METHODS.values():
        cells = [f"`{method.name}`", *(str(getattr(method, column)) for column in columns[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(methods_table())
