"""What stands on an axis of a method's row is what a fit executes: another value changes the fit, or is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from prune_bench.callbacks import make_callback
from prune_bench.pruning.allocation import GLOBAL, UNIFORM, Lagrangian
from prune_bench.pruning.axes import GATES, MASKS
from prune_bench.pruning.compensation import SecondOrder, Unchanged
from prune_bench.pruning.criteria import SingularValues, magnitude, random
from prune_bench.pruning.knobs import Knobs
from prune_bench.pruning.method import Method
from prune_bench.pruning.methods import METHODS
from prune_bench.pruning.objectives import Objective
from prune_bench.pruning.plans import AtStart, Cubic, Once, Repeatedly
from prune_bench.pruning.revival import Free, Gated, Hard
from tests.helpers.speech import batches, make_task
from tests.helpers.strangers import Classifier, loader, trainer

UPDATES, SPARSITY = 10, 0.3
KNOBS = Knobs(structure="weights", interval=2, calibration=0.3, final=0.5, ramp=0.5, settle=0.7, mask_learning_rate=0.3)
ROWS = [name for name, method in METHODS.items() if method.removes]


@dataclass(frozen=True)
class Decay(Objective):
    """An objective of its own: the sum of squares of the prunable weights."""

    label = "decay"

    def term(self, structure):
        return sum(weight.square().sum() for weight in structure.targets.values())


# For each axis, values of which at least one differs from any row's.
OTHERS = {
    "criterion": (random, magnitude, SingularValues()),
    "structures": (("heads",),),
    "allocation": (UNIFORM, GLOBAL, Lagrangian("flops")),
    "schedule": (Cubic(), Once(), Repeatedly(), AtStart()),
    "revival": (Free(), Hard(), Gated()),
    "compensation": (SecondOrder(), Unchanged()),
    "objectives": ((Decay(),), ()),
    "kinds": (("ffn",), ("heads",)),
}


def outcome(row: Method) -> list[float]:
    """The asked sparsities of a fit and the weights it ends with."""
    torch.manual_seed(0)
    pruning = make_callback(row, SPARSITY, KNOBS, reference_frames=20)
    module, data = (make_task(UPDATES), batches()) if row.means == GATES else (Classifier(), loader())
    trainer(None, pruning, steps=UPDATES).fit(module, data)
    schedule = row.schedule(SPARSITY, UPDATES, KNOBS)
    asked = [schedule.sparsity_at(step) for step in range(UPDATES)]
    return [*asked, *torch.cat([value.detach().flatten() for value in module.parameters()]).tolist()]


@pytest.fixture(scope="module")
def as_published():
    return {}


CASES = [(name, axis) for name in ROWS for axis in OTHERS if axis != "kinds" or METHODS[name].means == GATES]


@pytest.mark.parametrize(("name", "axis"), CASES)
def test_another_value_on_an_axis_changes_the_fit_or_is_refused(as_published, name, axis):
    row, changed = METHODS[name], []
    if name not in as_published:
        as_published[name] = outcome(row)
    for value in OTHERS[axis]:
        if value == getattr(row, axis):
            continue
        try:
            changed.append(outcome(replace(row, **{axis: value})) != as_published[name])
        except ValueError:
            changed.append(True)
    assert changed
    assert any(changed) if axis == "schedule" else all(changed)  # a mask at the start is one mask, by any plan for it


@pytest.mark.parametrize("name", [name for name in ROWS if METHODS[name].means == MASKS])
def test_a_fit_repeats_itself(name):
    assert outcome(METHODS[name]) == outcome(METHODS[name])
