"""Every published method as a value on the five axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ALL_KINDS = ("heads", "ffn", "conv", "hidden_global", "hidden_local")
L0_KNOBS = (
    "ramp", "settle", "mask_learning_rate", "multiplier_learning_rate", "gate_init", "ffn_gate_init", "temperature",
    "counter", "distillation", "distillation_side", "reference_seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Method:
    """A row of the methods table; `family` names the callback that runs it, the rest are its values.

    `target` is what the asked fraction is a fraction of: "size" or "flops". `kinds` are the unit kinds it may remove,
    `knobs` the keys of the `pruning` section that shape it.
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
    knobs: tuple[str, ...] = ()
    source: str = ""


_DENSE = Method(
    name="dense",
    label="Dense",
    family="none",
    criterion="-",
    structure="-",
    allocation="-",
    schedule="-",
    revival="-",
    starts_from="random weights",
    kinds=(),
)
_OMP = Method(
    name="omp",
    label="OMP",
    family="omp",
    criterion="magnitude",
    structure="groups or weights",
    allocation="global",
    schedule="one-shot",
    revival="hard",
    starts_from="converged",
    knobs=("structure",),
    source="arXiv 2305.19549, section 3.1",
)
_PARP = replace(
    _OMP,
    name="parp",
    label="PARP",
    family="parp",
    schedule="one-shot, re-judged every n updates",
    revival="free",
    knobs=("structure", "interval"),
    source="arXiv 2106.05933, Algorithm 1",
)
_SVD = Method(
    name="svd",
    label="SVD",
    family="low_rank",
    criterion="singular values",
    structure="rank components",
    allocation="uniform",
    schedule="one-shot",
    revival="none",
    starts_from="converged",
    kinds=(),
    source="arXiv 2305.19549, section 3.1",
)
_L0 = Method(
    name="l0_sparsity",
    label="L0 (sparsity)",
    family="l0",
    criterion="learned gates",
    structure="heads, FFN channels, conv modules, hidden dims",
    allocation="Lagrangian",
    schedule="ramped target",
    revival="gate",
    starts_from="converged, with a teacher",
    kinds=ALL_KINDS,
    knobs=L0_KNOBS,
    source="arXiv 2305.19549, section 2",
)
_WITHOUT_LOCAL = tuple(kind for kind in ALL_KINDS if kind != "hidden_local")

_ROWS = (
    _DENSE,
    replace(_DENSE, name="continue_ft", label="Dense, trained on", starts_from="converged"),
    replace(_DENSE, name="scratch", label="Dense of this size"),
    _OMP,
    _PARP,
    _SVD,
    _L0,
    replace(_L0, name="l0_flops", label="L0 (FLOPs)", target="flops"),
    replace(
        _L0,
        name="l0_without_hidden",
        label="L0 without layer-wise hidden masks",
        structure="heads, FFN channels, conv modules, global hidden dims",
        kinds=_WITHOUT_LOCAL,
    ),
    replace(_L0, name="l0_heads", label="L0, heads only", kinds=("heads",), structure="heads"),
    replace(_L0, name="l0_without_kd", label="L0 without distillation", options={"distillation": 0.0}),
)

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
