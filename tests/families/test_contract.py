"""Every method on every kind of model: it reaches its size, and what is kept computes what was trained."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.data import DataLoader

from prune_bench.artefacts import load_model, save_model
from prune_bench.callbacks import RP
from prune_bench.compaction import largest_difference
from prune_bench.data import Corpus
from prune_bench.data.batches import Batch
from prune_bench.data.text.batches import TextBatch
from prune_bench.data.tokenizers import Characters
from prune_bench.families import FAMILIES, experiment_of, preset
from prune_bench.measurement.size import measure_size
from prune_bench.overrides import override
from prune_bench.pruning.axes import GATES
from prune_bench.pruning.methods import METHODS
from prune_bench.sweep.stages.methods import callbacks_for
from tests.helpers.strangers import trainer

STEPS = 10
TOKENIZER = Characters("abcdefgh")
SAME = {"weights+biases": "weights", "heads": "groups"}  # structures that differ from another in their targets alone
HEADS = ("omp", "taylor", "gradual", "parp")
CASES = [
    (name, structure)
    for name, method in METHODS.items()
    for structure in method.structures
    if SAME.get(structure) not in method.structures or (structure == "heads" and name in HEADS)
]
FEW = ("l0_heads", "heads")  # attention heads alone hold too little for more
GRAIN = {"weights": 1e-4, "groups": 0.03, "ranks": 0.01, "heads": 0.04}


def refusal(method, task):
    """What a method says to a kind of model that it does not apply to."""
    if method.means == GATES and task != "transducer":
        return r"offers no cost_terms\(\): gates need them"
    return None


def batches(task, config):
    torch.manual_seed(0)
    if task == "language_model":
        tokens = torch.randint(1, TOKENIZER.size, (4, 9))
        return [TextBatch(tokens[:, :-1], tokens[:, 1:], torch.full((4,), 8), torch.arange(4))]
    length = 8000 if task == "ctc" else 80
    features = torch.randn(2, length, 1 if task == "ctc" else config.features.mels)
    targets, lengths = torch.randint(1, TOKENIZER.size, (2, 4)), torch.full((2,), length)
    return [Batch(features, lengths, targets, torch.full((2,), 4), torch.arange(2))]


@pytest.mark.parametrize("task", FAMILIES.names)
@pytest.mark.parametrize(("name", "structure"), CASES, ids=["-".join(case) for case in CASES])
def test_a_method_keeps_its_promise(tmp_path, task, name, structure):
    method, sparsity = METHODS[name], 0.1 if name in FEW or structure in FEW else 0.5
    values = {"method": name, "sparsity": sparsity, "pruning.structure": structure, "final.steps": STEPS}
    config = override(
        preset("smoke", task), {**values, "pruning.intermediate": ""} if "intermediate" in method.knobs else values
    )
    experiment = experiment_of(config)
    module = experiment.make_task(Corpus({}, TOKENIZER), config.final, tmp_path)
    dense = measure_size(copy.deepcopy(module.model))["blocks"]
    drawn = RP(sparsity, structure=structure).choose(module.model) if method.mask_source == "chance" else None
    (pruning,) = callbacks_for(config, drawn)
    fit = trainer(tmp_path, pruning, steps=STEPS)
    if said := refusal(method, task):
        with pytest.raises(ValueError, match=said) as error:
            fit.fit(module, DataLoader(batches(task, config), batch_size=None))
        pytest.skip(f"{name} on {task}: {error.value}")
    fit.fit(module, DataLoader(batches(task, config), batch_size=None))
    kept = pruning.export(module.model)
    if method.target == "size":
        grain = GRAIN["heads" if method.kinds == ("heads",) else structure]
        size = measure_size(kept)["blocks_nonzero"]
        assert size / dense == pytest.approx(1 - sparsity, abs=grain)
        assert pruning.achieved == pytest.approx(sparsity, abs=grain)
    assert largest_difference(module.model, kept, *experiment.example(kept)) < 1e-4
    save_model(kept, tmp_path / "model")
    loaded = load_model(tmp_path / "model").state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in kept.state_dict().items())
