"""Synthetic speech: sentences of `grammar`, in English or another language, spoken by eSpeak NG in many voices, with
noise and reverberation.

Clean splits have the training conditions with unseen sentences and speakers (a voice of training at a pitch and rate
of its own); the other splits have unseen voices, faster, always noisy and reverberant. Nothing but the configuration
shapes the audio.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data import grammar
from prune_bench.data.audio import resample
from prune_bench.data.corpora.source import COUNTS, CorpusSpec, Load, Utterance, chunks, count_of
from prune_bench.data.degradation import Condition, Conditions, Range, degrade
from prune_bench.data.phones import engine_name
from prune_bench.data.synthesizer import Request, synthesize

PART = 250
VERSION = 3


@dataclass(frozen=True)
class Recipe:
    """How one split sounds. A speaker is a voice with its own pitch (0-100) and rate (words per minute)."""

    voices: tuple[str, ...]
    conditions: Conditions
    pitch: Range = (25.0, 75.0)
    rate: Range = (140.0, 200.0)
    pitch_jitter: float = 5.0
    rate_jitter: float = 10.0


def in_turn(variants: str) -> tuple[str, ...]:
    """One voice a variant, American and British in turn."""
    return tuple(f"{('en-us', 'en')[place % 2]}+{variant}" for place, variant in enumerate(variants.split()))


CLEAN = Conditions(share=0.35, harsh=Condition((5.0, 20.0), (0.05, 0.25)), mild=Condition((20.0, 40.0)))
OTHER = Conditions(share=1.0, harsh=Condition((0.0, 10.0), (0.2, 0.5)), mild=Condition((20.0, 40.0)))
OTHER_RATE = (170.0, 230.0)
TRAINING_VARIANTS = (
    "m1 f2 m3 f1 m4 Andrea max f4 m7 steph m6 f5 Alex linda Mike antonio m8 steph2 Nguyen belinda paul pedro"
)

RECIPES = {
    "train": Recipe(
        tuple(f"{language}+{variant}" for variant in TRAINING_VARIANTS.split() for language in ("en-us", "en")), CLEAN
    ),
    "dev-clean": Recipe(in_turn("m1 f5 Alex linda max steph2"), CLEAN),
    "dev-other": Recipe(in_turn("m2 aunty Mario rob Denis"), OTHER, rate=OTHER_RATE),
    "test-clean": Recipe(in_turn("m3 f1 Mike Andrea m8 belinda antonio f4"), CLEAN),
    "test-other": Recipe(in_turn("m5 f3 miguel robert victor"), OTHER, rate=OTHER_RATE),
}


def voices_of(split: str, language: str) -> tuple[str, ...]:
    """The voices of a split, in another language the same variants."""
    voices = RECIPES[split].voices
    if language == "en":
        return voices
    return tuple(dict.fromkeys(f"{engine_name(language)}+{voice.partition('+')[2]}" for voice in voices))


class Espeak:
    """The default corpus; a part is up to 250 sentences of one speaker, spoken by one process of the engine."""

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate

    def fingerprint(self, split: str) -> Any:
        counts = [count_of(self.config, split), self.config.seed]
        words = [grammar.source(self.config.language).content, grammar.SPLIT_SHARES, grammar.EXPONENT, grammar.SHIFT]
        return [VERSION, version("espeakng-loader"), asdict(RECIPES[split]), words, counts, self.config.language]

    def files(self, split: str) -> Sequence[Path]:
        return ()

    def parts(self, split: str) -> list[Sequence[Utterance]]:
        voices, spoken = voices_of(split, self.config.language), dict[str, list[Utterance]]()
        sentences = grammar.sentences(split, count_of(self.config, split), self.config.seed, self.config.language)
        for place, text in enumerate(sentences):
            voice = voices[place % len(voices)]
            utterance = Utterance(f"{split}-{place:05d}", text, voice, split)
            spoken.setdefault(voice, []).append(utterance)
        return [part for utterances in spoken.values() for part in chunks(utterances, PART)]

    def read(self, part: Sequence[Utterance]) -> Iterator[Load]:
        split, voice, recipe = part[0].split, part[0].speaker, RECIPES[part[0].split]
        speaker = self.generator(split, voice)
        pitch, rate = speaker.uniform(*recipe.pitch), speaker.uniform(*recipe.rate)
        random = self.generator(split, part[0].id)
        requests = [
            Request(
                utterance.text,
                pitch=round(pitch + random.uniform(-recipe.pitch_jitter, recipe.pitch_jitter)),
                rate=round(rate + random.uniform(-recipe.rate_jitter, recipe.rate_jitter)),
            )
            for utterance in part
        ]
        engine_rate, blocks = synthesize(voice, int(random.integers(1, 2**31)), requests)
        for utterance, block in zip(part, blocks, strict=True):
            yield partial(self.load, utterance, block, engine_rate, recipe.conditions, random)

    def load(
        self, utterance: Utterance, block: bytes, rate: int, conditions: Conditions, random: np.random.Generator
    ) -> tuple[Utterance, Tensor]:
        spoken = trim(np.frombuffer(block, dtype="<i2"), rate // 20).astype(np.float32) / 2**15
        samples = resample(spoken, rate, self.sample_rate)
        return utterance, torch.from_numpy(degrade(samples, self.sample_rate, conditions.draw(random), random))

    def generator(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, zlib.crc32("/".join(names).encode())])


def trim(samples: np.ndarray, margin: int) -> np.ndarray:
    """Cut digital silence at both ends to at most `margin` samples."""
    sounding = np.flatnonzero(samples)
    return samples[max(0, sounding[0] - margin) : sounding[-1] + 1 + margin]


CORPUS = CorpusSpec(
    name="espeak",
    source=Espeak,
    options=("labels", *COUNTS),
)
