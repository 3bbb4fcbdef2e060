from __future__ import annotations

import pytest

from prune_bench.pruning.methods import METHODS
from prune_bench.sweep.grid import read_grid

CELLS = [("dense", 0.0), ("continue_ft", 0.0), ("omp", 0.2), ("svd", 0.2)]
LINES = [{"method": method, "sparsity": sparsity} for method, sparsity in CELLS]


class Lines:
    task = "transducer"

    def configurations(self, extended, references):
        more = [{"method": "omp", "sparsity": 0.7}] if extended else []
        return LINES + more + ([{"method": "scratch", "sparsity": 0.2}] if references else [])


def cells(*arguments, tables=None):
    return [(c.seed, c.method, c.sparsity) for c in read_grid(arguments, tables or {"table1": Lines()}).configs]


def test_lists_multiply_seed_by_seed_each_after_its_dense_model():
    found = cells("method=omp,svd", "sparsity=0.2,0.5", "seed=1,0")
    pruned = [("omp", 0.2), ("omp", 0.5), ("svd", 0.2), ("svd", 0.5)]
    assert found == [(seed, *cell) for seed in (0, 1) for cell in [("dense", 0.0), *pruned]]


def test_a_run_without_sparsity_stands_once():
    assert cells("method=continue_ft,dense,omp", "sparsity=0.2,0.5")[:2] == [(0, "dense", 0.0), (0, "continue_ft", 0.0)]
    assert len(cells("method=continue_ft,dense,omp", "sparsity=0.2,0.5")) == 4


def test_ranges_include_their_end():
    assert [cell[2] for cell in cells("method=omp", "sparsity=0.1:0.3:0.1")] == [0.0, 0.1, 0.2, 0.3]


def test_commas_within_brackets_stay():
    convs = "[(32, 20, 10), (32, 3, 2)]"
    found = read_grid(["task=ctc", f"encoder.convs={convs},[(8, 20, 10)] + [(32, 3, 2)] * 2"], {}).configs
    assert {config.encoder.convs for config in found} == {convs, "[(8, 20, 10)] + [(32, 3, 2)] * 2"}


def test_a_table_gives_its_lines_for_every_seed():
    grid = read_grid(["table=table1", "seed=0,1", "preset=smoke"], {"table1": Lines()})
    assert [(config.method, config.sparsity) for config in grid.configs if config.seed == 1] == CELLS
    assert (len(grid.configs), grid.name, grid.configs[0].preset) == (8, "table1", "smoke")


def test_extended_and_references_add_lines():
    plain = cells("table=table1")
    assert set(cells("table=table1", "extended=true")) - set(plain) == {(0, "omp", 0.7)}
    assert set(cells("table=table1", "references=true", "extended=false")) - set(plain) == {(0, "scratch", 0.2)}


def test_other_keys_reach_every_line():
    grid = read_grid(["table=table1", "final.steps=7", "corpus=fsdd"], {"table1": Lines()})
    assert {(c.final.steps, c.corpus.name) for c in grid.configs} == {(7, "fsdd")}


def test_the_short_name_of_a_method_is_the_same_run():
    short, full = (read_grid([f"method={name}", "sparsity=0.5"], {}).name for name in ("l0", "l0_sparsity"))
    assert short == full


def test_a_grid_of_ones_own_is_named_by_its_runs():
    names = [read_grid(["method=omp", f"sparsity={s}", *more], {}).name for s, more in
             [("0.5", []), ("0.50", ["output=elsewhere"]), ("0.6", [])]]  # fmt: skip
    assert names[0] == names[1] != names[2]


def test_every_method_makes_a_run():
    found = {cell[1] for cell in cells(f"method={','.join(METHODS)}", "sparsity=0.5", "pruning.structure=weights")}
    assert found == set(METHODS)


@pytest.mark.parametrize(("arguments", "message"), [
    (["method=ompp", "sparsity=0.5"], "did you mean 'omp'"),
    (["table=tabel1"], "did you mean 'table1'"),
    (["sparsty=0.5"], "did you mean 'sparsity'"),
    (["preset=tyni"], "did you mean 'tiny'"),
    (["corpus=espeek"], "did you mean 'espeak'"),
    (["table=table1", "extended=yes"], "choose from true, false"),
    (["table=table1", "sparsity=0.5"], "leave out sparsity="),
    (["extended=true"], "name one with table="),
    (["preset=tiny,small"], "one command for each"),
    (["corpus=fsdd,espeak"], "one command for each"),
    (["method=omp"], "add for example sparsity=0.5"),
    (["method"], "expected key=value"),
    (["table="], "expected key=value"),
    (["fusion.weights=0.1+much"], r"fusion\.weights=0\.1\+much: give numbers joined with \+"),
    (["pruning.intermediate=half"], r"pruning\.intermediate=half: give numbers"),
    (["dense.clip=-1"], r"dense\.clip=-1\.0: must be a norm, or 0"),
    (["final.schedule=tri_stage", "final.warmup=0.7"], r"final\.warmup=0\.7 and final\.hold=0\.4: together"),
    (["final.schedule=linear"], r"unknown value for final\.schedule: 'linear'"),
    (["lm.dense.steps=5"], "unknown key"),
])  # fmt: skip
def test_a_wrong_word_is_refused_with_a_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        cells(*arguments)


def test_a_gradual_run_can_be_sent_straight_to_its_size():
    words = ["task=language_model", "method=gradual", "sparsity=0.8"]
    assert read_grid(words, {}).configs[-1].pruning.intermediate
    assert read_grid([*words, "pruning.intermediate="], {}).configs[-1].pruning.intermediate == ""


def test_fewer_labels_take_fewer_updates_unless_asked_otherwise():
    words = ["task=ctc", "preset=paper", "corpus.root=/data", "method=dense,omp", "sparsity=0.5", "final.steps=7"]
    grid = read_grid([*words, "corpus.labels=10min,1h,10h"], {})
    found = {(one.corpus.labels, one.dense.steps, one.final.steps) for one in grid.configs}
    assert found == {("10min", 12_000, 7), ("1h", 15_000, 7), ("10h", 20_000, 7)}


def test_what_a_tables_lines_say_is_not_adapted():
    class Short(Lines):
        task = "ctc"

        def configurations(self, extended, references):
            return [{"method": "dense", "corpus.labels": "10min", "dense.steps": 9, "finetuning.mask_prob": 0.2}]

    (config,) = read_grid(["table=short", "preset=paper", "corpus.root=/data"], {"short": Short()}).configs
    assert (config.dense.steps, config.final.steps, config.finetuning.mask_prob) == (9, 12_000, 0.2)
    assert config.finetuning.mask_channel_prob == 0.512


@pytest.mark.parametrize(("labels", "size", "masked", "channels", "rate", "layer_drop", "every"), [
    ("10h", "base", 0.65, 0.256, 5e-5, 0.05, 112), ("1h", "base", 0.75, 0.256, 5e-5, 0.05, 112),
    ("10min", "base", 0.75, 0.512, 5e-5, 0.05, 50), ("10h", "large", 0.65, 0.256, 1e-4, 0.1, 112),
    ("10min", "large", 0.75, 0.512, 5e-5, 0.1, 50),
])  # fmt: skip
def test_the_papers_recipe_is_that_of_its_labels_and_its_size(labels, size, masked, channels, rate, layer_drop, every):
    words = ["task=ctc", "preset=paper", "corpus.root=/data", "method=parp", "sparsity=0.5"]
    config = read_grid([*words, f"corpus.labels={labels}", f"encoder.size={size}"], {}).configs[-1]
    tuning, steps = config.finetuning, config.final.steps
    assert (tuning.mask_prob, tuning.mask_channel_prob, tuning.layer_drop) == (masked, channels, layer_drop)
    assert (config.dense.learning_rate, config.final.learning_rate) == (rate, rate)
    assert round(tuning.head_only * steps) == 10_000
    assert round(config.pruning.interval * steps) == every
    given = read_grid([*words, f"corpus.labels={labels}", "finetuning.mask_prob=0.1", "pruning.interval=0.2"], {})
    assert (given.configs[-1].finetuning.mask_prob, given.configs[-1].pruning.interval) == (0.1, 0.2)


def test_a_large_encoder_is_pretrained_for_about_as_long_as_a_base_one_at_tiny():
    words = ["task=ctc", "method=dense", "encoder.size=base,large"]
    steps = {one.encoder.size: one.pretraining.fit.steps for one in read_grid(words, {}).configs}
    assert steps == {"base": 3700, "large": 1295}
    given = read_grid([*words, "pretraining.fit.steps=100"], {}).configs
    assert [one.pretraining.fit.steps for one in given] == [100, 100]
