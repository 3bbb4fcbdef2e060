"""Every published method as a row: what stands on an axis is what a run executes."""

from __future__ import annotations

from dataclasses import replace

from prune_bench.pruning.allocation import UNIFORM, Lagrangian
from prune_bench.pruning.axes import MASKS
from prune_bench.pruning.compensation import Rewind
from prune_bench.pruning.criteria import LearnedGates, SingularValues, gradient, magnitude, random, taylor
from prune_bench.pruning.method import Method
from prune_bench.pruning.objectives import Distillation
from prune_bench.pruning.plans import AtStart, Cubic, Iteratively, Linear, OnceCalibrated, RampedTarget, Repeatedly
from prune_bench.pruning.revival import Free, Gated, Regrow

ALL_KINDS = ("heads", "ffn", "conv", "hidden_global", "hidden_local")
SINGLE = ("weights", "weights+biases")
MASKED = ("groups", *SINGLE, "heads")
ROUND = "imp_round"
_CONTINUED, _NARROW = ("method", "final"), ("method", "sparsity")

_DENSE = Method("dense", "Dense", sized=False, fit="dense", sections=())
_OMP = Method(
    "omp",
    "OMP",
    magnitude,
    structures=(*MASKED, "ranks"),
    mask_source="dense",
    source="arXiv 2106.05933, section 2; 2305.19549, section 3.1",
)
_IMP = replace(
    _OMP,
    name="imp",
    label="IMP",
    structures=MASKED,
    schedule=Iteratively(),
    compensation=Rewind(),
    mask_source="rounds",
    source="arXiv 2106.05933, section 2",
)
_PARP = replace(
    _OMP,
    name="parp",
    label="PARP",
    structures=MASKED,
    schedule=Repeatedly(),
    revival=Free(),
    mask_source="start",
    unfrozen=True,
    source="arXiv 2106.05933, Algorithm 1",
)
_PARP_P = replace(
    _PARP, name="parp_p", label="PARP-P", schedule=Linear(behind=0.2), source="arXiv 2106.05933, section 3.2"
)
_GRADUAL = replace(
    _OMP,
    name="gradual",
    label="Gradual",
    schedule=Cubic(),
    mask_source="start",
    source="Zhu & Gupta, 2017; arXiv 2310.03424",
)
_TAYLOR = replace(
    _OMP,
    name="taylor",
    label="Taylor",
    criterion=taylor,
    schedule=OnceCalibrated(),
    mask_source="start",
    source="Molchanov et al., CVPR 2019; arXiv 2310.03424",
)
_L0 = Method(
    "l0_sparsity",
    "L0 (sparsity)",
    LearnedGates(),
    structures=("groups",),
    allocation=Lagrangian("size"),
    schedule=RampedTarget(),
    revival=Gated(),
    objectives=(Distillation(),),
    start="dense",
    kinds=ALL_KINDS,
    source="arXiv 2305.19549, section 2",
)
_GRANET = replace(
    _GRADUAL,
    name="granet",
    label="GraNet",
    structures=SINGLE,
    revival=Regrow(gradient, swap=0.5, last=0.005),
    source="Liu et al., NeurIPS 2021",
)
_RIGL = replace(
    _GRANET,
    name="rigl",
    label="RigL",
    schedule=Repeatedly(),
    revival=Regrow(gradient, swap=0.3, until=0.75),
    mask_source="chance",
    source="Evci et al., ICML 2020",
)

_ROWS = (
    _DENSE,
    replace(_DENSE, name="continue_ft", label="Dense, trained on", start="dense", fit="final", sections=_CONTINUED),
    replace(_DENSE, name="scratch", label="Dense of this size", start="random", sized=True, sections=_NARROW),
    replace(
        _DENSE, name="unpretrained", label="Dense, not pretrained", start="random", unfrozen=True, sections=("method",)
    ),
    replace(_OMP, name="rp", label="RP", criterion=random, structures=MASKED, mask_source="chance"),
    replace(_OMP, name="mpi", label="MPI", mask_source="start"),
    _OMP,
    replace(_OMP, name="omp_continue", label="OMP, dense weights kept", start="dense", mask_source="start"),
    replace(
        _OMP, name="transfer", label="OMP, another language's mask", structures=MASKED, mask_source="language"
    ),
    _IMP,
    _PARP,
    _PARP_P,
    replace(
        _PARP_P, name="parp_p_staged", label="PARP-P, two stages", start="parp_p", schedule=Linear(0.1), behind=0.1
    ),
    replace(_PARP, name="parp_random", label="PARP from a random mask", mask_source="chance"),
    replace(_PARP, name="parp_transfer", label="PARP from another language's mask", mask_source="language"),
    _TAYLOR,
    _GRADUAL,
    replace(_GRADUAL, name="taylor_gradual", label="Gradual, Taylor", criterion=taylor),
    _GRANET,
    _RIGL,
    replace(_RIGL, name="set", label="SET", revival=Regrow(random, swap=0.3, last=0.3), source="Mocanu et al., 2018"),
    Method(
        "svd",
        "SVD",
        SingularValues(),
        structures=("ranks",),
        allocation=UNIFORM,
        schedule=AtStart(),
        kinds=(),
        source="arXiv 2305.19549, section 3.1",
    ),
    _L0,
    replace(_L0, name="l0_flops", label="L0 (FLOPs)", allocation=Lagrangian("flops")),
    replace(
        _L0,
        name="l0_without_hidden",
        label="L0 without layer-wise hidden masks",
        kinds=tuple(kind for kind in ALL_KINDS if kind != "hidden_local"),
    ),
    replace(_L0, name="l0_heads", label="L0, heads only", kinds=("heads",)),
    replace(_L0, name="l0_without_kd", label="L0 without distillation", objectives=()),
)  # fmt: skip
# Fits that runs share and that are no row of any table.
_STAGES = (
    Method(
        "pretraining", "Pretraining", start="random", sized=False, fit="pretraining.fit",
        sections=("features", "encoder", "pretraining"), supervised=False,
    ),
    replace(_IMP, name=ROUND, label="Round of IMP", share="round"),
)  # fmt: skip

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
STAGES: dict[str, Method] = {method.name: method for method in _STAGES}
ALIASES = {"l0": "l0_sparsity", "low_rank": "svd"}


def find_method(name: str) -> Method:
    """The method or stage of that name."""
    return METHODS.get(name) or STAGES[name]


def methods_table() -> str:
    """The methods as a Markdown table."""
    columns = {
        "criterion": lambda row: row.criterion.label,
        "structures": lambda row: ", ".join(row.structures if row.means == MASKS else row.kinds or row.structures),
        "allocation": lambda row: row.allocation.label,
        "schedule": lambda row: row.schedule.label,
        "revival": lambda row: row.revival.label,
        "remaining weights": lambda row: row.compensation.label,
        "objectives": lambda row: ", ".join(one.label for one in row.objectives) or "-",
    }
    heads = ("name", *columns, "start", "mask source", "source")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in METHODS.values():
        axes = [show(row) if row.removes else "-" for show in columns.values()]
        source = row.mask_source if row.removes else "-"
        lines.append("| " + " | ".join([f"`{row.name}`", *axes, row.start, source, row.source]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(methods_table())
