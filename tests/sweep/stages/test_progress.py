from __future__ import annotations

import pytest

from prune_bench.sweep.stages import progress
from prune_bench.sweep.stages.progress import Progress, Reporter, clear_progress, read_progress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "time", lambda: Clock.now)
    return Clock


def test_the_time_left_follows_the_pace_since_this_process_began():
    resumed = Progress("training", done=300, total=400, start=200, since=10.0, time=60.0)
    assert resumed.remaining == 50.0


def test_the_time_left_is_unknown_before_the_first_part():
    assert Progress("training", done=200, total=400, start=200, since=10.0, time=60.0).remaining is None


def test_progress_is_written_once_a_second_and_at_the_end(tmp_path, clock):
    report, seen = Reporter(tmp_path), []
    for done, now in enumerate([100.0, 100.1, 101.2, 101.3, 101.4]):
        clock.now = now
        report("training", done, 4)
        seen.append(read_progress(tmp_path).done)
    assert seen == [0, 0, 2, 2, 4]


def test_a_new_phase_starts_its_own_count(tmp_path, clock):
    report = Reporter(tmp_path)
    report("training", 5, 5)
    clock.now = 100.5
    report("evaluating", 10, 90)
    found = read_progress(tmp_path)
    assert (found.phase, found.start, found.since) == ("evaluating", 10, 100.5)


def test_a_further_rank_writes_nothing_and_no_file_is_no_progress(tmp_path):
    Reporter(None)("training", 1, 2)
    assert read_progress(tmp_path) is None
    Reporter(tmp_path)("training", 1, 2)
    clear_progress(tmp_path)
    assert read_progress(tmp_path) is None
