from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from filelock import FileLock

from prune_bench.config import Config
from prune_bench.overrides import override
from prune_bench.sweep.launch import processes
from prune_bench.sweep.launch.processes import LocalProcess, Task, run_tasks, start_local
from prune_bench.sweep.launch.worker import enter
from prune_bench.sweep.runs.files import read_config, write_config
from prune_bench.sweep.stages.registry import STAGES

linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")


class Toy:
    """A started task that ends with `code` after `polls` questions."""

    def __init__(self, name, polls, code, log):
        self.name, self.polls, self.code, self.log = name, polls, code, log

    def poll(self):
        self.polls -= 1
        return self.code if self.polls < 0 else None

    def stop(self):
        self.log.append(f"stop {self.name}")


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "POLL", 0)

    class Pool:
        """Tasks by name, and a log of what happened to them."""

        def __init__(self):
            self.log, self.tasks, self.codes, self.most = [], [], {}, 0

        def add(self, name, polls=2, code=0, **options):
            task = Task("run", tmp_path / name, Config(), **options)
            self.tasks.append(task)
            self.codes[task] = (polls, code)
            return task

        def start(self, task):
            self.log.append(f"start {task.folder.name}")
            return Toy(task.folder.name, *self.codes[task], self.log)

        def end(self, task, code):
            self.log.append(f"end {task.folder.name} {code}")

        def tick(self, running):
            self.most = max(self.most, sum(task.slots for task in running))

        def run(self, slots=2):
            run_tasks(self.tasks, self.start, slots, self.end, self.tick)

    return Pool()


def test_tasks_start_in_order_as_slots_get_free(pool):
    pool.add("long", polls=9)
    pool.add("short", polls=1)
    pool.add("last", polls=1)
    pool.run()
    assert pool.log == ["start long", "start short", "end short 0", "start last", "end last 0", "end long 0"]
    assert pool.most == 2


def test_a_wide_task_waits_for_its_slots_and_is_not_overtaken(pool):
    first = pool.add("first", polls=3)
    pool.add("beside it", polls=3)
    pool.add("wide", slots=2, after=(first,))
    pool.add("narrow", polls=9)
    pool.run()
    assert pool.log.index("end first 0") < pool.log.index("start wide") < pool.log.index("end wide 0")
    assert pool.log.index("end wide 0") < pool.log.index("start narrow")


def test_wide_tasks_go_first_so_that_no_slot_waits_for_another(pool):
    first, wide = pool.add("wide", slots=2), pool.add("another", slots=2)
    pool.add("narrow", after=(first,))
    pool.add("other", after=(wide,))
    pool.run()
    assert pool.log == [
        *("start wide", "end wide 0", "start another", "end another 0"),
        *("start narrow", "start other", "end narrow 0", "end other 0"),
    ]


def test_a_task_wider_than_the_pool_runs_alone(pool):
    pool.add("huge", slots=8)
    pool.add("small")
    pool.run(slots=2)
    assert pool.log == ["start huge", "end huge 0", "start small", "end small 0"]


def test_what_comes_after_a_failed_task_is_not_started_and_the_rest_goes_on(pool):
    dense = pool.add("dense", code=1)
    pool.add("pruned", after=(dense,))
    pool.add("other")
    pool.run()
    assert "end pruned None" in pool.log
    assert "start pruned" not in pool.log
    assert "end other 0" in pool.log


def test_a_task_that_is_ready_does_not_wait_for_one_that_is_not(pool):
    dense = pool.add("dense", polls=4)
    pool.add("pruned", after=(dense,))
    pool.add("other dense")
    pool.run()
    assert pool.log.index("start other dense") < pool.log.index("end dense 0") < pool.log.index("start pruned")


def test_an_interrupt_stops_all_that_runs(pool, monkeypatch):
    pool.add("one")
    pool.add("two")
    pool.add("never")

    def interrupt(running):
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "tick", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.run()
    assert pool.log == ["start one", "start two", "stop one", "stop two"]


def test_a_wide_worker_gets_its_configuration_one_thread_each_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    show = "import os, sys; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'], file=sys.stderr)"
    monkeypatch.setattr(Task, "command", lambda self: [sys.executable, "-c", show])
    task = Task("run", tmp_path / "run", Config(seed=3), slots=2)
    assert start_local(task).process.wait() == 0
    assert (tmp_path / "run" / "log.txt").read_text() == "1 1\n"
    assert read_config(tmp_path / "run") == Config(seed=3)


def test_the_worker_is_this_interpreter_on_the_tasks_folder(tmp_path):
    command = Task("fit", tmp_path, Config()).command()
    assert command == [sys.executable, "-m", "prune_bench.sweep.launch.worker", str(tmp_path), "fit"]


def test_stopping_a_worker_ends_what_it_started_too(tmp_path, monkeypatch):
    nest = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    monkeypatch.setattr(Task, "command", lambda self: [sys.executable, "-c", nest])
    with (tmp_path / "log").open("w") as log:
        process = LocalProcess(Task("run", tmp_path, Config()), log)
    child = wait_for(lambda: (tmp_path / "log").read_text().strip())
    process.stop()
    assert process.poll() == -signal.SIGKILL
    assert wait_for(lambda: not alive(int(child)))


@linux
def test_a_forked_worker_performs_its_stage_and_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "IMPORTED", [])
    missing = override(Config(), {"corpus.name": "manifest", "corpus.root": str(tmp_path / "missing")})
    worker = start_local(Task("corpus", tmp_path / "run", missing))
    assert wait_for(lambda: worker.poll() is not None, seconds=120)
    assert worker.poll() == 1
    log = (tmp_path / "run" / "log.txt").read_text()
    assert str(tmp_path / "missing") in log
    assert log.count("\n") == 1


@linux
def test_a_forked_worker_has_a_group_and_threads_of_its_own(tmp_path, monkeypatch):
    def show(*_):
        print(torch.get_num_threads(), os.getpgrp() == os.getpid())

    monkeypatch.setitem(STAGES, "show", show)
    write_config(tmp_path, Config())
    process = multiprocessing.get_context("fork").Process(target=enter, args=(tmp_path, "show", 1, tmp_path / "log"))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert (tmp_path / "log").read_text() == "1 True\n"


@linux
def test_stopping_a_forked_worker_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "IMPORTED", [])
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):  # it waits for its turn
        worker = start_local(Task("corpus", tmp_path / "run", Config()))
        worker.stop()
    assert worker.poll() == -signal.SIGKILL


def test_what_workers_are_forked_from_leaves_gpus_alone():
    ask = f"import os, torch; {'; '.join(f'import {name}' for name in processes.IMPORTED[1:])}; " + (
        "child = os.fork(); child or os._exit(torch.cuda._is_in_bad_fork()); "
        "os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", ask]).returncode == 0


@linux
def test_a_forked_worker_ends_when_the_sweep_is_killed(tmp_path):
    (tmp_path / "sleeper.py").write_text("""
import os, sys, time
from prune_bench.sweep.launch import processes, worker

def sleep():
    worker.end_with_parent()
    with open("pid", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    processes.IMPORTED = []
    processes.fork_server(1).Process(target=sleep).start()
    time.sleep(60)
""")
    process = subprocess.Popen([sys.executable, "sleeper.py"], cwd=tmp_path)
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    process.kill()
    process.wait()
    assert wait_for(lambda: not alive(pid))


def test_a_worker_ends_when_the_sweep_is_killed(tmp_path):
    worker = f"""
import sys, time
from prune_bench.sweep.launch import worker
worker.end_with_parent()
open({str(tmp_path / "pid")!r}, "w").write(str(__import__("os").getpid()))
time.sleep(60)
"""
    sweep = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", sweep])
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    process.kill()
    process.wait()
    assert wait_for(lambda: not alive(pid))


def wait_for(question, seconds=20):
    """The first true answer, or the last one."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")
