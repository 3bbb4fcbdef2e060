"""Connected digits from recordings of the Free Spoken Digit Dataset: human speech, 3 to 7 digits of one speaker.

Of each (digit, speaker) ten recordings serve test-clean, ten dev-clean, and `TRAINING` training: few, so that the task
is not trivially easy. The last speaker by name speaks in test-other alone. With five speakers or more the last but
one is dev-other's alone; with fewer, dev-other takes dev recordings of training speakers, played slower or faster as a
stand-in for an unseen voice, in the noise of test-other.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import read_audio, resample
from prune_bench.data.corpora.source import COUNTS, CorpusSpec, Load, Utterance, chunks, count_of
from prune_bench.data.degradation import Condition, Conditions, degrade

VERSION = 1
RATE = 8000
PART = 250
DIGITS = "zero one two three four five six seven eight nine".split()
LENGTHS = (3, 7)
GAPS = (0.02, 0.15)
TEST, DEV, TRAINING = range(0, 10), range(10, 20), range(20, 32)
CLEAN = Conditions(share=0.5, harsh=Condition((0.0, 15.0), (0.05, 0.25)), mild=Condition((15.0, 30.0)))
OTHER = Conditions(share=1.0, harsh=Condition((5.0, 15.0), (0.05, 0.2)), mild=Condition((15.0, 30.0)))
STAND_IN_SPEEDS = (0.85, 1.18)
TEXT_SHARES = {"train": 12, "dev": 1, "test": 3}


@dataclass(frozen=True)
class Voices:
    """Who speaks a split, which of their recordings (None = all), at which speeds, in which conditions."""

    speakers: tuple[str, ...]
    recordings: range | None
    conditions: Conditions
    speeds: tuple[float, ...] = (1.0,)


class Fsdd:
    """Digit strings; `corpus.root` is the folder of `{digit}_{speaker}_{index}.wav` or the one above it."""

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate
        self.recordings = find_recordings(Path(config.root))
        self.voices = assign(sorted({speaker for _, speaker in self.recordings}))

    def fingerprint(self, split: str) -> Any:
        names = [path.name for path in self.files(split)]
        counts = [count_of(self.config, split), self.config.seed]
        recipe = [asdict(self.voices[split]) | {"recordings": str(self.voices[split].recordings)}, LENGTHS, GAPS]
        return [VERSION, names, recipe, counts]

    def files(self, split: str) -> Sequence[Path]:
        paths = (path for recordings in self.recordings.values() for path in recordings.values())
        return sorted(paths, key=lambda path: path.name)

    def parts(self, split: str) -> list[Sequence[Utterance]]:
        random, speakers = self.generator(split), self.voices[split].speakers
        utterances = []
        for place in range(count_of(self.config, split)):
            text = draw_text(split.partition("-")[0], random)
            utterances.append(Utterance(f"{split}-{place:05d}", text, str(random.choice(speakers)), split))
        return chunks(utterances, PART)

    def read(self, part: Sequence[Utterance]) -> Iterator[Load]:
        return (partial(self.load, utterance) for utterance in part)

    def load(self, utterance: Utterance) -> tuple[Utterance, Tensor]:
        random, voices = self.generator(utterance.id), self.voices[utterance.split]
        speed, pieces = random.choice(voices.speeds), [self.silence(random)]
        for word in utterance.text.split():
            files = self.recordings[DIGITS.index(word), utterance.speaker]
            wanted = [path for index, path in files.items() if voices.recordings is None or index in voices.recordings]
            spoken = read_audio(wanted[random.integers(len(wanted))], RATE).numpy()
            pieces += [resample(spoken, round(100 * speed), 100), self.silence(random)]
        joined = resample(np.concatenate(pieces), RATE, self.sample_rate)
        samples = degrade(joined, self.sample_rate, voices.conditions.draw(random), random)
        return utterance, torch.from_numpy(samples)

    def silence(self, random: np.random.Generator) -> np.ndarray:
        return np.zeros(round(RATE * random.uniform(*GAPS)), np.float32)

    def generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, zlib.crc32(name.encode())])


def find_recordings(root: Path) -> dict[tuple[int, str], dict[int, Path]]:
    """Recordings by (digit, speaker) and index."""
    files: dict[tuple[int, str], dict[int, Path]] = defaultdict(dict)
    folder = root / "recordings" if (root / "recordings").is_dir() else root
    for path in sorted(folder.glob("[0-9]_*_*.wav")):
        digit, speaker, index = path.stem.split("_")
        files[int(digit), speaker][int(index)] = path
    speakers = {speaker for _, speaker in files}
    absent = [f"{digit}_{speaker}" for speaker in sorted(speakers) for digit in range(10)
              if not {*TEST, *DEV, *TRAINING} <= set(files.get((digit, speaker), ()))]  # fmt: skip
    if len(speakers) < 2 or absent:
        found = f"recordings 0-{TRAINING[-1]} of {absent[0]} are incomplete" if absent else f"{len(speakers)} speakers"
        remedy = "set it to the recordings of github.com/Jakobovski/free-spoken-digit-dataset"
        raise ValueError(f"corpus.root={str(root)!r}: {found}; {remedy}")
    return dict(files)


def assign(speakers: list[str]) -> dict[str, Voices]:
    """Speakers, recordings and conditions of each split."""
    unseen = 2 if len(speakers) >= 5 else 1
    known, last = tuple(speakers[:-unseen]), (speakers[-1],)
    stand_in = Voices(known, DEV, OTHER, STAND_IN_SPEEDS)
    return {
        "train": Voices(known, TRAINING, CLEAN),
        "dev-clean": Voices(known, DEV, CLEAN),
        "dev-other": Voices((speakers[-2],), None, OTHER) if unseen == 2 else stand_in,
        "test-clean": Voices(known, TEST, CLEAN),
        "test-other": Voices(last, None, OTHER),
    }


def draw_text(kind: str, random: np.random.Generator) -> str:
    """Digits that belong to training, dev or test alone: which, is a function of the text."""
    while True:
        digits = random.integers(0, 10, random.integers(LENGTHS[0], LENGTHS[1] + 1))
        text = " ".join(DIGITS[digit] for digit in digits)
        place = zlib.crc32(text.encode()) % sum(TEXT_SHARES.values())
        bounds = np.cumsum([*TEXT_SHARES.values()])
        if [*TEXT_SHARES][int(np.searchsorted(bounds, place, side="right"))] == kind:
            return text


CORPUS = CorpusSpec(
    name="fsdd",
    source=Fsdd,
    options=("root", "labels", *COUNTS),
    languages=("en",),
)
