"""Feature stores: the features of one split in one memory-mapped file, written once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prune_bench.files import cached_folder

Row = dict[str, Any]


@dataclass(frozen=True)
class FeatureStore:
    """Utterances of one split: `features` (total frames, width) on disk, one entry an utterance in the rest.

    `features` are half-precision numbers, or 16-bit samples, read as fractions of full scale; a joined store has
    several such files, and `files` says in which each utterance lies. `lengths` are in frames, `seconds` of audio;
    `skipped` counts by reason what the corpus held but cannot be used.
    """

    features: tuple[np.ndarray, ...]
    files: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    ids: list[str]
    texts: list[str]
    speakers: list[str]
    seconds: list[float]
    skipped: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Tensor:
        """Features of one utterance, (frames, width) float32."""
        start, file = self.starts[index], self.features[self.files[index]]
        features = torch.from_numpy(file[start : start + self.lengths[index]].astype(np.float32))
        return features / 2**15 if file.dtype == np.int16 else features

    @property
    def origin(self) -> list[str]:
        """File, start and length of each utterance's features, which tell them from others'."""
        places = zip(self.files.tolist(), self.starts.tolist(), self.lengths.tolist(), strict=True)
        return [f"{self.features[file].filename}:{start}:{length}" for file, start, length in places]

    @classmethod
    def open(cls, path: str | Path) -> FeatureStore:
        """Map the store in folder `path`; reads no features."""
        index = json.loads((Path(path) / "index.json").read_text())
        rows, lengths = index["utterances"], np.array([row["frames"] for row in index["utterances"]], dtype=np.int64)
        shape = (int(lengths.sum()), index["width"])
        return cls(
            features=(np.memmap(Path(path) / "features.bin", np.dtype(index["type"]), "r", shape=shape),),
            files=np.zeros(len(rows), dtype=np.int64),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            ids=[row["id"] for row in rows],
            texts=[row["text"] for row in rows],
            speakers=[row["speaker"] for row in rows],
            seconds=[row["seconds"] for row in rows],
            skipped=index["skipped"],
        )

    def select(self, kept: list[int], skipped: dict[str, int]) -> FeatureStore:
        """The same store with the utterances at `kept` alone."""
        return FeatureStore(
            self.features,
            self.files[kept],
            self.starts[kept],
            self.lengths[kept],
            ids=[self.ids[place] for place in kept],
            texts=[self.texts[place] for place in kept],
            speakers=[self.speakers[place] for place in kept],
            seconds=[self.seconds[place] for place in kept],
            skipped=skipped,
        )


def join(stores: Sequence[FeatureStore]) -> FeatureStore:
    """One store of the utterances of several, one store after the other."""
    before = np.cumsum([0, *(len(store.features) for store in stores)])
    return FeatureStore(
        features=tuple(file for store in stores for file in store.features),
        files=np.concatenate([store.files + first for store, first in zip(stores, before, strict=False)]),
        starts=np.concatenate([store.starts for store in stores]),
        lengths=np.concatenate([store.lengths for store in stores]),
        ids=[name for store in stores for name in store.ids],
        texts=[text for store in stores for text in store.texts],
        speakers=[speaker for store in stores for speaker in store.speakers],
        seconds=[seconds for store in stores for seconds in store.seconds],
        skipped=reduce(merge, (store.skipped for store in stores)),
    )


def write_store(folder: Path, blocks: Iterable[tuple[np.ndarray, list[Row], dict[str, int]]], like: np.ndarray) -> None:
    """Write blocks of (features (frames, width), rows, skipped counts) one after the other into `folder`.

    Features have the width and type of `like`.
    """
    utterances: list[Row] = []
    skipped: dict[str, int] = {}
    with open(folder / "features.bin", "wb") as file:
        for features, rows, counts in blocks:
            file.write(features.tobytes())
            utterances += rows
            skipped = merge(skipped, counts)
    if not utterances:
        raise ValueError(f"no usable utterance for {folder.name}: {describe(skipped) or 'the corpus lists none'}")
    index = {"width": like.shape[1], "type": str(like.dtype), "skipped": skipped, "utterances": utterances}
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False))


def derive(
    store: FeatureStore, apply: Callable[[Tensor], Tensor], path: Path, progress: Callable[[int, int], None]
) -> FeatureStore:
    """The store in folder `path`, made once, of what `apply` makes of each utterance's features, (frames, width)."""

    def blocks() -> Iterator[tuple[np.ndarray, list[Row], dict[str, int]]]:
        for index in range(len(store)):
            made = apply(store[index]).numpy()
            row = {"id": store.ids[index], "text": store.texts[index], "speaker": store.speakers[index]}
            yield made, [{**row, "seconds": store.seconds[index], "frames": len(made)}], {}
            progress(index + 1, len(store))

    with cached_folder(path) as folder:
        if folder:
            write_store(folder, blocks(), apply(store[0]).numpy())
    return FeatureStore.open(path)


def merge(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return {key: first.get(key, 0) + second.get(key, 0) for key in sorted({*first, *second})}


def describe(skipped: dict[str, int]) -> str:
    """Counts by reason in words: `2 truncated file, 1 not mono`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
