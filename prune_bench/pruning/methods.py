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

    `start` is whose weights the fit starts from: random ones, those of the pretrained model (of the dense one where
    nothing is pretrained), of the dense model, or of another method at `behind` less sparsity. `ranked` is whose
    weights choose the first mask: those it starts from, the dense model's, those of iterative rounds, or nobody's
    ("chance"). `target` is what the asked fraction is a fraction of: "size" or "flops". `kinds` are the unit kinds it
    may remove, `knobs` the keys of the `pruning` section that shape it. An `unfrozen` method trains all weights from
    the start where `finetuning.head_only` lets the others begin with the head, as PARP's authors do. `fit` is the
    section of the configuration that its training follows.
    """

    name: str
    label: str
    family: str
    criterion: str
    structure: str
    allocation: str
    schedule: str
    revival: str
    start: str
    ranked: str = "start"
    target: str = "size"
    kinds: tuple[str, ...] = ("heads", "ffn", "conv")
    options: Mapping[str, float] = field(default_factory=dict)
    knobs: tuple[str, ...] = ()
    unfrozen: bool = False
    fit: str = "final"
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
    start="pretrained",
    kinds=(),
    fit="dense",
)
_OMP = Method(
    name="omp",
    label="OMP",
    family="omp",
    criterion="magnitude",
    structure="weights, groups or rank components",
    allocation="global",
    schedule="one-shot",
    revival="hard",
    start="pretrained",
    ranked="dense",
    knobs=("structure",),
    source="arXiv 2106.05933, section 2; 2305.19549, section 3.1",
)
_IMP = replace(
    _OMP,
    name="imp",
    label="IMP",
    structure="groups or weights",
    schedule="rounds, rewound",
    ranked="rounds",
    knobs=("structure", "imp_step", "round"),
    source="arXiv 2106.05933, section 2",
)
_PARP = replace(
    _OMP,
    name="parp",
    label="PARP",
    family="parp",
    structure="groups or weights",
    schedule="one-shot, re-judged every n updates",
    revival="free",
    ranked="start",
    knobs=("structure", "interval"),
    unfrozen=True,
    source="arXiv 2106.05933, Algorithm 1",
)
_PARP_P = replace(
    _PARP,
    name="parp_p",
    label="PARP-P",
    schedule="linear, re-judged every n updates",
    options={"behind": 0.2},
    knobs=("structure", "interval", "progress"),
    source="arXiv 2106.05933, section 3.2",
)
_GRADUAL = replace(
    _OMP,
    name="gradual",
    label="Gradual",
    family="gradual",
    structure="weights, groups or rank components",
    schedule="cubic",
    ranked="start",
    knobs=("structure", "interval", "progress", "intermediate"),
    source="Zhu & Gupta, 2017; arXiv 2310.03424",
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
    start="pretrained",
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
    start="dense",
    kinds=ALL_KINDS,
    knobs=L0_KNOBS,
    source="arXiv 2305.19549, section 2",
)
_WITHOUT_LOCAL = tuple(kind for kind in ALL_KINDS if kind != "hidden_local")

_ROWS = (
    _DENSE,
    replace(_DENSE, name="continue_ft", label="Dense, trained on", start="dense", fit="final"),
    replace(_DENSE, name="scratch", label="Dense of this size", start="random"),
    replace(_DENSE, name="unpretrained", label="Dense, not pretrained", start="random", unfrozen=True),
    replace(_OMP, name="rp", label="RP", criterion="random", structure="groups or weights", ranked="chance"),
    replace(_OMP, name="mpi", label="MPI", ranked="start"),
    _OMP,
    replace(_OMP, name="omp_continue", label="OMP, dense weights kept", start="dense", ranked="start"),
    replace(
        _OMP,
        name="transfer",
        label="OMP, another language's mask",
        structure="groups or weights",
        knobs=("structure", "mask_language"),
    ),
    _IMP,
    _PARP,
    _PARP_P,
    replace(_PARP_P, name="parp_p_staged", label="PARP-P, two stages", start="parp_p", options={"behind": 0.1}),
    replace(_PARP, name="parp_random", label="PARP from a random mask", ranked="chance"),
    replace(
        _PARP,
        name="parp_transfer",
        label="PARP from another language's mask",
        ranked="dense",
        knobs=("structure", "interval", "mask_language"),
    ),
    replace(
        _OMP,
        name="taylor",
        label="Taylor",
        family="taylor",
        criterion="taylor",
        structure="weights, groups or rank components",
        ranked="start",
        knobs=("structure", "calibration"),
        source="Molchanov et al., CVPR 2019; arXiv 2310.03424",
    ),
    _GRADUAL,
    replace(_GRADUAL, name="taylor_gradual", label="Gradual, Taylor", criterion="taylor"),
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
# Fits that runs share and that are no row of any table.
_STAGES = (
    replace(_DENSE, name="pretraining", label="Pretraining", start="random"),
    replace(_IMP, name="imp_round", label="Round of IMP"),
)

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
STAGES: dict[str, Method] = {method.name: method for method in _STAGES}
ALIASES = {"l0": "l0_sparsity", "low_rank": "svd"}


def find_method(name: str) -> Method:
    """The method or stage of that name."""
    return METHODS.get(name) or STAGES[name]


def methods_table() -> str:
    """The methods as a Markdown table."""
    columns = ("name", "criterion", "structure", "allocation", "schedule", "revival", "start", "ranked", "source")
    lines = ["| " + " | ".join(column.replace("_", " ") for column in columns) + " |", "|---" * len(columns) + "|"]
    for method in METHODS.values():
        cells = [f"`{method.name}`", *(str(getattr(method, column)) for column in columns[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(methods_table())
