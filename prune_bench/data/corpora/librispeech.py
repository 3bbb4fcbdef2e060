"""LibriSpeech (Panayotov et al., 2015) and the small labelled sets of Libri-light (Kahn et al., 2020), in their
published layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torchaudio.datasets import LIBRISPEECH, LibriLightLimited

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance, read_audio
from prune_bench.data.corpora import source
from prune_bench.data.corpora.source import CorpusSpec, Load, Utterance, chunks, subset_of

PART = 100
FOLDER, LIMITED_FOLDER = "LibriSpeech", "librispeech_finetuning"
TRAINING = ("train-clean-100", "train-clean-360", "train-other-500")
LIMITED = {"10min": ("1h/0/*",), "1h": ("1h/*/*",), "10h": ("1h/*/*", "9h/*")}
SUBSETS = (*TRAINING, *LIMITED, "dev-clean", "dev-other", "test-clean", "test-other")


class Item(NamedTuple):
    """An utterance in the folder of its chapter, without text where no transcript names it."""

    name: str
    text: str
    chapter: str


class LibriSpeech:
    """Any subsets for any split, joined with `+`; `corpus.root` holds the folder `LibriSpeech`.

    The subsets 10min, 1h and 10h, which `corpus.labels` names, too, are Libri-light's, in the folder
    `librispeech_finetuning` beside it. Utterances are those that have a transcript or audio.
    """

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate

    def fingerprint(self, split: str) -> Any:
        return [[item.name, item.text] for item in self.items(split)]

    def files(self, split: str) -> list[Path]:
        return [audio_of(item) for item in self.items(split)]

    def parts(self, split: str) -> list[Sequence[tuple[str, Item]]]:
        return chunks([(split, item) for item in self.items(split)], PART)

    def items(self, split: str) -> list[Item]:
        """All utterances of a split, those of a subset by name."""
        limited = self.config.labels if split == "train" else ""
        subsets = (limited or subset_of(self.config, split)).split("+")
        return [item for subset in subsets for item in self.listing(subset)]

    def listing(self, subset: str) -> list[Item]:
        """The utterances of one subset, which is downloaded first where that is allowed."""
        folder = open_subset(Path(self.config.root), subset, self.config.download)
        limited = (room for pattern in LIMITED.get(subset, ()) for room in folder.glob(pattern))
        rooms = limited if subset in LIMITED else [folder]
        items = [
            (str(room.relative_to(folder)), item)
            for room in rooms
            for chapter in room.glob("*/*")
            if chapter.is_dir()
            for item in items_of(chapter)
        ]
        return [item for _, item in sorted(items, key=lambda found: found[0] + found[1].name)]

    def read(self, part: Sequence[tuple[str, Item]]) -> Iterator[Load]:
        return (partial(self.load, *place) for place in part)

    def load(self, split: str, item: Item) -> tuple[Utterance, Tensor]:
        if not item.text:
            where = f"{item.chapter}, {item.name}: no transcript"
            raise BadUtterance("missing transcript", f"{where}; add it or remove the file")
        audio = audio_of(item)
        speaker = item.name.partition("-")[0]
        return Utterance(item.name, item.text, speaker, split, audio=str(audio)), read_audio(audio, self.sample_rate)


def audio_of(item: Item) -> Path:
    return Path(item.chapter) / f"{item.name}.flac"


def items_of(chapter: Path) -> list[Item]:
    """Every utterance of a chapter's folder that has a transcript or audio."""
    texts = dict.fromkeys((path.stem for path in chapter.glob("*.flac")), "")
    for path in chapter.glob("*.trans.txt"):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 ({error.reason}): convert the file") from None
        texts |= {name: text.strip() for name, _, text in (line.strip().partition(" ") for line in lines) if name}
    return [Item(name, text, str(chapter)) for name, text in texts.items()]


def open_subset(root: Path, subset: str, download: bool) -> Path:
    """The folder of a subset.

    Raises:
        ValueError: there is no such subset, or it is not there and may not be downloaded.
    """
    if subset not in SUBSETS:
        raise ValueError(f"LibriSpeech has no subset {subset!r}; choose from {', '.join(SUBSETS)}, joined with +")
    wanted = LIMITED_FOLDER if subset in LIMITED else f"{FOLDER}/{subset}"
    if not (root / wanted).is_dir():
        if not download:
            missing = f"corpus.root={str(root)!r} holds no {wanted}"
            raise ValueError(f"{missing}; set corpus.root to the folder above it, or corpus.download=true")
        root.mkdir(parents=True, exist_ok=True)
        (LibriLightLimited if subset in LIMITED else LIBRISPEECH)(root, subset, download=True)
    return root / wanted


CORPUS = CorpusSpec(
    name="librispeech",
    source=LibriSpeech,
    options=("root", "download", "labels", *source.SUBSETS),
    languages=("en",),
)
