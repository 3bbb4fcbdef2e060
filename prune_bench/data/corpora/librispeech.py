"""LibriSpeech (Panayotov et al., 2015), in its published layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torchaudio.datasets import LIBRISPEECH

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance, read_audio
from prune_bench.data.corpora.source import Load, Utterance, chunks, subset_of

PART = 100
TRAINING = ("train-clean-100", "train-clean-360", "train-other-500")
SUBSETS = (*TRAINING, "dev-clean", "dev-other", "test-clean", "test-other")
Place = tuple[str, str, int]


class LibriSpeech:
    """Any subsets for any split, joined with `+`; `corpus.root` holds the folder `LibriSpeech`."""

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate
        self.datasets: dict[str, LIBRISPEECH] = {}

    def fingerprint(self, split: str) -> Any:
        return [str(Path(self.config.root).resolve()), subset_of(self.config, split)]

    def parts(self, split: str) -> list[Sequence[Place]]:
        subsets = subset_of(self.config, split).split("+")
        places = [(split, subset, place) for subset in subsets for place in range(len(self.dataset(subset)))]
        return chunks(places, PART)

    def read(self, part: Sequence[Place]) -> Iterator[Load]:
        return (partial(self.load, *place) for place in part)

    def load(self, split: str, subset: str, place: int) -> tuple[Utterance, Tensor]:
        dataset, root = self.dataset(subset), Path(self.config.root) / "LibriSpeech"
        try:
            path, _, text, speaker, chapter, number = dataset.get_metadata(place)
        except (FileNotFoundError, ValueError) as error:
            where = f"{root / subset}, {dataset._walker[place]}: no transcript"
            raise BadUtterance("missing transcript", f"{where} ({error}); add it or remove the file") from None
        utterance = Utterance(f"{speaker}-{chapter}-{number:04d}", text, str(speaker), split, audio=str(root / path))
        return utterance, read_audio(root / path, self.sample_rate)

    def dataset(self, subset: str) -> LIBRISPEECH:
        """The reader of one subset, which lists its folder once and downloads it when allowed."""
        if subset not in self.datasets:
            self.datasets[subset] = open_subset(Path(self.config.root), subset, self.config.download)
        return self.datasets[subset]


def open_subset(root: Path, subset: str, download: bool) -> LIBRISPEECH:
    if subset not in SUBSETS:
        raise ValueError(f"LibriSpeech has no subset {subset!r}; choose from {', '.join(SUBSETS)}, joined with +")
    if not (root / "LibriSpeech" / subset).is_dir() and not download:
        missing = f"corpus.root={str(root)!r} holds no LibriSpeech/{subset}"
        raise ValueError(f"{missing}; set corpus.root to the folder above LibriSpeech, or corpus.download=true")
    root.mkdir(parents=True, exist_ok=True)
    return LIBRISPEECH(root, subset, download=download)
