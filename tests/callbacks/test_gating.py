"""Learned gates: what their checkpoints hold, and which model they are learned on."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateFinder, ModelCheckpoint
from speech import batches, make_task
from strangers import Classifier, loader, trainer

from prune_bench.callbacks import L0
from prune_bench.compaction import largest_difference
from prune_bench.pruning import Infeasible
from prune_bench.tasks.transducer import TransducerTask

FAST = {"mask_learning_rate": 0.3, "multiplier_learning_rate": 0.3, "ramp": 0.2, "reference_frames": 20}
CHANNELS = ("heads", "ffn", "conv")


class Graded(TransducerTask):
    """Logs the loss in evaluation."""

    def validation_step(self, batch, batch_idx):
        torch.manual_seed(batch_idx)  # augmentation is random
        self.log("loss", self.losses(batch)["loss"])

    def on_validation_epoch_end(self):
        pass

    test_step = validation_step


class Tunable(TransducerTask):
    lr = 2e-3


class Losses(Callback):
    """The validated losses by update."""

    def __init__(self):
        self.seen = {}

    def on_validation_end(self, trainer, pl_module):
        self.seen[trainer.global_step] = float(trainer.callback_metrics["loss"])


def load(path: str) -> Graded:
    """The module that a checkpoint's weights alone give."""
    task = make_task(20, seed=9, kind=Graded)
    task.load_state_dict(torch.load(path, weights_only=False)["state_dict"])
    return task


def graded(folder, pruning, *others, **saving):
    """A task after 12 updates, its Trainer, the losses at 4, 8 and 12, and the paths of checkpoints by update."""
    task, losses = make_task(12, kind=Graded), Losses()
    saver = ModelCheckpoint(folder, "{step}", monitor="loss", save_top_k=-1, **saving)
    options = {"check_val_every_n_epoch": None, "val_check_interval": 4, "num_sanity_val_steps": 0}
    run = trainer(folder, pruning, losses, *others, saver, steps=12, enable_checkpointing=True, **options)
    run.fit(task, batches(), batches())
    return task, run, losses.seen, {step: folder / f"step={step}.ckpt" for step in losses.seen}


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("settle", [0.5, 1.0])
def test_a_checkpoint_of_gates_is_what_was_validated(tmp_path, alone, settle):
    pruning = L0(0.5, settle=settle, kinds=CHANNELS, **FAST)
    task, run, losses, paths = graded(tmp_path, pruning, save_weights_only=alone)
    assert list(losses) == [4, 8, 12]
    plain = trainer(tmp_path)
    for step, path in paths.items():
        [seen] = plain.validate(load(path), batches(), verbose=False)
        assert seen["loss"] == pytest.approx(losses[step], rel=1e-6), step
    run.save_checkpoint(tmp_path / "after.ckpt", weights_only=alone)
    loaded = load(tmp_path / "after.ckpt")
    pruning.gating.remove()
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, task.state_dict()[name])
    assert "on_save_checkpoint" not in vars(task)


def test_a_checkpoint_without_hidden_dims_says_so_and_is_evaluated_by_its_callback(tmp_path):
    with pytest.warns(UserWarning, match="L0: hidden dims are removed"):
        task, run, losses, paths = graded(tmp_path, pruning := L0(0.5, settle=1.0, **FAST))
    last = pruning.masks.checksum()
    for again, callback in ((run, pruning), (trainer(tmp_path, fresh := L0(0.5, settle=1.0, **FAST)), fresh)):
        module = task if callback is pruning else make_task(12, seed=9, kind=Graded)
        for step in (4, 8):
            for evaluate in (again.test, again.validate):
                [seen] = evaluate(module, batches(), ckpt_path=paths[step], weights_only=False, verbose=False)
                assert seen["loss"] == pytest.approx(losses[step], rel=1e-5)
            assert callback.masks.checksum() != last
    small = fresh.export(module.model)
    batch = next(iter(batches()))
    assert largest_difference(module.model, small, batch.features, batch.lengths, batch.targets) < 1e-4
    trainer(tmp_path, fresh, steps=4).fit(module, batches())
    assert fresh.masks.checksum() != last
    assert fresh.achieved >= 0.5


def test_no_warning_where_no_dim_is_removed(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graded(tmp_path, L0(0.5, kinds=CHANNELS, **FAST))
    assert [warning for warning in caught if "hidden dims are removed" in str(warning.message)] == []


def test_an_interrupted_fit_leaves_the_gated_model(tmp_path):
    class Stop(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 10:
                raise KeyError("stopped")

    pruning, losses = L0(0.5, settle=1.0, kinds=CHANNELS, **FAST), Losses()
    task = make_task(12, kind=Graded)
    run = trainer(tmp_path, pruning, losses, Stop(), steps=12)
    with pytest.raises(KeyError, match="stopped"):
        run.fit(task, batches(), batches())
    run.save_checkpoint(tmp_path / "stopped.ckpt")
    [seen] = run.validate(task, batches(), verbose=False)
    [again] = trainer(tmp_path).validate(load(tmp_path / "stopped.ckpt"), batches(), verbose=False)
    assert seen["loss"] == pytest.approx(again["loss"], rel=1e-6)
    assert all((weight[(factor == 0).expand_as(weight)] == 0).all() for weight, factor in pruning.pairs())


def test_copies_of_a_gated_module_and_of_its_callback_compute_what_it_does(tmp_path):
    pruning = L0(0.5, **FAST)
    task = make_task(4, kind=Graded)
    trainer(tmp_path, pickle.loads(pickle.dumps(copy.deepcopy(pruning))), steps=4).fit(make_task(4), batches())
    trainer(tmp_path, pruning, steps=4).fit(task, batches())
    batch = next(iter(batches()))
    for copied in (copy.deepcopy(pruning), pickle.loads(pickle.dumps(pruning))):
        assert copied.masks.checksum() == pruning.masks.checksum()
    twin = copy.deepcopy(task)
    assert largest_difference(task.model, twin.model, batch.features, batch.lengths, batch.targets) == 0.0
    with torch.no_grad():
        twin.model.ctc.weight.zero_()
        twin.model.encoder.layers[0].ffn1.norm.weight.zero_()
    assert largest_difference(task.model, twin.model, batch.features, batch.lengths, batch.targets) > 1e-3


def test_averages_of_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="L0: weights are averaged before gates are folded in"):
        trainer(tmp_path, L0(0.5, **FAST), EMAWeightAveraging()).fit(make_task(4), batches())


def test_the_teacher_has_the_weights_with_which_the_fit_begins(tmp_path):
    given = make_task(4, seed=3).model.state_dict()

    class Loads(TransducerTask):
        def on_fit_start(self):
            self.model.load_state_dict(given)

    pruning = L0(0.5, **FAST)
    trainer(tmp_path, pruning, steps=4).fit(make_task(4, kind=Loads), batches())
    taught = pruning.teacher.teacher.state_dict()
    name = "layers.1.attention.query.weight"
    assert torch.equal(taught[name], given[f"encoder.{name}"])


def test_a_second_module_is_gated_anew_and_the_first_left_alone(tmp_path):
    pruning = L0(0.5, settle=0.5, **FAST)
    first, second = make_task(8), make_task(8, seed=1)
    trainer(tmp_path, pruning, steps=8).fit(first, batches())
    before, small = copy.deepcopy(first.model.state_dict()), pruning.export(first.model)
    trainer(tmp_path, pruning, steps=8).fit(second, batches())
    batch = next(iter(batches()))
    inputs = batch.features, batch.lengths, batch.targets
    assert largest_difference(second.model, pruning.export(second.model), *inputs) < 1e-4
    assert pruning.achieved >= 0.5
    assert pruning._step == 8
    for name, value in before.items():
        assert torch.equal(value, first.model.state_dict()[name])
    assert small.arch != pruning.export(second.model).arch


def test_a_module_that_offers_no_units_is_refused(tmp_path):
    with pytest.raises(Infeasible, match="Classifier offers no cost_terms"):
        trainer(tmp_path, L0(0.5)).fit(Classifier(), loader())


def test_a_finder_before_the_fit_and_a_checkpoint_before_it_change_nothing(tmp_path):
    ends = []
    for others in ([], [LearningRateFinder(num_training_steps=3, update_attr=False)]):
        task, pruning = make_task(6, kind=Tunable), L0(0.5, **FAST)
        trainer(tmp_path, pruning, *others, steps=6).fit(task, batches())
        pruning.gating.remove()
        ends.append(task.model.state_dict())
        assert pruning._step == 6
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_gates_multiply_weights_of_sixteen_bits(tmp_path):
    pruning, task = L0(0.5, settle=0.5, **FAST), make_task(6)
    trainer(tmp_path, pruning, steps=6, precision="bf16-true").fit(task, batches())
    assert pruning.teacher.transform.weight.dtype == task.model.ctc.weight.dtype == torch.bfloat16
    batch = next(iter(batches()))
    inputs = batch.features.bfloat16(), batch.lengths, batch.targets
    small = pruning.export(task.model)
    assert small.arch != task.model.arch
    assert largest_difference(task.model, small.bfloat16(), *inputs) < 0.05
