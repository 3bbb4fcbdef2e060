"""What a GPU could do otherwise than a CPU. Each test runs on the CPU too, so that it is known to work."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from lightning import Callback

from prune_bench.callbacks import RP, Prune
from prune_bench.compaction import largest_difference
from prune_bench.pruning.methods import METHODS
from prune_bench.tasks.losses import transducer_loss
from tests.helpers.speech import batches, make_task
from tests.helpers.strangers import trainer

STEPS, HALF = 12, 6
EXAMPLE = (torch.randn(1, 40, 8), None, torch.ones(1, 3, dtype=torch.long))
ACCELERATORS = {"cpu": "cpu", "gpu": "cuda"}
CASES = [
    *((name, (*method.structures, "")[0]) for name, method in METHODS.items()),
    *((name, "weights") for name in ("omp", "imp", "parp", "taylor")),
    ("gradual", "ranks"),
]


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def accelerator(request):
    if request.param == "gpu" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    return request.param


class Watch(Callback):
    """Notes after each update where the weights and the masks lie; saves a checkpoint at half."""

    def __init__(self, masked, path):
        self.masked, self.path, self.devices = masked, path, set()

    def on_train_batch_end(self, trainer, pl_module, *_):
        tensors = [*pl_module.parameters(), *(mask for one in self.masked for mask in one.masks.values())]
        self.devices |= {tensor.device.type for tensor in tensors}
        if trainer.global_step == HALF:
            trainer.save_checkpoint(self.path)


def method_callbacks(name, structure, module):
    """The callbacks of a method at half of the weights, or as much of the attention heads as can go."""
    method, sparsity = METHODS[name], 0.1 if METHODS[name].kinds == ("heads",) else 0.5
    if not method.removes:
        return []
    drawn = RP(sparsity, structure=structure).choose(module.model) if method.mask_source == "chance" else None
    return [Prune(name, sparsity, structure=structure, mask=drawn)]


def fit(folder, accelerator, name, structure, checkpoint=None, **options):
    """A fit of a small transducer, from a checkpoint if given: the module, its pruning and where it was."""
    module = make_task(STEPS)
    pruning = method_callbacks(name, structure, module)
    watch = Watch(pruning if structure == "weights" else [], folder / "half.ckpt")
    run = trainer(folder, *pruning, watch, steps=STEPS, accelerator=accelerator, devices=1, **options)
    run.fit(module, batches(1), ckpt_path=checkpoint, weights_only=False)
    return module, pruning, watch.devices


@pytest.mark.parametrize(("name", "structure"), CASES, ids=["-".join(case) for case in CASES])
def test_a_method_trains_ends_and_resumes(tmp_path, accelerator, name, structure):
    whole, pruning, devices = fit(tmp_path, accelerator, name, structure)
    assert devices == {ACCELERATORS[accelerator]}
    for one in pruning:
        if METHODS[name].target == "size":
            assert one.achieved == pytest.approx(one.sparsity, abs=0.1)  # two heads a layer are coarse
        assert largest_difference(whole.model, one.export(whole.model), *EXAMPLE) < 1e-4
    resumed, again, _ = fit(tmp_path, accelerator, name, structure, tmp_path / "half.ckpt")
    assert [one.achieved for one in again] == pytest.approx([one.achieved for one in pruning], abs=0.01)
    after, expected = resumed.state_dict(), whole.state_dict()
    close = [torch.isclose(after[key], expected[key], atol=1e-3).flatten() for key in expected]
    assert torch.cat(close).float().mean() > 0.99


@pytest.mark.parametrize("name", ["dense", "omp", "svd", "l0_sparsity"])
def test_training_in_bf16_moves_the_weights_and_keeps_them_in_fp32(tmp_path, accelerator, name):
    structure = (*METHODS[name].structures, "")[0]
    before = make_task(STEPS).state_dict()
    module, _, _ = fit(tmp_path, accelerator, name, structure, precision="bf16-mixed")
    after = module.state_dict()
    assert {value.dtype for value in after.values() if value.is_floating_point()} == {torch.float32}
    assert all(value.isfinite().all() for value in after.values())
    assert not torch.equal(after["model.joiner.output.weight"], before["model.joiner.output.weight"])


def test_transducer_loss_is_the_one_of_the_cpu(accelerator):
    torch.manual_seed(0)
    logits, targets = 3 * torch.randn(3, 11, 6, 40), torch.randint(1, 40, (3, 5))
    lengths, units = torch.tensor([11, 9, 4]), torch.tensor([5, 3, 0])
    results = []
    for device in ("cpu", ACCELERATORS[accelerator]):
        moved = logits.to(device).requires_grad_()
        given = (targets.to(device), lengths.to(device), units.to(device))
        fast = transducer_loss(moved, *given)
        plain = torchaudio.functional.rnnt_loss(moved, *(one.int() for one in given), blank=0, reduction="sum")
        results += [(loss.detach().cpu(), torch.autograd.grad(loss, moved)[0].cpu()) for loss in (fast, plain)]
    for loss, gradient in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-4, atol=2e-5)
    assert results[0][1].abs().max() > 0.1
