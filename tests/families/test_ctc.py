"""The CTC recogniser: its weights come from where they should, and do not mix with those of another size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from prune_bench.data import Corpus
from prune_bench.data.batches import Examples
from prune_bench.data.store import FeatureStore, write_store
from prune_bench.data.tokenizers import Characters
from prune_bench.families import preset
from prune_bench.families.ctc.family import CtcExperiment
from prune_bench.families.ctc.pretraining import make_arch
from prune_bench.files import cached_folder
from prune_bench.models.wav2vec2 import Wav2Vec2
from prune_bench.overrides import override

CONFIG = override(preset("smoke", "ctc"), {"encoder.width": 12, "encoder.ffn": 24, "encoder.position_groups": 4})
ARCH = make_arch(CONFIG.encoder)
CORPUS = Corpus({}, Characters("abc"))


def make_model(vocabulary, seed=0, **changes):
    torch.manual_seed(seed)
    return Wav2Vec2(replace(ARCH, vocabulary=vocabulary, **changes))


def test_a_task_starts_from_random_weights_with_a_head_for_its_tokenizer():
    task = CtcExperiment(CONFIG).make_task(CORPUS, CONFIG.final, Path())
    assert task.model.arch == replace(ARCH, vocabulary=4)
    assert task.fit is CONFIG.final


@pytest.mark.parametrize(("method", "updates"), [("omp", 5), ("dense", 5), ("parp_p", 0), ("unpretrained", 0)])
def test_the_head_begins_alone_but_in_parp(method, updates):
    config = override(CONFIG, {"method": method, "finetuning.head_only": 0.5, "final.steps": 10})
    assert CtcExperiment(config).make_task(CORPUS, config.final, Path()).head_updates == updates


@pytest.mark.parametrize(("vocabulary", "head_comes_along"), [(0, False), (7, False), (4, True)])
def test_weights_come_along_and_the_head_where_it_fits(vocabulary, head_comes_along):
    model, source = make_model(4), make_model(vocabulary, seed=1)
    head = model.aux.weight.clone()
    CtcExperiment(CONFIG).adopt(model, source)
    theirs = source.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.encoder.state_dict(prefix="encoder.").items())
    assert torch.equal(model.aux.weight, source.aux.weight if head_comes_along else head)


@pytest.mark.parametrize("changes", [{"layers": ARCH.layers[:1]}, {"position_groups": 2}])
def test_weights_of_another_size_are_refused_by_name(changes):
    model = make_model(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"pretrained weights of another size: encoder\.transformer\..* does not fit"):
        CtcExperiment(CONFIG).adopt(model, make_model(0, seed=1, **changes))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_published_weights_are_read_from_their_checkpoint(tmp_path, monkeypatch):
    published = make_model(0, seed=3, norm="group_norm", conv_bias=False, normalize=False)
    monkeypatch.setattr("prune_bench.families.ctc.family.load_pretrained", lambda source: published)
    config = override(CONFIG, {"pretraining.source": "elsewhere"})
    model = CtcExperiment(config).make_task(CORPUS, config.final, Path()).model
    assert model.arch == replace(published.arch, vocabulary=4)
    assert torch.equal(model.encoder.feature_projection.projection.weight,
                       published.encoder.feature_projection.projection.weight)  # fmt: skip
    fresh = CtcExperiment(replace(config, method="unpretrained")).make_task(CORPUS, config.final, Path()).model
    assert not torch.equal(fresh.encoder.feature_projection.projection.weight,
                           published.encoder.feature_projection.projection.weight)  # fmt: skip


def make_published(monkeypatch, **changes) -> Wav2Vec2:
    published = make_model(0, seed=3, **changes)
    monkeypatch.setattr("prune_bench.families.ctc.family.load_pretrained", lambda source: published)
    return published


def test_the_published_mask_embedding_hides_frames_where_it_is_asked_for(monkeypatch):
    published = make_published(monkeypatch, mask_embedding=True)
    config = override(CONFIG, {"pretraining.source": "elsewhere"})
    assert CtcExperiment(config).make_task(CORPUS, config.final, Path()).model.mask_embedding is None
    masked = override(config, {"finetuning.mask_prob": 0.65})
    experiment = CtcExperiment(masked)
    model = experiment.make_task(CORPUS, config.final, Path()).model
    assert torch.equal(model.mask_embedding, published.mask_embedding)
    assert "notes" not in experiment.describe(model, model)
    model.mask_embedding.data.fill_(7.0)
    again = experiment.make_task(CORPUS, config.final, Path()).model
    experiment.adopt(again, model)
    assert torch.equal(again.mask_embedding, torch.full((12,), 7.0))


@pytest.mark.parametrize("source", ["elsewhere", "own"])
def test_an_encoder_without_a_mask_embedding_says_that_it_hides_by_zeros(monkeypatch, source):
    make_published(monkeypatch)
    config = override(CONFIG, {"pretraining.source": source, "finetuning.mask_prob": 0.65})
    with pytest.warns(UserWarning, match="Hidden frames are zeros: the pretrained weights have no mask embedding"):
        model = CtcExperiment(config).make_task(CORPUS, config.final, Path()).model
    assert model.mask_embedding is None
    assert CtcExperiment(config).describe(model, model)["notes"] == [
        "Hidden frames are zeros: the pretrained weights have no mask embedding."
    ]
    assert "notes" not in CtcExperiment(CONFIG).describe(model, model)


def test_dropouts_of_the_configuration_reach_the_model():
    places = ("dropout", "input_dropout", "attention_dropout", "activation_dropout", "final_dropout", "layer_drop")
    config = override(CONFIG, {f"finetuning.{name}": 0.1 * n for n, name in enumerate(places, 1)})
    model = CtcExperiment(config).make_task(CORPUS, config.final, Path()).model
    transformer = model.encoder.transformer
    layer = transformer.layers[0]
    found = (transformer.dropout.p, model.encoder.feature_projection.dropout.p, layer.attention.dropout,
             layer.feed_forward.intermediate_dropout.p, model.final_dropout.p, transformer.layer_drop)  # fmt: skip
    assert found == tuple(0.1 * n for n in range(1, 7))


def test_the_papers_recipe_reaches_model_and_optimizer(monkeypatch):
    make_published(monkeypatch, mask_embedding=True)
    config = override(preset("paper", "ctc"), {"method": "omp", "sparsity": 0.5})
    task = CtcExperiment(config).make_task(CORPUS, config.final, Path())
    drops = {name: module.p for name, module in task.model.named_modules() if isinstance(module, torch.nn.Dropout)}
    assert {name.rpartition(".")[2] for name, p in drops.items() if p > 0} == {"intermediate_dropout"}
    assert (task.head_updates, task.model.encoder.transformer.layer_drop) == (10_000, 0.05)
    made = task.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    (group,) = optimizer.param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.98), 1e-8, 0.0)
    assert any(parameter is task.model.mask_embedding for parameter in group["params"])
    (factor,) = schedule.lr_lambdas
    rates = [schedule.base_lrs[0] * factor(step) for step in (0, 1000, 2000, 9999, 15_000, 20_000)]
    assert rates == pytest.approx([5e-7, 2.525e-5, 5e-5, 5e-5, 5e-5 * 0.05**0.5, 2.5e-6])
    assert (config.final.clip, config.final.precision) == (0.0, "32-true")
    assert config.final.frames * config.final.accumulate == 1600 * 16_000


def make_corpus(path):
    random, lengths = np.random.default_rng(0), (9000, 16000, 12345)
    samples = [random.integers(-9000, 9000, (length, 1), dtype=np.int16) for length in lengths]
    rows = [{"id": f"u{n}", "text": "cab", "speaker": "s", "frames": n, "seconds": n / 16000} for n in lengths]
    with cached_folder(path) as folder:
        write_store(folder, [(np.concatenate(samples), rows, {})], samples[0])
    return Corpus({"train": FeatureStore.open(path)}, Characters("abc"))


def test_convolutions_are_computed_once_and_train_the_same(tmp_path):
    corpus, recognizer, told = make_corpus(tmp_path / "store"), CtcExperiment(CONFIG), []
    task = recognizer.make_task(corpus, CONFIG.final, tmp_path)
    task.eval()
    for _ in range(2):
        cached = recognizer.cache_front_end(
            corpus, task.model, tmp_path, lambda *progress: told.append(progress)
        ).front_end
    assert told == [(1, 3), (2, 3), (3, 3)]
    losses = []
    for store in (corpus.splits["train"], cached):
        task.zero_grad()
        loss = task.losses(Examples(store, corpus.tokenizer).__getitems__([2, 0, 1]))["loss"]
        loss.backward()
        losses.append((loss, task.model.encoder.feature_projection.projection.weight.grad))
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    assert float(losses[0][1].abs().sum()) > 0


@pytest.mark.parametrize(
    ("changes", "norm"),
    [
        ({"execution.feature_cache_gb": 1e-6}, "layer_norm"),
        ({"method": "unpretrained"}, "layer_norm"),
        ({}, "group_norm"),
    ],
)
def test_convolutions_are_not_kept_without_room_or_where_each_fit_or_batch_has_its_own(tmp_path, changes, norm):
    corpus, model = make_corpus(tmp_path / "store"), make_model(4, norm=norm, conv_bias=norm == "layer_norm")
    assert CtcExperiment(override(CONFIG, changes)).cache_front_end(corpus, model, tmp_path, print) is corpus
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["store"]


def test_other_convolutions_or_speech_are_other_stores(tmp_path):
    corpus, recognizer = make_corpus(tmp_path / "store"), CtcExperiment(CONFIG)
    other = Corpus({"train": corpus.splits["train"].select([1, 0], {})}, corpus.tokenizer)
    quiet = make_model(4, epsilon=1e-7)
    for model, one in (
        (make_model(4), corpus), (make_model(4, seed=1), corpus), (make_model(4), other), (quiet, corpus),
    ):  # fmt: skip
        recognizer.cache_front_end(one, model, tmp_path, lambda *_: None)
    assert len([path for path in (tmp_path / "front_end").iterdir() if path.is_dir()]) == 4


def test_norms_over_time_are_evaluated_one_utterance_at_a_time():
    recognizer = CtcExperiment(CONFIG)
    assert recognizer.batch_frames(make_model(4)) == CONFIG.measurement.batch_frames
    assert recognizer.batch_frames(make_model(4, norm="group_norm", conv_bias=False)) == 1


def test_a_row_tells_what_is_left_of_each_matrix():
    dense, model = make_model(4), make_model(4)
    name = dense.block_matrices()[0]
    dict(model.named_parameters())[name].data[:, ::2] = 0
    kept = CtcExperiment(CONFIG).describe(model, dense)["kept"]
    sizes = {key: value.numel() for key, value in dense.named_parameters()}
    assert kept.pop(name) == (0.5, sizes[name])
    assert kept == {key: (1.0, sizes[key]) for key in kept}
    assert len(kept) == 6 * len(ARCH.layers) - 1


def test_operations_of_a_second_by_hand():
    config = override(CONFIG, {"pruning.reference_seconds": 1.0, "encoder.layers": 1})
    flops = CtcExperiment(config).count_flops(Wav2Vec2(make_arch(config.encoder)))
    frames, width, ffn = 49, 12, 24
    assert flops["blocks"] == 2 * frames * (4 * width**2 + 2 * width * ffn) + 4 * frames**2 * width
    assert flops["encoder"] > flops["blocks"]


def test_the_dense_model_of_a_size_is_not_offered():
    config = replace(CONFIG, method="scratch", sparsity=0.5)
    with pytest.raises(ValueError, match="method=unpretrained"):
        CtcExperiment(config).make_task(CORPUS, config.final, Path())
