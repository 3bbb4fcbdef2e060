"""Arguments that cannot be: refused by the constructor, in the words of its signature."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

from prune_bench.callbacks import IMP, L0, OMP, PARP, RP, Gradual, LowRank, Taylor
from tests.helpers.strangers import Classifier, loader, trainer

WRONG = {
    "sparsity='0.5'": (lambda: OMP("0.5"), "OMP: sparsity='0.5'"),
    "sparsity=None": (lambda: LowRank(None), "LowRank: sparsity=None"),
    "sparsity=nan": (lambda: PARP(float("nan")), "PARP: sparsity=nan"),
    "at": (lambda: OMP(0.5, at=1.5), r"OMP: at=1\.5: give a number"),
    "Taylor at": (lambda: Taylor(0.5, at=-1), "Taylor: at=-1: give a number"),
    "ramp": (lambda: Gradual(0.5, ramp=2.0), r"Gradual: ramp=2\.0: give a number"),
    "PARP ramp": (lambda: PARP(0.5, ramp=2.0, start=0.1), r"PARP: ramp=2\.0: give a number"),
    "step": (lambda: IMP(0.5, step="tenth"), "IMP: step=tenth: choose 'original10'"),
    "interval": (lambda: PARP(0.5, interval=2.5), r"PARP: interval=2\.5: give a whole number of updates"),
    "no interval": (lambda: PARP(0.5, interval=0), "PARP: interval=0: give a number above 0"),
    "start": (lambda: PARP(0.5, start=0.9), r"PARP: start=0\.9 is above sparsity=0\.5"),
    "sizes above 1": (lambda: Gradual(0.5, sizes=(1.2,)), r"Gradual: sizes=1\.2: give sparsities"),
    "sizes above sparsity": (lambda: Gradual(0.5, sizes=(0.3, 0.7)), r"Gradual: sizes=0\.7: give sparsities"),
    "no Taylor": (lambda: Taylor(0.5, criterion="magnitude"), "Taylor: criterion='magnitude': choose taylor"),
    "no chance": (lambda: RP(0.5, criterion="magnitude"), "RP: criterion='magnitude': choose random"),
    "L0 ramp": (lambda: L0(0.5, ramp=2.0), r"L0: ramp=2\.0: give a number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_named_as_the_constructor_calls_it(case):
    make, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_whole_updates_and_fractions_are_intervals():
    assert PARP(0.5, interval=3.0).knobs.interval == 3
    assert PARP(0.5, interval=0.25).knobs.interval == 0.25


def test_a_mask_of_another_sparsity_is_refused(tmp_path):
    half = OMP(0.5).choose(Classifier())
    for make in (lambda: OMP(0.9, mask=half), lambda: PARP(0.5, start=0.1, mask=half)):
        with pytest.raises(ValueError, match=r"(OMP|PARP): mask removes 50\.00%, not the (90|10)\.00%"):
            trainer(tmp_path, make()).fit(module := Classifier(), loader())
        assert (module.layers[2].weight != 0).all()


@pytest.mark.parametrize("make", [OMP, PARP, IMP, LowRank, L0])
def test_nothing_is_known_before_a_fit(make):
    with pytest.raises(RuntimeError, match=rf"{make.__name__} has pruned nothing before trainer\.fit"):
        _ = make(0.5).achieved
    assert make(0.5).state_dict() == {}


@pytest.mark.parametrize("kind", [OMP, PARP, IMP, Gradual, Taylor, LowRank])
def test_every_option_stands_in_the_signature_with_a_type(kind):
    parameters = inspect.signature(kind).parameters
    assert {"sparsity", "include", "exclude", "convolutions"} <= parameters.keys()
    assert all(one.annotation is not inspect.Parameter.empty for one in parameters.values())
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    with pytest.raises(TypeError, match=rf"{kind.__name__}.*nonsense"):
        kind(0.5, nonsense=True)


@pytest.mark.parametrize("strategy", [ModelParallelStrategy, FSDPStrategy])
@pytest.mark.parametrize("make", [OMP, PARP, LowRank, L0])
def test_sharded_weights_are_refused_in_a_line(strategy, make):
    sharded = SimpleNamespace(strategy=strategy())
    with pytest.raises(ValueError, match=rf"{make.__name__}: {strategy.__name__} shards weights.*use strategy='ddp'"):
        make(0.5).setup(sharded, Classifier(), "fit")


def test_a_mask_fits_a_module_that_is_compiled_in_part(tmp_path):
    module, mask = Classifier(), OMP(0.5).choose(Classifier())
    module.layers = torch.compile(module.layers, backend="eager")
    pruning = OMP(0.5, mask=mask)
    trainer(tmp_path, pruning, steps=2).fit(module, loader())
    assert {name.replace("_orig_mod.", "") for name in pruning.masks} == mask.keys()
    assert torch.equal(module.layers._orig_mod[2].weight == 0, ~mask["layers.2.weight"])


@pytest.mark.parametrize("kind", [OMP, PARP])
def test_a_weight_that_is_not_a_number_is_named(tmp_path, kind):
    module = Classifier()
    module.layers[4].weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"a score of layers\.4\.weight is NaN"):
        trainer(tmp_path, kind(0.5)).fit(module, loader())
