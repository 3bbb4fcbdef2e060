"""What a language model does for the recogniser of its table: error rates with shallow fusion."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from prune_bench.artefacts import load_model
from prune_bench.config import Config, to_dict
from prune_bench.data.text.corpus import TextCorpus
from prune_bench.data.tokenizers import tokenizer_digest
from prune_bench.decoding.fusion import Fusion
from prune_bench.families.record import Folders, Report
from prune_bench.files import cached_file
from prune_bench.fingerprint import fingerprint
from prune_bench.measurement.evaluation import by_split, judge, part_of
from prune_bench.measurement.fusion import Encoded, encode, transcribe, tune
from prune_bench.measurement.perplexity import frequent
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel

Row = dict[str, Any]


def measure_fused(model: LanguageModel, config: Config, corpus: TextCorpus, folders: Folders, report: Report) -> Row:
    """Error rates with the help of `model` of the test splits, and for the dense model's row of all, and without any.

    One pair of weights serves all models of a table: that which helps most on development speech with the dense one.
    """
    if model.arch.tokenizer != tokenizer_digest(corpus.tokenizer):
        raise ValueError("the language model has other tokens than the recogniser: train it with the same tokenizer")
    recogniser = load_model(folders.recogniser / "model").to(next(model.parameters()).device)
    encoded = read_encoded(recogniser, config, corpus, folders)
    chosen = read_weights(recogniser, config, corpus, encoded, folders)
    fusion = Fusion(model, chosen["weight"], chosen["internal"])
    dense, words = folders.run == folders.dense, corpus.splits["train"].words
    judged = {split: part for split, part in encoded.items() if dense or split.startswith("test")}
    row: Row = {
        "fusion": chosen,
        **error_rates(recogniser, config, corpus, judged, fusion, report),
        "frequent": {split: frequent(part.texts, words) for split, part in judged.items()},
    }
    if dense:
        alone = error_rates(recogniser, config, corpus, judged, None, report)
        row |= {f"alone.{key}": value for key, value in alone.items()}
    return row


def error_rates(
    recogniser: Transducer,
    config: Config,
    corpus: TextCorpus,
    encoded: dict[str, Encoded],
    fusion: Fusion | None,
    report: Report,
) -> Row:
    """`wer.` columns of the splits in `encoded`, as of a recogniser's own row, and seconds a second of speech took."""
    total, done, results = sum(len(part.texts) for part in encoded.values()), 0, {}
    began = time.monotonic()
    for split, part in encoded.items():
        hypotheses = transcribe(
            recogniser, part, corpus.tokenizer, config.fusion.beam, config.measurement.max_symbols, fusion,
            part_of(partial(report, "decoding"), done, total),
        )  # fmt: skip
        done += len(part.texts)
        results[split] = judge(part.texts, hypotheses)
    return {**by_split(results), "rtf.decoding": (time.monotonic() - began) / seconds_of(corpus, config, encoded)}


def seconds_of(corpus: TextCorpus, config: Config, splits: Iterable[str]) -> float:
    """How much speech is decoded."""
    assert corpus.speech is not None
    count = config.fusion.utterances or None
    return sum(sum(corpus.speech.splits[split].seconds[:count]) for split in splits)


def read_encoded(recogniser: Transducer, config: Config, corpus: TextCorpus, folders: Folders) -> dict[str, Encoded]:
    """What the encoder makes of all splits but training, computed once for all language models."""
    assert corpus.speech is not None
    stores = corpus.speech.judged

    def write(path: Path) -> None:
        frames = config.measurement.batch_frames
        made = {split: encode(recogniser, store, config.fusion.utterances, frames) for split, store in stores.items()}
        torch.save({split: tuple(part) for split, part in made.items()}, path)

    name = f"{folders.recogniser.name}-{config.fusion.utterances}"
    path = cached_file(folders.cache / "encoded" / f"{name}.pt", write)
    return {split: Encoded(*one) for split, one in torch.load(path, weights_only=True).items()}


def read_weights(
    recogniser: Transducer, config: Config, corpus: TextCorpus, encoded: dict[str, Encoded], folders: Folders
) -> dict[str, Any]:
    """The fusion weights of a table, chosen once, with its dense language model."""
    options, device = config.fusion, next(recogniser.parameters()).device

    def recognise(part: Encoded, fusion: Fusion) -> list[str]:
        return transcribe(recogniser, part, corpus.tokenizer, options.beam, config.measurement.max_symbols, fusion)

    def write(path: Path) -> None:
        model = load_model(folders.dense / "model").to(device)
        dev = {split: part for split, part in encoded.items() if split.startswith("dev")}
        grids = ([float(value) for value in text.split("+")] for text in (options.weights, options.internal))
        path.write_text(json.dumps(tune(recognise, model, dev, *grids)))

    name = fingerprint([folders.recogniser.name, to_dict(options)])
    return json.loads(cached_file(folders.dense / f"fusion-{name}.json", write).read_text())
