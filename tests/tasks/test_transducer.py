"""The task in a Lightning Trainer: it learns, accumulates, resumes, and runs in mixed precision."""

from __future__ import annotations

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from prune_bench.config import FeatureConfig, FitConfig
from prune_bench.data.batches import Batch
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.tasks.transducer import TransducerTask

ENCODER = ConformerArch.dense(mels=20, subsampling=4, width=32, heads=2, ffn=64, kernel=5, layers=1)
PLAIN = FeatureConfig(mels=20, time_masks=0, frequency_masks=0)


def batch(seed=0, vocabulary=12):
    random = torch.Generator().manual_seed(seed)
    lengths, tokens = torch.tensor([60, 52, 44, 36]), torch.tensor([6, 5, 4, 3])
    targets = torch.randint(1, vocabulary, (4, 6), generator=random)
    return Batch(
        torch.randn(4, 60, 20, generator=random),
        lengths,
        targets.masked_fill(torch.arange(6) >= tokens[:, None], 0),
        tokens,
        torch.arange(4),
    )


def make_task(fit, features=PLAIN, dropout=0.0, predictor="stateless", seed=0):
    torch.manual_seed(5)
    return TransducerTask(TransducerArch(ENCODER, 12, predictor, 32, 1, 32), fit, features, dropout, seed=seed)


def train(task, batches, folder=None, checkpoint=None, valid=None, **options):
    trainer = lightning.Trainer(
        max_steps=options.pop("max_steps", task.fit.steps), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, **options,
    )  # fmt: skip
    loaders = [DataLoader(part, batch_size=None) for part in (batches, valid or [])]
    trainer.fit(task, *loaders, ckpt_path=checkpoint)
    if folder:
        trainer.save_checkpoint(folder / "last.ckpt")
    return trainer


def weights(task):
    return torch.cat([parameter.detach().flatten() for parameter in task.parameters()])


@pytest.mark.parametrize("predictor", ["stateless", "lstm"])
def test_learns_a_few_utterances_by_heart(predictor):
    task = make_task(FitConfig(steps=120, learning_rate=1e-2), predictor=predictor)
    trainer = train(task, [batch()] * 120, valid=[batch()])
    one = batch()
    expected = [row[:length] for row, length in zip(one.targets.tolist(), one.target_lengths.tolist(), strict=True)]
    assert decode_greedy(task.model.eval(), one.features, one.lengths) == expected
    assert trainer.callback_metrics["valid/wer"] == 0.0
    assert trainer.callback_metrics["train/loss"] < 0.5


def test_validation_counts_words_of_the_whole_set(monkeypatch):
    class Letters:
        def decode(self, tokens):
            return " ".join("abcdefghijkl"[token] for token in tokens if token)

    parts = [batch(1, vocabulary=11), batch(2, vocabulary=11)]
    hypotheses = [
        [row[:n] for row, n in zip(p.targets.tolist(), p.target_lengths.tolist(), strict=True)] for p in parts
    ]
    hypotheses[0][0] = []
    hypotheses[1][3][-1:] = [11, 11]
    answers = iter(hypotheses)
    monkeypatch.setattr("prune_bench.tasks.transducer.decode_greedy", lambda *_: next(answers))
    task = make_task(FitConfig(steps=1))
    task.tokenizer = Letters()
    trainer = train(task, [batch()], valid=parts)
    assert trainer.callback_metrics["valid/wer"] == pytest.approx(100 * (6 + 2) / (18 + 18))


def test_accumulated_halves_equal_one_batch():
    whole, parts = make_task(FitConfig(steps=3)), make_task(FitConfig(steps=3))
    train(whole, [batch(i) for i in range(3)])
    trainer = train(parts, [batch(i // 2) for i in range(6)], accumulate_grad_batches=2)
    assert trainer.global_step == 3
    assert (weights(whole) - weights(make_task(FitConfig()))).abs().max() > 1e-4
    torch.testing.assert_close(weights(whole), weights(parts), atol=1e-6, rtol=1e-4)


def test_noise_depends_on_seed_and_update_alone():
    fit, augmented = FitConfig(steps=4), FeatureConfig(mels=20, time_width=10, frequency_width=8)
    tasks = [make_task(fit, augmented, dropout=0.3, seed=seed) for seed in (0, 0, 1)]
    for number, task in enumerate(tasks):
        torch.manual_seed(number)
        train(task, [batch()] * 4)
    assert torch.equal(weights(tasks[0]), weights(tasks[1]))
    assert not torch.equal(weights(tasks[0]), weights(tasks[2]))


def test_resumed_equals_uninterrupted(tmp_path):
    fit, augmented = FitConfig(steps=6), FeatureConfig(mels=20, time_width=10, frequency_width=8)
    options = {"features": augmented, "dropout": 0.3}
    straight, first, second = (make_task(fit, **options) for _ in range(3))
    train(straight, [batch(i // 2) for i in range(12)], accumulate_grad_batches=2)
    train(first, [batch(i // 2) for i in range(6)], tmp_path, max_steps=3, accumulate_grad_batches=2)
    rest = [batch(i // 2) for i in range(6, 12)]
    trainer = train(second, rest, checkpoint=tmp_path / "last.ckpt", accumulate_grad_batches=2, max_epochs=-1)
    assert trainer.global_step == 6
    assert torch.equal(weights(straight), weights(second))


def test_mixed_precision_trains_full_precision_weights():
    task = make_task(FitConfig(steps=40, learning_rate=1e-2))
    losses = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            losses.append(float(outputs["loss"]))

    train(task, [batch()] * 40, precision="bf16-mixed", callbacks=[Watch()])
    assert losses[-1] < 0.5 * losses[0]
    assert {parameter.dtype for parameter in task.parameters()} == {torch.float32}


@pytest.mark.parametrize("clip", [0.01, 1e9, 0.0])
def test_gradients_are_clipped_to_the_configured_norm_and_with_none_not_at_all(clip):
    norms = []

    class Watch(lightning.Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            gradients = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            norms.extend([torch.stack(gradients).norm().item()] if gradients else [])

    train(make_task(FitConfig(steps=3, clip=clip)), [batch()] * 3, callbacks=[Watch()])
    assert len(norms) == 2
    assert norms == pytest.approx([0.01] * 2, rel=1e-3) if clip == 0.01 else min(norms) > 0.1


def test_without_decay_the_optimizer_is_the_published_adam():
    (group,) = make_task(FitConfig(weight_decay=0.0)).configure_optimizers()["optimizer"].param_groups
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.98), 1e-8, 0.0)
    task = make_task(FitConfig(steps=4, weight_decay=0.0, clip=0.0))
    parameters = [torch.nn.Parameter(parameter.detach().clone()) for parameter in task.parameters()]
    adam = torch.optim.Adam(parameters, task.fit.learning_rate, betas=(0.9, 0.98), eps=1e-8)

    class Follow(lightning.Callback):
        """The same gradients and rates to Adam."""

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            for mine, theirs in zip(parameters, pl_module.parameters(), strict=True):
                mine.grad = None if theirs.grad is None else theirs.grad.clone()
            adam.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
            adam.step()

    train(task, [batch(i) for i in range(4)], callbacks=[Follow()])
    torch.testing.assert_close(weights(task), torch.cat([one.detach().flatten() for one in parameters]))
