"""The methods table: generated from the rows that run, and rows whose axes go together."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from prune_bench.pruning.criteria import CRITERIA, LearnedGates
from prune_bench.pruning.knobs import KnobOptions, Knobs, check_knobs, set_knobs
from prune_bench.pruning.methods import METHODS, STAGES, methods_table
from prune_bench.pruning.objectives import Distillation
from prune_bench.pruning.plans import Once
from prune_bench.pruning.revival import Free, Gated, Regrow

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_rows_that_run():
    assert methods_table() in README.read_text()


def test_every_knob_of_every_row_is_a_knob():
    known = {knob.name for knob in fields(Knobs)}
    for method in (*METHODS.values(), *STAGES.values()):
        assert set(method.knobs) <= known


def test_knobs_of_one_fit_are_its_keyword_arguments():
    apart = {"structure", "allocation", "round", "mask_language", "reference_seconds"}
    assert set(KnobOptions.__annotations__) == {knob.name for knob in fields(Knobs)} - apart


@pytest.mark.parametrize(("changes", "said"), [
    ({"revival": Free()}, "revives what it removes, which rank components cannot: leave 'ranks' out of its structures"),
    ({"revival": Regrow(CRITERIA["gradient"])}, "exchanges single weights within each tensor: leave 'groups' out"),
    ({"revival": Gated()}, "gate does not go with magnitude"),
    ({"criterion": LearnedGates()}, "global does not go with learned gates"),
    ({"objectives": (Distillation(),)}, "layer-wise distillation does not go with magnitude"),
    ({"mask_source": "rounds"}, "takes its mask from rounds: give it an iterative schedule"),
])  # fmt: skip
def test_axes_that_do_not_go_together_are_refused_with_the_reason(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(METHODS["omp"], **changes)


def test_a_structure_that_a_row_does_not_take_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="PARP revives what it removes, which rank components cannot: in place of"):
        METHODS["parp"].check_structure("ranks", "PARP")
    with pytest.raises(ValueError, match="RP removes groups, weights, weights\\+biases, heads: in place of"):
        METHODS["rp"].check_structure("ranks", "RP")


@pytest.mark.parametrize(("knob", "value", "said"), [
    ("at", 1.5, "at=1.5: give a number at least 0 and at most 1"),
    ("interval", 0, "interval=0: give a number above 0"),
    ("start", -0.1, "start=-0.1: give a number from 0 to 1"),
    ("intermediate", "0.5+x", "intermediate=0.5\\+x: give numbers joined with \\+"),
    ("intermediate", "0.5+1.5", "give sparsities between 0 and 1"),
    ("imp_step", "tenth", "imp_step=tenth: choose 'original10', 'remaining10'"),
    ("allocation", "layerwise", "choose '', 'global', 'uniform'"),
])  # fmt: skip
def test_values_that_a_knob_cannot_have_are_named(knob, value, said):
    with pytest.raises(ValueError, match=f"pruning.*{said}"):
        check_knobs(replace(Knobs(), **{knob: value}), "pruning.")


def test_knobs_of_other_methods_are_refused_with_the_nearest():
    assert set_knobs(Knobs(), ("at",), {"at": 0.5}, "OMP: ").at == 0.5
    with pytest.raises(TypeError, match="OMP has no option 'att': did you mean 'at'"):
        set_knobs(Knobs(), ("at",), {"att": 0.5}, "OMP")


def test_a_row_of_ones_own_is_a_replacement_of_axes():
    late = replace(METHODS["parp"], name="late", schedule=Once())
    assert late.knobs == ("structure", "allocation", "at")
    assert METHODS["parp"].knobs == ("structure", "allocation", "interval")
