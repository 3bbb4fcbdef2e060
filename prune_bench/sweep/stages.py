"""The stages of a sweep. Each begins by asking whether its artefact is there, and writes it last."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prune_bench.artefacts import load_model, weights_sha
from prune_bench.config import Config
from prune_bench.data import Corpus, prepare
from prune_bench.measurement.evaluation import evaluate
from prune_bench.measurement.flops import count_flops
from prune_bench.measurement.size import measure_size
from prune_bench.models.arch import ConformerArch
from prune_bench.models.transducer import Transducer
from prune_bench.sweep.fits import fit, hardware
from prune_bench.sweep.folders import cache_folder, run_folder
from prune_bench.sweep.loggers import log_summary
from prune_bench.sweep.progress import Reporter
from prune_bench.sweep.rows import Row, describe, environment, is_final, now, read_row, write_row
from prune_bench.sweep.runs import dense_of, recipe, total_updates
from prune_bench.sweep.timing import time_table

SPLITS = ("dev-clean", "dev-other", "test-clean", "test-other")


def build_corpus(folder: Path, config: Config, report: Reporter) -> None:
    """Features and tokenizer, made once for all runs; says on the terminal how far it is."""
    prepare(config, cache_folder(config))


def fit_model(folder: Path, config: Config, report: Reporter) -> None:
    """The model alone, so that what starts from it need not wait for its row."""
    fit(config, open_corpus(config), report)


def finish_run(folder: Path, config: Config, report: Reporter) -> None:
    """Model, measurements on the saved model, row."""
    if is_final(read_row(folder), config):
        return
    corpus = open_corpus(config)
    if fit(config, corpus, report):
        row = measure(folder, config, corpus, report)
        log_summary(config, folder, row)
        write_row(folder, row)


def open_corpus(config: Config) -> Corpus:
    return prepare(config, cache_folder(config), progress=False)


def measure(folder: Path, config: Config, corpus: Corpus, report: Reporter) -> Row:
    """The row of a trained run: everything but speed, on the model loaded from disk."""
    began = time.monotonic()
    saved = folder / "model", run_folder(dense_of(config)) / "model"
    model, dense = (load_model(path) for path in saved)
    accuracy = measure_accuracy(model, config, corpus, report)
    costs, dense_costs = (measure_costs(one, path, config) for one, path in zip((model, dense), saved, strict=True))
    known, trained = describe(config), json.loads((folder / "fit.json").read_text())
    key = "flops.blocks" if known["target"] == "flops" else "size.blocks_nonzero"
    return {
        **known,
        "status": "done",
        "reason": "",
        "dense_sha": weights_sha(dense),
        "achieved": 1 - costs[key] / dense_costs[key],
        "physical": model.arch != dense.arch,
        **costs,
        "layers": layer_widths(model.arch.encoder),
        "dense_layers": layer_widths(dense.arch.encoder),
        "stream": model.arch.encoder.width,
        **accuracy,
        "updates.final": recipe(config).steps,
        "updates.total": total_updates(config),
        "precision": trained["precision"],
        "seconds.train": trained["seconds"],
        "seconds.evaluate": round(time.monotonic() - began, 1),
        **environment(config),
        "finished": now(),
    }


def measure_costs(model: Transducer, path: Path, config: Config) -> Row:
    """Sizes, of the files in `path` too, and FLOPs for the reference length."""
    flops = count_flops(model.arch, config.pruning.reference_seconds, config.features.hop_ms)
    sizes = {f"size.{name}": value for name, value in measure_size(model, path).items()}
    return {**sizes, **{f"flops.{name}": value for name, value in flops.items()}}


def measure_accuracy(model: Transducer, config: Config, corpus: Corpus, report: Reporter) -> Row:
    """Word error rates of the four splits, with intervals and with the counts of each utterance."""
    accelerator, _ = hardware(recipe(config))
    model.to("cuda" if accelerator in ("gpu", "cuda") else "cpu")
    total, done = sum(len(corpus.splits[split]) for split in SPLITS), 0
    row: Row = {"utterances": {}}
    for split in SPLITS:
        result = evaluate(
            model,
            corpus.splits[split],
            corpus.tokenizer,
            config.measurement.batch_frames,
            config.measurement.max_symbols,
            progress=partial(_report_part, report, done, total),
            samples=config.measurement.bootstrap,
        )
        done += len(corpus.splits[split])
        row["utterances"][split] = result.pop("utterances")
        row[f"wer.{split}"] = result.pop("wer")
        row.update({f"wer.{split}.{name}": value for name, value in result.items()})
    model.cpu()
    return row


def _report_part(report: Reporter, before: int, total: int, done: int, of: int) -> None:
    report("evaluating", before + done, total)


def layer_widths(arch: ConformerArch) -> dict[str, dict[str, int]]:
    """What each layer holds: FFN channels, heads, convolution channels, stream dimensions it works on."""
    return {
        f"layers.{i}": {
            "ffn1": layer.ffn1,
            "heads": layer.heads,
            "conv": layer.conv,
            "ffn2": layer.ffn2,
            "hidden": layer.local_width(arch.width),
        }
        for i, layer in enumerate(arch.layers)
    }


STAGES: dict[str, Callable[[Path, Config, Reporter], None]] = {
    "corpus": build_corpus,
    "fit": fit_model,
    "run": finish_run,
    "time": time_table,
}
