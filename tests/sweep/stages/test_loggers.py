from __future__ import annotations

import json

from lightning.pytorch.loggers import WandbLogger

from prune_bench.sweep.stages.loggers import MetricsLogger, make_loggers


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_metrics_are_lines_with_their_step(tmp_path):
    logger = MetricsLogger(tmp_path / "metrics.jsonl")
    logger.log_metrics({"loss": 2.0}, step=0)
    logger.log_metrics({"loss": 1.0, "prune/sparsity": 0.5}, step=1)
    last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == {"step": 1, "loss": 1.0, "prune/sparsity": 0.5}


def test_a_resumed_fit_forgets_what_it_will_log_again_and_a_line_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    logger = MetricsLogger(path)
    logger.rewind(0)
    for step in range(4):
        logger.log_metrics({"loss": 1.0}, step=step)
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    logger.rewind(2)
    assert steps(path) == [0, 1]
    logger.log_metrics({"loss": 1.0}, step=2)
    assert steps(path) == [0, 1, 2]


def test_wandb_is_offline_unless_asked_and_absent_when_disabled(make_config, tmp_path):
    loggers = make_loggers(make_config(wandb__mode="offline"), tmp_path)
    assert [type(logger) for logger in loggers] == [MetricsLogger, WandbLogger]
    assert loggers[1]._offline
    assert not make_loggers(make_config(wandb__mode="online"), tmp_path)[1]._offline
    assert [type(logger) for logger in make_loggers(make_config(), tmp_path)] == [MetricsLogger]
