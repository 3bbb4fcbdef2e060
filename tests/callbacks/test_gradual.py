"""Pruning by batches, and little by little."""

from __future__ import annotations

import itertools

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.plugins import MixedPrecision

from prune_bench.callbacks import OMP, PARP, Gradual, Taylor
from prune_bench.compaction import largest_difference
from prune_bench.config import FitConfig
from prune_bench.data.text.batches import TextData
from prune_bench.data.text.store import TextStore
from prune_bench.pruning import Infeasible
from prune_bench.pruning.targets import find_targets
from prune_bench.tasks.language_model import LanguageModelTask
from tests.helpers.strangers import Classifier, loader
from tests.helpers.strangers import trainer as strangers_trainer
from tests.helpers.text import WORDS, make_model, make_store

FIT = FitConfig(steps=40, frames=64, learning_rate=1e-2)
HEAD = 4 * 16 * 8
SMALLEST = {"weights": 1, "groups": 32, "ranks": 40}
UNITS = torch.tensor([[0, 1, 2, 3, 4, 1]])


def fit(folder, pruning, steps=40, extra=(), checkpoint=None, seed=0):
    store = folder / "store"
    splits = {"train": TextStore.open(store) if store.exists() else make_store(store)}
    task = LanguageModelTask(make_model(seed), FIT)
    trainer = Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_progress_bar=False, limit_val_batches=0,
        enable_model_summary=False, default_root_dir=folder, use_distributed_sampler=False, enable_checkpointing=False,
        callbacks=[pruning, *extra],
    )  # fmt: skip
    trainer.fit(task, datamodule=TextData(splits, FIT, 0), ckpt_path=checkpoint, weights_only=False)
    return task.model, trainer


def removed(model) -> float:
    weights = find_targets(model).values()
    return 1 - sum(int(weight.count_nonzero()) for weight in weights) / sum(weight.numel() for weight in weights)


class Watch(Callback):
    def __init__(self):
        self.removed = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.removed.append(round(removed(pl_module), 4))


MAKERS = {
    "taylor": lambda **options: Taylor(0.6, at=0.25, **options),
    "gradual": lambda **options: Gradual(0.6, interval=4, **options),
    "gradual taylor": lambda **options: Gradual(0.6, interval=4, criterion="taylor", **options),
}


@pytest.mark.parametrize("structure", ["weights", "groups", "ranks"])
@pytest.mark.parametrize("name", MAKERS)
def test_the_asked_size_is_met_and_the_kept_model_computes_the_same(tmp_path, name, structure):
    pruning = MAKERS[name](structure=structure)
    model, _ = fit(tmp_path, pruning)
    kept = pruning.export(model)
    dense = sum(weight.numel() for weight in find_targets(make_model()).values())
    left = sum(int(weight.count_nonzero()) for weight in find_targets(kept).values())
    assert left == pytest.approx(0.4 * dense, abs=SMALLEST[structure])
    assert pruning.achieved == pytest.approx(0.6, abs=0.02)
    assert largest_difference(model, kept, UNITS) < 1e-4


def test_taylor_is_dense_until_it_has_heard_enough(tmp_path):
    watch = Watch()
    fit(tmp_path, Taylor(0.6, at=0.25), extra=[watch])
    assert set(watch.removed[:10]) == {0.0}
    assert watch.removed[10:] == pytest.approx([0.6] * 30, abs=1e-3)


def test_gradual_sparsity_rises_and_stays(tmp_path):
    watch = Watch()
    fit(tmp_path, Gradual(0.6, ramp=0.5, interval=4), extra=[watch])
    assert watch.removed == sorted(watch.removed)
    assert watch.removed[4] == pytest.approx(0.6 * (1 - (1 - 4 / 20) ** 3), abs=1e-3)
    assert watch.removed[20:] == pytest.approx([0.6] * 20, abs=1e-3)


@pytest.mark.parametrize("structure", SMALLEST)
@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_what_a_gradual_run_removed_stays_removed(tmp_path, criterion, structure):
    """Components of ranks are sorted anew, but never become more; channels come back for a head alone."""
    pruning, drawn = Gradual(0.8, ramp=0.9, interval=1, criterion=criterion, structure=structure), []

    class Note(Callback):
        def on_train_batch_end(self, trainer, *_):
            drawn.append({name: mask.clone() for name, mask in pruning.masks.items()})

    fit(tmp_path, pruning, extra=[Note()])
    for before, after in itertools.pairwise(drawn):
        if structure == "ranks":
            assert all(int(after[name].sum()) <= int(before[name].sum()) for name in after)
            continue
        back = {name: int((after[name] & ~before[name]).sum()) for name in after}
        heads = sum(int((before[name] & ~after[name]).sum()) for name in after if name.endswith("heads"))
        assert sum(back.values()) <= heads * HEAD / SMALLEST["groups"]
        assert not any(count for name, count in back.items() if not name.endswith("ffn"))


@pytest.mark.parametrize("structure", SMALLEST)
def test_nothing_is_judged_again_once_all_is_removed(tmp_path, structure):
    """Factors judged by magnitude would lose their optimizer's memory for it."""
    pruning, memory = Gradual(0.6, ramp=0.5, interval=2, structure=structure), []

    class Note(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            parameter = next(iter(find_targets(pl_module).values()))
            memory.append("exp_avg" in optimizer.state[parameter])

    fit(tmp_path, pruning, extra=[Note()])
    assert all(memory[22:])
    assert memory[2:20].count(False) == (9 if structure == "ranks" else 0)


def test_an_update_that_overflowed_is_no_evidence(tmp_path):
    module, pruning, skipped = Classifier(), Gradual(0.5, ramp=0.9, interval=9, criterion="taylor"), []
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**26, growth_interval=1000)

    class Note(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            skipped.append(not all(bool(one.grad.isfinite().all()) for one in pl_module.parameters()))

    strangers_trainer(
        tmp_path, pruning, Note(), steps=40, precision=None, plugins=[MixedPrecision("16-mixed", "cpu", scaler)]
    ).fit(module, loader())
    assert 0 < sum(skipped) < 40
    statistics = pruning.pruner.statistics
    assert statistics.batches == skipped[:36].count(False)  # at 36 the last mask is drawn
    assert all(bool(squares.isfinite().all()) for squares in statistics.squares.values())
    assert removed(module) == pytest.approx(0.5, abs=1e-3)


class Fused(Classifier):
    """Its optimizer undoes the scaling of 16-bit losses itself."""

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.rate, weight_decay=self.decay, fused=True)


@pytest.mark.parametrize("kind", [Classifier, Fused])
def test_evidence_is_that_of_the_loss_before_scaling(tmp_path, kind):
    def squares(**options):
        torch.manual_seed(0)
        pruning = Gradual(0.5, criterion="taylor")
        strangers_trainer(tmp_path, pruning, steps=5, **options).fit(kind(), loader())
        return float(sum(one.sum() for one in pruning.pruner.statistics.squares.values()))

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    scaled = squares(precision=None, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert scaled == pytest.approx(squares(), rel=0.1)


def test_one_run_delivers_every_size(tmp_path):
    pruning = Gradual(0.8, interval=2, sizes=(0.5, 0.3, 0.79))
    model, _ = fit(tmp_path, pruning)
    found = pruning.export_sizes(model)
    assert sorted(found) == [0.3, 0.5, 0.79]
    assert [found[size][0] for size in sorted(found)] == [10, 20, 30]
    for size, (_, then) in found.items():
        assert removed(then) == pytest.approx(size, abs=1e-3)
    assert removed(model) == pytest.approx(0.8, abs=1e-3)


def test_a_size_is_what_the_run_was_at_that_update(tmp_path):
    pruning = Gradual(0.8, interval=2, sizes=(0.5,))
    model, _ = fit(tmp_path, pruning)
    updates, then = pruning.export_sizes(model)[0.5]
    again = Gradual(0.8, interval=2, sizes=(0.5,))

    class Halt(Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            if trainer.global_step == updates:
                self.state = {name: value.clone() for name, value in again._kept[0.5][1].items()}

    halt = Halt()
    fit(tmp_path, again, extra=[halt])
    assert all(torch.equal(value, then.state_dict()[name]) for name, value in halt.state.items())


def test_a_fit_too_short_for_its_sizes_says_so(tmp_path):
    with pytest.raises(ValueError, match="40 updates leave none to recover at each of 2 sizes: train longer"):
        fit(tmp_path, Gradual(0.8, ramp=1.0, sizes=(0.79,)))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("killed", [3, 9, 12, 21])
def test_a_killed_run_resumes_to_identical_weights_and_sizes(tmp_path, name, killed):
    options = {} if name == "taylor" else {"sizes": (0.3,)}

    def run(checkpoint=None, stop=None):
        pruning = MAKERS[name](**options)
        model, _ = fit(tmp_path, pruning, extra=[Stop(stop, tmp_path)] if stop else [], checkpoint=checkpoint)
        return pruning, model

    whole, model = run()
    with pytest.raises(KeyError, match="killed"):
        run(stop=killed)
    again, resumed = run(checkpoint=tmp_path / "killed.ckpt")
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), resumed.parameters(), strict=True))
    assert whole.masks.checksum() == again.masks.checksum()
    if options:
        pair = [pruning.export_sizes(model)[0.3][1].state_dict() for pruning in (whole, again)]
        assert all(torch.equal(value, pair[1][key]) for key, value in pair[0].items())


class Stop(Callback):
    """Saves a checkpoint after so many updates, then dies."""

    def __init__(self, updates, folder):
        self.updates, self.folder = updates, folder

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.updates:
            trainer.save_checkpoint(self.folder / "killed.ckpt")
            raise KeyError("killed")


def test_one_run_delivers_every_rank(tmp_path):
    pruning = Gradual(0.8, interval=4, sizes=(0.3, 0.6), structure="ranks")
    model, _ = fit(tmp_path, pruning)
    dense = sum(weight.numel() for weight in find_targets(make_model()).values())
    found = {size: then for size, (_, then) in pruning.export_sizes(model).items()} | {0.8: pruning.export(model)}
    for size, then in found.items():
        held = sum(weight.numel() for weight in find_targets(then).values())
        assert held == pytest.approx((1 - size) * dense, abs=40)
        assert held <= (1 - size) * dense + 1


def test_factors_compute_what_the_matrices_did_before_anything_goes(tmp_path):
    class Note(Callback):
        def on_train_start(self, trainer, pl_module):
            self.outputs = pl_module.model.eval()(UNITS).detach()
            pl_module.model.train()

    note, model = Note(), make_model()
    fit(tmp_path, Taylor(0.6, at=0.5, structure="ranks"), extra=[note])
    torch.testing.assert_close(note.outputs, model.eval()(UNITS), rtol=1e-3, atol=1e-4)


def test_revival_of_ranks_is_refused():
    with pytest.raises(ValueError, match="PARP revives what it removes"):
        PARP(0.5, structure="ranks")


@pytest.mark.parametrize("killed", [3, 8, 9])
def test_a_killed_run_of_ranks_resumes_to_identical_weights(tmp_path, killed):
    def run(checkpoint=None, stop=None):
        pruning = Gradual(0.6, interval=4, structure="ranks")
        return fit(tmp_path, pruning, extra=[Stop(stop, tmp_path)] if stop else [], checkpoint=checkpoint)[0]

    model = run()
    with pytest.raises(KeyError, match="killed"):
        run(stop=killed)
    resumed = run(checkpoint=tmp_path / "killed.ckpt")
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), resumed.parameters(), strict=True))


def test_ranks_are_chosen_within_a_fit_alone():
    with pytest.raises(ValueError, match="rank components are made when a fit begins"):
        OMP(0.5, structure="ranks").choose(make_model())


def test_an_unknown_structure_is_named():
    with pytest.raises(ValueError, match="structure='rank': choose groups, weights, weights\\+biases, ranks, heads"):
        Gradual(0.5, structure="rank")


LAYERS = 2 * (4 * 16 * 16 + 2 * 16 * 24)
RANK_ONE = 2 * (4 * (16 + 16) + 2 * (16 + 24))


@pytest.mark.parametrize(
    ("structure", "stays"), [("heads", 2 * 2 * 16 * 24), ("groups", 0), ("ranks", RANK_ONE + 16 + WORDS.size)]
)
def test_more_than_a_structure_holds_is_infeasible_before_any_update(tmp_path, structure, stays):
    most = 1 - (stays + (structure != "ranks") * 16 * WORDS.size) / (LAYERS + 16 * WORDS.size)
    with pytest.raises(Infeasible, match=f"at most {most:.1%} can be removed so, less than the asked 99.9%"):
        fit(tmp_path, Gradual(0.999, structure=structure))
