"""Schedules of the learning rate, at updates computed by hand and in the optimizer."""

from __future__ import annotations

import itertools

import lightning
import pytest
import torch
from speech import batches, make_task

from prune_bench.config import FitConfig
from prune_bench.tasks.rates import rate_factor, tri_stage, warm_cosine

TRI_STAGE = FitConfig(steps=1000, schedule="tri_stage", warmup=0.1, hold=0.4)


def test_rate_warms_up_then_falls_to_a_fiftieth():
    rates = [warm_cosine(step, steps=100, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.51)
    assert rates[100] == pytest.approx(0.02)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[10:]))


@pytest.mark.parametrize(("step", "expected"), [
    (0, 0.01), (50, 0.505), (99, 0.9901), (100, 1.0), (499, 1.0), (500, 1.0), (750, 0.05**0.5), (999, 0.05**0.998),
    (1000, 0.05), (5000, 0.05),
])  # fmt: skip
def test_three_stages_rise_hold_and_decay(step, expected):
    assert rate_factor(step, TRI_STAGE) == pytest.approx(expected, rel=1e-12)


def test_three_stages_without_warm_up_or_decay():
    assert [tri_stage(step, 4, 0, 2) for step in range(5)] == pytest.approx([1, 1, 1, 0.05**0.5, 0.05])
    assert [tri_stage(step, 4, 2, 2) for step in range(4)] == pytest.approx([0.01, 0.505, 1, 1])


def test_the_optimizer_follows_the_schedule():
    rates = []

    class Watch(lightning.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    task = make_task(10)
    task.fit = FitConfig(steps=10, learning_rate=1e-3, schedule="tri_stage", warmup=0.2, hold=0.3)
    lightning.Trainer(
        max_steps=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Watch()],
    ).fit(task, batches(10))  # fmt: skip
    expected = torch.tensor([0.01, 0.505, 1, 1, 1, *(0.05 ** (k / 5) for k in range(5))])
    assert rates == pytest.approx((1e-3 * expected).tolist(), rel=1e-5)


@pytest.mark.parametrize(("schedule", "once"), [
    ("cosine", lambda step, steps: warm_cosine(step, steps, round(0.1 * steps))),
    ("tri_stage", lambda step, steps: tri_stage(step, steps, round(0.1 * steps), round(0.4 * steps))),
])  # fmt: skip
def test_a_repeated_schedule_ends_with_the_fit(schedule, once):
    fit = FitConfig(steps=101, schedule=schedule)
    rates = [rate_factor(step, fit, cycles=3) for step in range(101)]
    assert rates[:66] == 2 * [once(step, 33) for step in range(33)]
    assert rates[66:] == [once(step, 35) for step in range(35)]
    assert [rate_factor(step, fit) for step in range(101)] == [once(step, 101) for step in range(101)]
