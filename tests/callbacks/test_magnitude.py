from __future__ import annotations

import lightning
import pytest
import torch
from strangers import Classifier, SpeechClassifier, loader, trainer
from torch import nn

from prune_bench.callbacks import MPI, OMP, PARP, RP
from prune_bench.pruning.masks import iou
from prune_bench.pruning.targets import find_targets


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def zeros(module: nn.Module, **choice) -> int:
    return sum(int((weight == 0).sum()) for weight in find_targets(module, **choice).values())


@pytest.mark.parametrize("callback", [OMP, PARP, MPI, RP])
@pytest.mark.parametrize("sparsity", [0.3, 0.9])
def test_a_strangers_classifier_ends_exactly_sparse_under_decay(tmp_path, callback, sparsity):
    module, pruning = Classifier(), callback(sparsity)
    first, last = module.layers[0].weight.detach().clone(), module.layers[6].bias.detach().clone()
    keys = set(module.state_dict())
    trainer(tmp_path, pruning, steps=13).fit(module, loader())
    assert zeros(module) == round(sparsity * (24 * 32 * 2))
    assert pruning.achieved == pytest.approx(sparsity, abs=1e-3)
    assert pruning.sparsity == sparsity
    assert set(module.state_dict()) == keys
    assert not torch.equal(first, module.layers[0].weight)
    assert int((module.layers[0].weight == 0).sum()) == 0
    assert not torch.equal(last, module.layers[6].bias)


def test_omp_at_a_fraction_of_the_fit_is_dense_before_it(tmp_path):
    seen: dict[int, int] = {}

    class Watch(lightning.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen[trainer.global_step] = zeros(pl_module)

    module = Classifier()
    trainer(tmp_path, OMP(0.5, at=0.5), Watch(), steps=10).fit(module, loader())
    assert [seen[step] for step in (0, 4, 5, 9)] == [0, 0, 768, 768]


def test_a_random_mask_depends_on_the_seed_alone_and_is_at_chance_with_magnitude(tmp_path):
    masks = []
    for seed, make in ((1, RP), (1, RP), (2, RP), (1, MPI)):
        pruning = make(0.5, seed=seed)
        trainer(tmp_path, pruning, steps=1).fit(Classifier(), loader())
        masks.append(pruning.masks)
    assert masks[0].checksum() == masks[1].checksum() != masks[2].checksum()
    assert iou(masks[0], masks[3]) == pytest.approx(1 / 3, abs=0.03)


def test_validation_before_the_first_mask_leaves_the_weights_alone(tmp_path):
    module = Classifier(rate=0.0, decay=0.0)
    before = module.layers[2].weight.detach().clone()
    seen = []

    class Watch(lightning.Callback):
        def on_validation_end(self, trainer, pl_module):
            seen.append(torch.equal(pl_module.layers[2].weight, before))

    run = trainer(tmp_path, OMP(0.5, at=0.5), Watch(), steps=4, val_check_interval=1)
    run.fit(module, loader(), loader())
    assert seen[0]
    assert not seen[-1]


def test_wav2vec2_is_pruned_without_its_first_and_last_linear(tmp_path):
    module, pruning = SpeechClassifier(), PARP(0.5, interval=2)
    trainer(tmp_path, pruning, steps=4).fit(module, loader(width=800, count=16))
    assert pruning.achieved == pytest.approx(0.5, abs=1e-4)
    assert all(name.startswith("wav2vec2.encoder.transformer") for name in pruning.masks)


@pytest.mark.parametrize("include", [["*feed_forward*"], ["*attention*"]])
def test_names_choose_what_is_pruned(tmp_path, include):
    module = SpeechClassifier()
    pruning = OMP(0.5, include=include, exclude=["*layers.0*"])
    trainer(tmp_path, pruning, steps=1).fit(module, loader(width=800, count=16))
    assert pruning.masks
    assert all(include[0].strip("*") in name and "layers.1" in name for name in pruning.masks)


def test_choices_that_match_nothing_or_a_parametrised_weight_are_refused(tmp_path):
    module = SpeechClassifier()
    with pytest.raises(ValueError, match=r"include='\*nosuch\*' matches no weight matrix"):
        trainer(tmp_path, OMP(0.5, include=["*nosuch*"])).fit(module, loader(width=800))
    with pytest.raises(ValueError, match="computed from other tensors"):
        find_targets(module, include="*pos_conv*")


def test_impossible_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sparsity=1\.5"):
        OMP(1.5)
    with pytest.raises(ValueError, match="max_steps"):
        trainer(tmp_path, PARP(0.5), steps=-1).fit(Classifier(), loader())
    with pytest.raises(ValueError, match="structure='weights'"):
        trainer(tmp_path, PARP(0.5, structure="groups")).fit(Classifier(), loader())


def test_a_mask_of_another_model_is_refused(tmp_path):
    pruning = OMP(0.5)
    trainer(tmp_path, pruning, steps=1).fit(Classifier(), loader())
    other = OMP(0.5)
    other.load_state_dict(pruning.state_dict())
    with pytest.raises(ValueError, match="mask of another model"):
        trainer(tmp_path, other, steps=1).fit(SpeechClassifier(), loader(width=800))
