"""Common Voice (Ardila et al., 2020), in its published layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance, read_audio
from prune_bench.data.corpora.source import SUBSETS, CorpusSpec, Load, Utterance, chunks, subset_of
from prune_bench.torchaudio_internals import CommonVoiceList

PART = 100
KEYS = ("path", "sentence", "client_id")
FOLDERS = {"sv": "sv-SE", "zh": "zh-TW"}
Place = tuple[str, str, int]


class CommonVoice:
    """`corpus.root` holds a folder for each language, with `train.tsv`, `dev.tsv`, `test.tsv` and the folder `clips`.

    Its test set serves test-clean and test-other, its development set likewise: it has one of each. Any other list
    beside them, as one hour of training for PARP's experiments, is named by `corpus.train`; whatever amount
    `corpus.labels` asks for, all of it is taken.
    """

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate
        self.folder = Path(config.root) / FOLDERS.get(config.language, config.language)
        self.datasets: dict[str, CommonVoiceList] = {}

    def fingerprint(self, split: str) -> Any:
        return [[entry.get(key) for key in KEYS] for entry in self.entries(split)]

    def files(self, split: str) -> list[Path]:
        return [self.audio(entry) for entry in self.entries(split)]

    def entries(self, split: str) -> list[dict[str, str]]:
        """The lines of a split's list."""
        dataset = self.dataset(self.listing(split))
        return [dataset.entry(place) for place in range(len(dataset))]

    def audio(self, entry: Mapping[str, str]) -> Path:
        name = entry.get("path", "")
        return self.folder / "clips" / (name if Path(name).suffix else f"{name}.mp3")

    def listing(self, split: str) -> str:
        """The list of a split: `dev-clean` and `dev-other` are both `dev`."""
        name = subset_of(self.config, split)
        return name.removesuffix("-clean").removesuffix("-other")

    def parts(self, split: str) -> list[Sequence[Place]]:
        listing = self.listing(split)
        places = [(split, listing, place) for place in range(len(self.dataset(listing)))]
        return chunks(places, PART)

    def read(self, part: Sequence[Place]) -> Iterator[Load]:
        return (partial(self.load, *place) for place in part)

    def load(self, split: str, listing: str, place: int) -> tuple[Utterance, Tensor]:
        dataset, line = self.dataset(listing), place + 2
        entry = dataset.entry(place)
        missing = [key for key in KEYS if not entry.get(key)]
        if missing:
            where = f"{self.folder / listing}.tsv:{line}"
            raise BadUtterance("incomplete line", f"{where}: no {missing[0]}; correct or remove the line")
        path = self.audio(entry)
        utterance = Utterance(path.stem, entry["sentence"], entry["client_id"], split, audio=str(path), line=line)
        return utterance, read_audio(path, self.sample_rate)

    def dataset(self, listing: str) -> CommonVoiceList:
        """The reader of one list, which is read once."""
        if listing not in self.datasets:
            path = self.folder / f"{listing}.tsv"
            if not path.is_file():
                raise ValueError(f"{path}: no such list; set corpus.root to the folder of the languages' folders")
            self.datasets[listing] = CommonVoiceList(self.folder, path.name)
        return self.datasets[listing]


CORPUS = CorpusSpec(
    name="commonvoice",
    source=CommonVoice,
    options=("root", "labels", *SUBSETS),
)
