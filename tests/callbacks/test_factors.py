from __future__ import annotations

import copy
import pickle

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from strangers import Classifier, loader, trainer
from torch import nn

from prune_bench.callbacks import OMP, LowRank, Taylor
from prune_bench.callbacks.bindings import merged, narrowed
from prune_bench.callbacks.factors import factor_layers, factorise_layers, find_matrices
from prune_bench.models.low_rank import LowRankLinear

MAKERS = {
    "LowRank": lambda: LowRank(0.5),
    "OMP": lambda: OMP(0.5, structure="ranks"),
    "Taylor": lambda: Taylor(0.5, at=0.3, structure="ranks"),
}


class Checked(Classifier):
    """Reports its loss and can be built late."""

    def validation_step(self, batch, batch_idx):
        self.log("loss", nn.functional.cross_entropy(self.layers(batch[0]), batch[1]))

    test_step = validation_step


class BuiltInSetup(Checked):
    def __init__(self):
        super().__init__()
        del self.layers

    def setup(self, stage):
        if not hasattr(self, "layers"):
            self.layers = Classifier().layers


class BuiltWhenConfigured(Checked):
    def __init__(self):
        super().__init__()
        self.layers = None

    def configure_model(self):
        if self.layers is None:
            self.layers = Classifier().layers


class Conv1D(nn.Module):
    """As in GPT-2: a linear layer whose matrix is (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int):
        super().__init__()
        self.nf = outputs
        self.weight, self.bias = nn.Parameter(torch.randn(inputs, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


def factorise_fully(module: nn.Module, *names: str) -> None:
    factorise_layers(module, {name: min(module.get_submodule(name).weight.shape) for name in names})


@pytest.mark.parametrize("method", MAKERS)
@pytest.mark.parametrize("weights_only", [False, True])
def test_a_plain_load_of_a_checkpoint_gives_what_was_validated(tmp_path, method, weights_only):
    module, saver = Checked(), ModelCheckpoint(tmp_path, monitor="loss", save_weights_only=weights_only)
    fit = trainer(tmp_path, MAKERS[method](), saver, steps=24, enable_checkpointing=True)
    fit.fit(module, loader(), loader(count=32))
    best = float(saver.best_model_score)
    plain = Checked.load_from_checkpoint(saver.best_model_path)
    assert type(plain.layers[2]) is nn.Linear
    evaluated = [
        trainer(tmp_path).test(plain, loader(count=32), verbose=False),
        fit.test(module, loader(count=32), ckpt_path=saver.best_model_path, verbose=False),
    ]
    if not weights_only:
        fresh = trainer(tmp_path, MAKERS[method]())
        evaluated.append(fresh.test(Checked(), loader(count=32), ckpt_path=saver.best_model_path, verbose=False))
    assert [found["loss"] for (found,) in evaluated] == pytest.approx([best] * len(evaluated), rel=1e-5)


@pytest.mark.parametrize("method", MAKERS)
@pytest.mark.parametrize("kind", [BuiltInSetup, BuiltWhenConfigured])
def test_layers_that_a_hook_builds_are_factorised(tmp_path, method, kind):
    module, pruning = kind(), MAKERS[method]()
    fit = trainer(tmp_path, pruning, steps=8)
    fit.fit(module, loader())
    assert [name for name, _ in factor_layers(module)] == ["layers.2", "layers.4"]
    assert pruning.achieved >= 0.5
    trained = {id(parameter) for group in fit.optimizers[0].param_groups for parameter in group["params"]}
    assert {id(parameter) for parameter in module.parameters()} == trained
    assert "configure_model" not in vars(module)


def test_factors_of_another_sparsity_are_refused(tmp_path):
    fit = trainer(tmp_path, LowRank(0.5), steps=2)
    fit.fit(Classifier(), loader())
    fit.save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"holds layers\.2\.up\.weight as \(32, 7\) and this fit as \(32, 10\)"):
        trainer(tmp_path, LowRank(0.3), steps=4).fit(Classifier(), loader(), ckpt_path=tmp_path / "last.ckpt")


def test_a_dense_checkpoint_is_factorised_and_trained_on(tmp_path):
    dense = Classifier(rate=0.05)
    fit = trainer(tmp_path, steps=6)
    fit.fit(dense, loader())
    fit.save_checkpoint(tmp_path / "dense.ckpt")
    started = []

    class See(Callback):
        def on_train_start(self, trainer, pl_module):
            started.append(pl_module.layers[2].weight.detach())

    module, pruning = Classifier(), LowRank(0.5)
    fit = trainer(tmp_path, pruning, See(), steps=8)
    with pytest.warns(UserWarning, match="of a dense fit: the optimizer's moments start afresh"):
        fit.fit(module, loader(), ckpt_path=tmp_path / "dense.ckpt")
    assert fit.optimizers[0].param_groups[0]["lr"] == 0.05
    left, values, right = torch.linalg.svd(dense.layers[2].weight.detach())
    rank = pruning.ranks["layers.2"]
    torch.testing.assert_close(started[0], left[:, :rank] * values[:rank] @ right[:rank], atol=1e-5, rtol=1e-4)
    assert not torch.equal(module.layers[2].weight, started[0])


def test_a_module_with_factors_can_be_copied_and_pickled(tmp_path):
    module, pruning = Checked(), LowRank(0.5)
    trainer(tmp_path, pruning, steps=2).fit(module, loader())
    module.trainer = None
    inputs = torch.randn(3, 10)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        twin.load_state_dict(module.state_dict())
        torch.testing.assert_close(twin.layers(inputs), module.layers(inputs), atol=1e-6, rtol=1e-5)
    assert pickle.loads(pickle.dumps(pruning)).achieved == pruning.achieved
    assert module.state_dict().keys() == Checked().state_dict().keys()


def test_a_model_kept_on_the_way_has_the_factors_of_that_time(tmp_path):
    module, pruning = Classifier(), Taylor(0.5, at=0.3, structure="ranks")
    trainer(tmp_path, pruning, steps=10).fit(module, loader())
    inputs = torch.randn(3, 10)
    then = module.layers(inputs)
    pruning.keep(module, 10, 0.5)
    for _, layer in factor_layers(module):
        nn.init.zeros_(layer.up.weight)
    ((_, kept),) = pruning.export_sizes(module).values()
    torch.testing.assert_close(kept.layers(inputs), then, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_factors_have_the_dtype_of_the_matrix(dtype):
    module = nn.Sequential(nn.Linear(6, 8)).to(dtype)
    dense, inputs = module[0], torch.randn(5, 6, dtype=dtype)
    factorise_fully(module, "0")
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    close = 1e-14 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(module(inputs), dense(inputs), atol=close, rtol=close)


def test_factors_of_a_frozen_layer_are_frozen():
    module = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8))
    module[0].weight.requires_grad_(False)
    factorise_fully(module, "0", "1")
    trains = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    assert [name for name, does in trains.items() if not does] == ["0.down.weight", "0.up.weight"]


def test_what_layers_share_they_go_on_sharing():
    one = nn.Linear(6, 6)
    module = nn.Sequential(one, nn.ReLU(), one, nn.Linear(6, 6))
    module[3].weight = one.weight
    inputs = torch.randn(5, 6)
    expected = module(inputs)
    factorise_fully(module, "0")
    assert module[0] is module[2]
    assert module[3].up.weight is module[0].up.weight
    assert module[3].down.weight is module[0].down.weight
    torch.testing.assert_close(module(inputs), expected)


def test_a_matrix_that_is_an_embedding_too_is_not_factorised():
    module = nn.ModuleDict({"head": nn.Linear(6, 9), "tokens": nn.Embedding(9, 6)})
    module["tokens"].weight = module["head"].weight
    with pytest.raises(ValueError, match=r"head shares its matrix with tokens.*exclude head"):
        factorise_fully(module, "head")


def test_gpt2s_linear_layers_are_factorised_and_keep_their_keys():
    module, inputs = nn.Sequential(Conv1D(8, 6)), torch.randn(5, 6)
    dense, state = module(inputs), module.state_dict()
    factorise_fully(module, "0")
    torch.testing.assert_close(module(inputs), dense)
    torch.testing.assert_close(module.state_dict(), state)
    with torch.no_grad():
        module[0].up.weight.zero_()
    module.load_state_dict(state)
    torch.testing.assert_close(module(inputs), dense)
    small = narrowed(module[0], torch.arange(6) < 4)
    assert small.weight.shape == (6, 8)


@pytest.mark.parametrize("training", [False, True])
def test_attention_computes_with_factors_of_its_output_projection(training):
    module = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)).train(training)
    inputs = torch.randn(2, 5, 8)
    dense = module(inputs)
    factorise_fully(module, "0.self_attn.out_proj", "0.linear1")
    torch.testing.assert_close(module(inputs), dense, atol=1e-5, rtol=1e-4)
    module(inputs).sum().backward()
    assert module[0].self_attn.out_proj.down.weight.grad is not None


@pytest.mark.parametrize("bias", [False, True])
def test_the_merged_layer_computes_what_its_factors_do(bias):
    layer = LowRankLinear(6, 3, 8, bias).double()
    dense, inputs = merged(layer), torch.randn(5, 6, dtype=torch.float64)
    assert (dense.bias is not None) == bias
    torch.testing.assert_close(dense(inputs), layer(inputs))


def test_a_tracer_that_asks_for_parameters_gets_the_factors():
    module = nn.Sequential(nn.Linear(6, 8))
    factorise_fully(module, "0")
    assert module.state_dict(keep_vars=True).keys() == dict(module.named_parameters()).keys()
    assert module.state_dict().keys() == {"0.weight", "0.bias"}


def test_a_diverged_matrix_is_named():
    module = Classifier()
    nn.init.constant_(module.layers[2].weight, float("nan"))
    with pytest.raises(ValueError, match=r"layers\.2\.weight holds NaN"):
        find_matrices(module, {})
