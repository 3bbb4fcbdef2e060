from __future__ import annotations

import pytest
import torch
from strangers import Classifier, SpeechClassifier, loader, trainer
from torch import nn

from prune_bench.callbacks import LowRank
from prune_bench.callbacks.factors import find_matrices
from prune_bench.models.low_rank import LowRankLinear
from prune_bench.pruning import Infeasible
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


def test_a_callback_factorises_each_module_it_is_given_once(tmp_path):
    pruning = LowRank(0.5)
    for module in (Classifier(), Classifier()):
        for _ in range(2):
            trainer(tmp_path, pruning, steps=2).fit(module, loader())
            layers = [name for name, layer in module.named_modules() if isinstance(layer, LowRankLinear)]
            assert layers == ["layers.2", "layers.4"]


def test_what_is_factorised_is_not_factorised_again(tmp_path):
    module = Classifier()
    trainer(tmp_path, LowRank(0.5), steps=2).fit(module, loader())
    with pytest.raises(ValueError, match=r"layers\.2 is factorised already: fit on with the callback that did it"):
        trainer(tmp_path, LowRank(0.5), steps=2).fit(module, loader())


def test_two_callbacks_factorise_two_parts():
    module, parts = Classifier(), [LowRank(0.5, include="layers.2"), LowRank(0.7, include="layers.4")]
    for part in parts:
        part.factorise(module)
    assert [list(part.ranks) for part in parts] == [["layers.2"], ["layers.4"]]
    assert module.state_dict().keys() == Classifier().state_dict().keys()


def test_a_sparsity_is_reached_or_refused(tmp_path):
    with pytest.raises(Infeasible, match="rank 1 in 2 matrices takes more than the 15 weights"):
        trainer(tmp_path, LowRank(0.99), steps=2).fit(Classifier(), loader())
    dense, pruning = Classifier(), LowRank(0.0)
    trainer(tmp_path, pruning, steps=2).fit(dense, loader())
    assert type(dense.layers[2]) is nn.Linear
    assert pruning.achieved == 0.0


def test_nothing_is_known_before_a_fit_begins():
    with pytest.raises(RuntimeError, match=r"LowRank has pruned nothing before trainer\.fit"):
        _ = LowRank(0.5).achieved


def test_what_cannot_be_factorised_is_named(tmp_path):
    module = Classifier()
    module.layers.insert(3, nn.TransformerEncoderLayer(32, 2, 8, dropout=0.0))
    with pytest.raises(ValueError, match=r"no target is the matrix of a linear layer.*in_proj_weight"):
        trainer(tmp_path, LowRank(0.5, include="*in_proj_weight"), steps=2).fit(module, loader())


def test_a_matrix_without_entries_is_left_as_it_is():
    module = Classifier()
    module.layers.append(nn.Linear(0, 5))
    layers, fixed = find_matrices(module, {"include": "layers.[247]"})
    assert (list(layers), fixed) == (["layers.2", "layers.4"], 0)
    pruning = LowRank(0.5, include="layers.[247]")
    pruning.factorise(module)
    assert list(pruning.ranks) == ["layers.2", "layers.4"]


def test_coverage_is_said_once(tmp_path, caplog):
    with caplog.at_level("INFO"):
        trainer(tmp_path, LowRank(0.5), steps=2).fit(Classifier(), loader())
    assert [line for line in caplog.messages if "weight matrices" in line] == [
        "LowRank targets 2 of 4 weight matrices, 83.1% of the weights in them; left out: input (layers.0.weight), "
        "output (layers.6.weight)"
    ]
