"""Every method on a pretrained encoder, from pretraining to its row, on a corpus of noises."""

from __future__ import annotations

import itertools
import shutil

import pytest
import torch

from prune_bench.artefacts import load_model
from prune_bench.callbacks import OMP
from prune_bench.families import experiment_of, preset
from prune_bench.overrides import override
from prune_bench.pruning.masks import iou
from prune_bench.pruning.targets import find_targets
from prune_bench.sweep.runs.dependencies import dense_of, fine_tunings, with_dependencies
from prune_bench.sweep.runs.files import read_lines
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import read_row
from prune_bench.sweep.stages import fits
from prune_bench.sweep.stages.progress import Reporter
from prune_bench.sweep.stages.registry import STAGES, open_corpus

SPARSITY = 0.2
SMALLEST = {
    "corpus.name": "manifest",
    "pretraining.corpus": "manifest",
    "features.sample_rate": 8000,
    "encoder.layers": 2,
    "encoder.width": 12,
    "encoder.ffn": 24,
    "encoder.position_kernel": 4,
    "encoder.position_groups": 4,
    "encoder.convs": "[(8, 10, 5)] + [(8, 4, 4)] * 2",
    "pretraining.clusters": 4,
    "pretraining.fit.steps": 4,
    "dense.steps": 4,
    "final.steps": 10,
    "pretraining.fit.frames": 20000,
    "dense.frames": 20000,
    "final.frames": 20000,
    "pruning.round": 0.3,
    "final.checkpoint_every": 2,
    "wandb.mode": "disabled",
}
METHODS = ("rp", "mpi", "omp", "omp_continue", "transfer", "imp", "parp", "parp_p", "parp_p_staged", "parp_random",
           "parp_transfer")  # fmt: skip


@pytest.fixture(scope="session")
def shared(recordings, tmp_path_factory):
    """An output folder with what all methods share: the pretrained encoder and the dense model."""
    output = tmp_path_factory.mktemp("pretrained")
    config = configure(recordings, output, "dense", 0.0)
    for one in with_dependencies(config):
        train(one)
    return output


@pytest.fixture
def make(recordings, shared, tmp_path):
    """Configurations whose folders hold a copy of what is shared."""
    shutil.copytree(shared, tmp_path / "output")
    return lambda method, sparsity=SPARSITY, **changes: configure(
        recordings, tmp_path / "output", method, sparsity, **changes
    )


def configure(recordings, output, method, sparsity, **changes):
    places = {"corpus.root": str(recordings), "pretraining.root": str(recordings), "execution.output": str(output)}
    run = {"method": method, "sparsity": sparsity, **{key.replace("__", "."): value for key, value in changes.items()}}
    return override(preset("smoke", "ctc"), {**SMALLEST, **places, **run})


def train(config):
    fits.fit(config, open_corpus(config), Reporter(None))


def prunable(config):
    model = load_model(run_folder(config) / "model")
    return {name: weight.detach() for name, weight in find_targets(model).items()}


def fraction_removed(weights):
    return sum(int((w == 0).sum()) for w in weights.values()) / sum(w.numel() for w in weights.values())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_ends_exactly_sparse_with_its_fine_tunings(make, method):
    config = make(method)
    for one in with_dependencies(config):
        train(one)
    STAGES["run"](run_folder(config), config, Reporter(None))
    weights = prunable(config)
    total = sum(weight.numel() for weight in weights.values())
    assert fraction_removed(weights) == pytest.approx(SPARSITY, abs=1 / total)
    row = read_row(run_folder(config))
    assert (row["status"], row["fine_tunings"]) == ("done", len(with_dependencies(config)) - 1)
    assert 0.6 < row["overlap.start"] <= 1
    assert row["overlap.start"] == 1 or method not in ("mpi", "omp_continue")
    assert row["overlap.start"] < 0.75 or method not in ("rp", "parp_random")


def test_dense_starts_from_the_pretrained_encoder_with_a_new_head(make):
    config = make("dense", 0.0)
    task = fits.make_task(config, open_corpus(config))
    pretrained = load_model(run_folder(with_dependencies(config)[0]) / "model")
    state = pretrained.state_dict()
    assert pretrained.arch.vocabulary == 0
    assert all(torch.equal(value, state[name]) for name, value in task.model.state_dict().items() if name in state)
    assert {name for name in task.model.state_dict() if name not in state} == {"aux.weight", "aux.bias"}


def test_omp_puts_the_dense_model_s_mask_on_the_pretrained_weights(make):
    config = make("omp")
    task = fits.make_task(config, open_corpus(config))
    mask = fits.first_mask(config, task.model)
    dense = load_model(run_folder(dense_of(config)) / "model")
    assert iou(mask, OMP(SPARSITY).choose(dense)) == 1.0
    pretrained = load_model(run_folder(with_dependencies(config)[0]) / "model").state_dict()
    assert all(torch.equal(weight, pretrained[name]) for name, weight in find_targets(task.model).items())


def test_chance_draws_a_mask_for_each_seed(make):
    masks = []
    for seed in (0, 0, 1):
        config = make("rp", seed=seed)
        masks.append(fits.first_mask(config, fits.make_task(config, open_corpus(config)).model))
    assert iou(masks[0], masks[1]) == 1.0
    density = 1 - SPARSITY
    assert iou(masks[0], masks[2]) == pytest.approx(density / (2 - density), abs=0.05)


def test_rounds_are_nested_and_start_from_the_pretrained_weights(make):
    config = make("imp", 0.3)
    for one in with_dependencies(config):
        train(one)
    rounds = [prunable(one) for one in (*with_dependencies(config)[2:-1], config)]
    assert [round(fraction_removed(weights), 3) for weights in rounds] == pytest.approx([0.1, 0.2, 0.3], abs=0.001)
    for earlier, later in itertools.pairwise(rounds):
        assert all(not ((earlier[name] == 0) & (later[name] != 0)).any() for name in earlier)


def test_the_logged_step_goes_on_over_the_fits_of_a_chain(make):
    config, last, starts = make("parp_p_staged", 0.4, final__steps=4), -1.0, []
    for one in fine_tunings(config):
        train(one)
        steps = [line["prune/step"] for line in read_lines(run_folder(one) / "metrics.jsonl") if "prune/step" in line]
        assert steps == sorted(steps)
        assert steps[0] > last
        last = steps[-1]
        starts.append(steps[0])
    assert starts == [0.0, 4.0]


def test_biases_are_pruned_where_the_structure_says_so(make):
    for one in with_dependencies(config := make("imp", 0.3, pruning__structure="weights+biases")):
        train(one)
    model = load_model(run_folder(config) / "model")
    values = find_targets(model, biases=True)
    assert fraction_removed(values) == pytest.approx(0.3, abs=1 / sum(value.numel() for value in values.values()))
    assert sum(int((value == 0).sum()) for name, value in values.items() if name.endswith("bias")) > 0


def test_a_damaged_round_is_named_with_the_remedy_and_left_as_it_is(make):
    config = make("imp", 0.2)
    *before, last = with_dependencies(config)
    for one in before:
        train(one)
    file = run_folder(before[-1]) / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    kept = file.read_bytes()
    with pytest.raises(ValueError, match=r"imp_round-0\.1.*not a readable model \(.*\): delete it and train it again"):
        train(last)
    assert file.read_bytes() == kept
    assert not (run_folder(last) / "model").exists()


def test_a_mask_of_ones_own_language_is_omp_s(make):
    omp, transfer = make("omp"), make("transfer")
    for config in (omp, transfer):
        train(config)
    first, second = prunable(omp), prunable(transfer)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_round_goes_on_to_the_same_weights(make, kill_at):
    first = with_dependencies(make("imp", 0.1, final__checkpoint_every=1))[1]
    train(first)
    expected = load_model(run_folder(first) / "model").state_dict()
    shutil.rmtree(run_folder(first))
    with kill_at(2):
        train(first)
    assert (run_folder(first) / fits.CHECKPOINT).exists()
    train(first)
    found = load_model(run_folder(first) / "model").state_dict()
    assert all(torch.equal(expected[name], value) for name, value in found.items())


def test_a_fit_without_what_it_starts_from_names_it(make):
    with pytest.raises(ValueError, match=r"parp_p-0\.3-s0-.*arch\.json is missing"):
        train(make("parp_p_staged", 0.4))


@pytest.mark.parametrize("norm", ["layer_norm", "group_norm"])
def test_errors_do_not_depend_on_what_shares_a_batch(make, norm, monkeypatch):
    """Those of an encoder that normalises over time would, if its utterances were padded."""
    config = make("dense", 0.0, encoder__norm=norm)
    corpus, recognizer = open_corpus(config), experiment_of(config)
    model = recognizer.make_task(corpus, config.dense, run_folder(config)).model.eval()
    torch.nn.init.normal_(model.encoder.transformer.layers[0].attention.v_proj.weight, std=2.0)
    torch.nn.init.normal_(model.feature_extractor.conv_layers[0].layer_norm.weight, std=5.0)
    torch.nn.init.normal_(model.aux.weight, std=5.0)
    decoded, recognise = [], recognizer.recognise
    monkeypatch.setattr(recognizer, "recognise", lambda *of: decoded.append(recognise(*of)) or decoded[-1])
    found = []
    for frames in (1, 6000, 10**6):
        config.measurement.batch_frames = frames
        found.append((recognizer.judge(model, corpus, lambda done, total: None), list(itertools.chain(*decoded))))
        decoded.clear()
    assert found[0] == found[1] == found[2]
    assert any(found[0][1])
    if norm == "group_norm":
        monkeypatch.setattr(recognizer, "batch_frames", lambda model: 10**6)
        recognizer.judge(model, corpus, lambda done, total: None)
        assert list(itertools.chain(*decoded)) != found[0][1]
