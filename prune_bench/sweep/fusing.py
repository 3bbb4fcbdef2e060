"""What a language model does for the recogniser of its table: error rates with shallow fusion."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from prune_bench.artefacts import load_model
from prune_bench.config import Config, to_dict
from prune_bench.data.store import cached
from prune_bench.data.text.corpus import TextCorpus
from prune_bench.data.tokenizers import units_of
from prune_bench.decoding.fusion import Fusion
from prune_bench.identity import fingerprint
from prune_bench.measurement.evaluation import by_split, judge, part_of
from prune_bench.measurement.fusion import Encoded, encode, transcribe, tune
from prune_bench.measurement.perplexity import frequent
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel
from prune_bench.subjects.base import JUDGED
from prune_bench.sweep.folders import cache_folder, run_folder
from prune_bench.sweep.progress import Reporter
from prune_bench.sweep.rows import Row
from prune_bench.sweep.runs import dense_of, recogniser_of, run_id


def measure_fused(model: LanguageModel, config: Config, corpus: TextCorpus, device: str, report: Reporter) -> Row:
    """Error rates of the four splits with the help of `model`, and, for the dense model's row, without any.

    One pair of weights serves all models of a table: that which helps most on development speech with the dense one.
    """
    if model.arch.units != units_of(corpus.tokenizer):
        raise ValueError("the language model has other units than the recogniser: train it with the same tokenizer")
    recogniser = load_model(run_folder(recogniser_of(config)) / "model").to(device)
    encoded = read_encoded(recogniser, config, corpus)
    chosen = read_weights(recogniser, config, corpus, encoded, device)
    fusion = Fusion(model.to(device), chosen["weight"], chosen["internal"])
    row: Row = {"fusion": chosen, **error_rates(recogniser, config, corpus, encoded, fusion, report)}
    if config.method == "dense":
        alone = error_rates(recogniser, config, corpus, encoded, None, report)
        row |= {f"alone.{key}": value for key, value in alone.items()}
    words = corpus.splits["train"].words
    return {**row, "frequent": {split: frequent(one.texts, words) for split, one in encoded.items()}}


def error_rates(
    recogniser: Transducer,
    config: Config,
    corpus: TextCorpus,
    encoded: dict[str, Encoded],
    fusion: Fusion | None,
    report: Reporter,
) -> Row:
    """`wer.` columns of every split, as of a recogniser's own row, and how long a second of speech took to decode."""
    total, done, results = sum(len(one.texts) for one in encoded.values()), 0, {}
    began = time.monotonic()
    for split, one in encoded.items():
        hypotheses = transcribe(
            recogniser, one, corpus.tokenizer, config.fusion.beam, config.measurement.max_symbols, fusion,
            part_of(partial(report, "decoding"), done, total),
        )  # fmt: skip
        done += len(one.texts)
        results[split] = judge(one.texts, hypotheses, config.measurement.bootstrap)
    return {**by_split(results), "rtf.decoding": (time.monotonic() - began) / seconds_of(corpus, config)}


def seconds_of(corpus: TextCorpus, config: Config) -> float:
    """How much speech is decoded."""
    assert corpus.speech is not None
    count = config.fusion.utterances or None
    return sum(sum(corpus.speech.splits[split].seconds[:count]) for split in JUDGED)


def read_encoded(recogniser: Transducer, config: Config, corpus: TextCorpus) -> dict[str, Encoded]:
    """What the encoder makes of the four splits, computed once for all language models."""
    assert corpus.speech is not None
    stores = {split: corpus.speech.splits[split] for split in JUDGED}

    def write(path: Path) -> None:
        frames = config.measurement.batch_frames
        made = {split: encode(recogniser, store, config.fusion.utterances, frames) for split, store in stores.items()}
        torch.save({split: tuple(one) for split, one in made.items()}, path)

    name = f"{run_id(recogniser_of(config))}-{config.fusion.utterances}"
    path = cached(cache_folder(config) / "encoded" / f"{name}.pt", write)
    return {split: Encoded(*one) for split, one in torch.load(path, weights_only=True).items()}


def read_weights(
    recogniser: Transducer, config: Config, corpus: TextCorpus, encoded: dict[str, Encoded], device: str
) -> dict[str, Any]:
    """The fusion weights of a table, chosen once, with its dense language model."""
    options, dense = config.fusion, run_folder(dense_of(config))

    def recognise(one: Encoded, fusion: Fusion) -> list[str]:
        return transcribe(recogniser, one, corpus.tokenizer, options.beam, config.measurement.max_symbols, fusion)

    def write(path: Path) -> None:
        model = load_model(dense / "model").to(device)
        dev = {split: one for split, one in encoded.items() if split.startswith("dev")}
        grids = ([float(value) for value in text.split("+")] for text in (options.weights, options.internal))
        path.write_text(json.dumps(tune(recognise, model, dev, *grids)))

    name = fingerprint([run_id(recogniser_of(config)), to_dict(options)])
    return json.loads(cached(dense / f"fusion-{name}.json", write).read_text())
