"""LibriSpeech (Panayotov et al., 2015) and the small labelled sets of Libri-light (Kahn et al., 2020), in their
published layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance, read_audio
from prune_bench.data.corpora import source
from prune_bench.data.corpora.source import CorpusSpec, Load, Utterance, chunks, subset_of
from prune_bench.torchaudio_internals import LibriLightSubset, LibriSpeechSubset

PART = 100
FOLDER, LIMITED_FOLDER = "LibriSpeech", "librispeech_finetuning"
TRAINING = ("train-clean-100", "train-clean-360", "train-other-500")
LIMITED = ("10min", "1h", "10h")
SUBSETS = (*TRAINING, *LIMITED, "dev-clean", "dev-other", "test-clean", "test-other")
Place = tuple[str, str, int]
Subset = LibriSpeechSubset | LibriLightSubset


class LibriSpeech:
    """Any subsets for any split, joined with `+`; `corpus.root` holds the folder `LibriSpeech`.

    The subsets 10min, 1h and 10h, which `corpus.labels` names, too, are Libri-light's, in the folder
    `librispeech_finetuning` beside it.
    """

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate
        self.datasets: dict[str, Subset] = {}

    def fingerprint(self, split: str) -> Any:
        return [str(Path(self.config.root).resolve()), self.subsets(split)]

    def subsets(self, split: str) -> str:
        return self.config.labels if self.config.labels and split == "train" else subset_of(self.config, split)

    def parts(self, split: str) -> list[Sequence[Place]]:
        subsets = self.subsets(split).split("+")
        places = [(split, subset, place) for subset in subsets for place in range(len(self.dataset(subset)))]
        return chunks(places, PART)

    def read(self, part: Sequence[Place]) -> Iterator[Load]:
        return (partial(self.load, *place) for place in part)

    def load(self, split: str, subset: str, place: int) -> tuple[Utterance, Tensor]:
        dataset = self.dataset(subset)
        try:
            path, _, text, speaker, chapter, number = dataset.get_metadata(place)
        except (FileNotFoundError, ValueError) as error:
            where = f"{dataset.folder / subset}, {dataset.name(place)}: no transcript"
            raise BadUtterance("missing transcript", f"{where} ({error}); add it or remove the file") from None
        audio = dataset.folder / path
        utterance = Utterance(f"{speaker}-{chapter}-{number:04d}", text, str(speaker), split, audio=str(audio))
        return utterance, read_audio(audio, self.sample_rate)

    def dataset(self, subset: str) -> Subset:
        """The reader of one subset, which lists its folder once and downloads it when allowed."""
        if subset not in self.datasets:
            self.datasets[subset] = open_subset(Path(self.config.root), subset, self.config.download)
        return self.datasets[subset]


def open_subset(root: Path, subset: str, download: bool) -> Subset:
    if subset not in SUBSETS:
        raise ValueError(f"LibriSpeech has no subset {subset!r}; choose from {', '.join(SUBSETS)}, joined with +")
    wanted = LIMITED_FOLDER if subset in LIMITED else f"{FOLDER}/{subset}"
    if not (root / wanted).is_dir() and not download:
        missing = f"corpus.root={str(root)!r} holds no {wanted}"
        raise ValueError(f"{missing}; set corpus.root to the folder above it, or corpus.download=true")
    root.mkdir(parents=True, exist_ok=True)
    return (LibriLightSubset if subset in LIMITED else LibriSpeechSubset)(root, subset, download=download)


CORPUS = CorpusSpec(
    name="librispeech",
    source=LibriSpeech,
    options=("root", "download", "labels", *source.SUBSETS),
    languages=("en",),
)
