"""From a corpus to feature stores, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import FEATURES, BadUtterance, LogMel, Waveform
from prune_bench.data.corpora import CORPORA, Source
from prune_bench.data.digests import file_digests
from prune_bench.data.store import FeatureStore, Row, write_store
from prune_bench.data.texts import normalize
from prune_bench.files import cached_folder
from prune_bench.fingerprint import fingerprint

VERSION = 3
ALONE = 300
Block = tuple[np.ndarray, list[Row], dict[str, int]]


class Extractor:
    """Features of one part of a corpus; with `skip`, a bad utterance is counted instead of raised."""

    def __init__(self, source: Source, features: FeatureConfig, skip: bool) -> None:
        self.source, self.skip, self.rate = source, skip, features.sample_rate
        self.transform: LogMel | Waveform = FEATURES[features.kind](features)

    @property
    def nothing(self) -> np.ndarray:
        """Features of no utterance, for their width and type."""
        return torch.zeros(0, self.transform.width, dtype=self.transform.dtype).numpy()

    def __call__(self, part: Sequence[Any]) -> Block:
        blocks, rows, skipped = [self.nothing], [], Counter[str]()
        for load in self.source.read(part):
            try:
                utterance, samples = load()
                text = normalize(utterance)
            except BadUtterance as error:
                if not self.skip:
                    raise
                skipped[error.reason] += 1
                continue
            features = self.transform(samples).to(self.transform.dtype).numpy()
            blocks.append(features)
            seconds = round(len(samples) / self.rate, 3)
            rows.append({"id": utterance.id, "text": text, "speaker": utterance.speaker, "frames": len(features),
                         "seconds": seconds})  # fmt: skip
        return np.concatenate(blocks), rows, dict(skipped)


_extractor: Extractor | None = None


def start_worker(extractor: Extractor) -> None:
    """Ctrl-C is the parent's to handle; a worker whose parent was killed ends too."""
    global _extractor
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _extractor = extractor


def end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def extract(part: Sequence[Any]) -> Block:
    assert _extractor is not None
    return _extractor(part)


def feature_stores(
    corpus: CorpusConfig,
    features: FeatureConfig,
    cache: Path,
    progress: bool = True,
    splits: Sequence[str] = (),
) -> dict[str, FeatureStore]:
    """Open the stores of `splits`, by default of all, building under `cache` those that are not there yet."""
    spec = CORPORA.find(corpus.name)
    if corpus.on_bad not in ("fail", "skip"):
        raise ValueError(f"corpus.on_bad={corpus.on_bad!r} is unknown; choose fail or skip")
    source = spec.source(corpus, features)
    extractor = Extractor(source, features, corpus.on_bad == "skip")
    splits, known = splits or spec.splits, corpus.content.get(corpus.language, {})
    digests = {split: known.get(split) or split_digest(source, split, cache, progress) for split in splits}
    paths = {split: cache / "features" / store_name(digests[split], corpus, features, split) for split in splits}
    with ExitStack() as stack:
        workers = Workers(extractor, stack)
        for split, path in paths.items():
            with cached_folder(path) as folder:
                if folder is not None:
                    if split in known and known[split] != split_digest(source, split, cache, progress):
                        raise ValueError(f"{corpus.name} {split}: changed since the sweep began; start it again")
                    parts = source.parts(split)
                    blocks = counted(workers.map(parts), f"{corpus.name} {split}", parts, progress)
                    write_store(folder, blocks, extractor.nothing)
    return {split: FeatureStore.open(path) for split, path in paths.items()}


def split_digest(source: Source, split: str, cache: Path, progress: bool) -> str:
    """What a split of a corpus holds: its texts, speakers and audio, wherever they lie."""
    audio = file_digests(source.files(split), cache / "digests.json", f"content of {split}", progress)
    return fingerprint([source.fingerprint(split), audio])


def store_name(digest: str, corpus: CorpusConfig, features: FeatureConfig, split: str) -> str:
    shape = [features.kind, features.sample_rate, features.mels, features.window_ms, features.hop_ms]
    return f"{corpus.name}-{split}-{fingerprint([VERSION, digest, shape, corpus.on_bad])}"


class Workers:
    """Maps parts over processes, in order; starts them when there is enough to do for several."""

    def __init__(self, extractor: Extractor, stack: ExitStack) -> None:
        self.extractor, self.stack = extractor, stack
        self.pool: ProcessPoolExecutor | None = None

    def map(self, parts: Sequence[Sequence[Any]]) -> Iterator[Block]:
        if self.pool is None and sum(map(len, parts)) < ALONE:
            return map(self.extractor, parts)
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(available_cores(), context, start_worker, (self.extractor,))
            self.pool = self.stack.enter_context(pool)
        return self.pool.map(extract, parts)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def counted(blocks: Iterator[Block], title: str, parts: Sequence[Sequence[Any]], progress: bool) -> Iterator[Block]:
    """Pass blocks on under one progress line, which counts utterances."""
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, disable=not progress) as line:
        task = line.add_task(f"features of {title}", total=sum(map(len, parts)))
        for block, part in zip(blocks, parts, strict=True):
            line.advance(task, len(part))
            yield block
