from __future__ import annotations

import pytest

from prune_bench.pruning.schedules import Consecutive, OneShot, Polynomial, Repeated, Rounds, round_targets


def test_cubic_values():
    cubic = Polynomial(0.0, 0.9, begin=0, end=100, interval=10)
    assert [round(cubic.sparsity_at(step), 4) for step in (0, 25, 50, 75, 100, 500)] == [
        0.0, 0.5203, 0.7875, 0.8859, 0.9, 0.9,
    ]  # fmt: skip


@pytest.mark.parametrize("power", [1, 3])
def test_polynomial_endpoints_are_exact_and_it_never_falls(power):
    ramp = Polynomial(0.3, 0.8, begin=7, end=61, interval=9, power=power)
    values = [ramp.sparsity_at(step) for step in range(100)]
    assert values[7] == 0.3
    assert values[61] == 0.8
    assert values == sorted(values)
    assert max(values) == 0.8
    assert ramp.is_update_step(61)
    assert ramp.is_update_step(16)
    assert not ramp.is_update_step(17)


def test_one_shot_equals_a_polynomial_without_ramp():
    one_shot, ramp = OneShot(0.5, at=20), Polynomial(0.0, 0.5, begin=20, end=20, interval=1000)
    for step in range(60):
        assert one_shot.sparsity_at(step) == ramp.sparsity_at(step)
        assert one_shot.is_update_step(step) == ramp.is_update_step(step)


def test_repeated_judges_at_the_start_and_every_interval():
    schedule = Repeated(0.9, interval=4)
    assert [step for step in range(10) if schedule.is_update_step(step)] == [0, 4, 8]
    assert schedule.sparsity_at(0) == 0.9


def test_rounds_reach_each_target_after_its_updates_and_hold_the_last():
    rounds = Rounds((0.1, 0.2, 0.25), length=4)
    assert [step for step in range(40) if rounds.is_update_step(step)] == [4, 8, 12]
    assert [rounds.sparsity_at(step) for step in (0, 3, 4, 8, 11, 12, 39)] == [0.0, 0.0, 0.1, 0.2, 0.2, 0.25, 0.25]


@pytest.mark.parametrize(
    ("sparsity", "step", "count"),
    [(0.9, "original10", 9), (0.3, "original10", 3), (0.85, "original10", 9), (0.9, "remaining10", 22)],
)
def test_rounds_of_iterative_pruning_end_at_the_sparsity(sparsity, step, count):
    targets = round_targets(sparsity, step)
    assert len(targets) == count
    assert targets[-1] == sparsity
    assert list(targets) == sorted(set(targets))
    assert targets[0] == pytest.approx(0.1)
    assert targets[1] == pytest.approx(0.2 if step == "original10" else 0.19)


def test_another_step_of_iterative_pruning_is_refused():
    with pytest.raises(ValueError, match="original10 or remaining10"):
        round_targets(0.5, "tenth")


def test_consecutive_schedules_follow_each_other_for_good():
    parts = tuple(Polynomial(start, end, 0, 6, 2) for start, end in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.9)))
    schedule = Consecutive(parts, 10)
    values = [schedule.sparsity_at(step) for step in range(60)]
    assert values == sorted(values)
    assert [values[step] for step in (0, 6, 9, 10, 16, 19, 20, 26, 59)] == [0, 0.5, 0.5, 0.5, 0.8, 0.8, 0.8, 0.9, 0.9]
    assert [step for step in range(30) if schedule.is_update_step(step)] == list(range(0, 30, 2))


def test_one_schedule_alone_is_itself():
    alone = Polynomial(0.0, 0.9, 0, 60, 7)
    schedule = Consecutive((alone,), 100)
    for step in range(200):
        assert schedule.sparsity_at(step) == alone.sparsity_at(step)
        assert schedule.is_update_step(step) == alone.is_update_step(step)
