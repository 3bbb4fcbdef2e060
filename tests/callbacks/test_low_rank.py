from __future__ import annotations

import pytest
import torch
from strangers import Classifier, SpeechClassifier, loader, trainer

from prune_bench.callbacks import LowRank
from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning.targets import find_targets


@pytest.mark.parametrize("sparsity", [0.3, 0.5])
def test_a_strangers_layers_become_thin_factors_that_train(tmp_path, sparsity):
    module, pruning = Classifier(), LowRank(sparsity)
    dense = sum(weight.numel() for weight in find_targets(module).values())
    trainer(tmp_path, pruning, steps=3).fit(module, loader())
    layers = [layer for layer in module.modules() if isinstance(layer, LowRankLinear)]
    kept = sum(layer.up.weight.numel() + layer.down.weight.numel() for layer in layers)
    assert len(layers) == 2
    assert 1 - kept / dense == pytest.approx(pruning.achieved)
    assert pruning.achieved == pytest.approx(sparsity, abs=56 / dense)
    assert pruning.achieved >= sparsity
    assert layers[0].up.weight.grad is not None


def test_the_best_approximation_is_what_training_starts_from(tmp_path):
    module = Classifier(rate=0.0, decay=0.0)
    dense = module.layers[2].weight.detach().clone()
    pruning = LowRank(0.4)
    trainer(tmp_path, pruning, steps=1).fit(module, loader())
    rank = pruning.ranks["layers.2"]
    factors = module.layers[2]
    error = (factors.up.weight @ factors.down.weight - dense).norm()
    assert float(error) == pytest.approx(float(torch.linalg.svdvals(dense)[rank:].square().sum().sqrt()), rel=1e-4)


def test_names_choose_the_layers_of_a_wav2vec2(tmp_path):
    module, pruning = SpeechClassifier(), LowRank(0.5, include=["*feed_forward*"])
    trainer(tmp_path, pruning, steps=2).fit(module, loader(width=800, count=16))
    assert pruning.ranks
    assert all("feed_forward" in name for name in pruning.ranks)


def test_a_resumed_fit_factorises_once_and_continues(tmp_path):
    module, pruning = Classifier(), LowRank(0.4)
    first = trainer(tmp_path, pruning, steps=3)
    first.fit(module, loader(count=8))
    first.save_checkpoint(tmp_path / "last.ckpt")
    again = Classifier()
    resumed = LowRank(0.4)
    trainer(tmp_path, resumed, steps=3).fit(
        again, loader(count=8), ckpt_path=tmp_path / "last.ckpt", weights_only=False
    )
    assert resumed.ranks == pruning.ranks
    for name, value in module.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
