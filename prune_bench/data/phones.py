"""Phones of a text as eSpeak NG pronounces it, as tokens apart by a space: the targets of phone recognition."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from prune_bench.data.store import FeatureStore
from prune_bench.data.synthesizer import transcribe
from prune_bench.files import cached_file

VOICES = {"zh": "cmn"}
STRESS, TONES, SWITCH = "ˈˌ", "12345ɜ", re.compile(r"\([a-z-]+\)")
# The engine has no IPA for some phones of ky, ru and zh and gives its own mnemonics.
MNEMONICS = (
    ("dZ", "dʒ"), ("tS", "tʃ"), ("S", "ʃ"), ("N", "ŋ"), ("X", "χ"), ("oe", "œ"), ("l-", "ɫ"), ("s.", "ʂ"), ("i.", "ɨ"),
    (":", "ː"), ("[", ""), ("-", ""), ("^", ""), ("̪", ""),
)  # fmt: skip


def phonemize(language: str, texts: Sequence[str]) -> list[str]:
    """The phones of each text, without stress, tone and word boundaries. ValueError for an unknown language."""
    raw = transcribe(engine_name(language), texts)
    return [" ".join(clean(transcription, tonal=language == "zh")) for transcription in raw]


def engine_name(language: str) -> str:
    """What the engine calls a language."""
    return VOICES.get(language, language)


def clean(transcription: str, tonal: bool = False) -> list[str]:
    """The phones of a transcription of the engine."""
    tokens = (token.strip(STRESS) for token in re.split(r"[_\s]+", SWITCH.sub("", transcription)))
    return [phone for token in tokens if (phone := spell(token.rstrip(TONES) if tonal else token))]


def spell(token: str) -> str:
    """A token of the engine in IPA."""
    for mnemonic, phone in MNEMONICS:
        token = token.replace(mnemonic, phone)
    return token


def with_phones(store: FeatureStore, language: str, cache: Path) -> FeatureStore:
    """The store with the phones of its texts in their place, kept in folder `cache`."""
    known = [language, version("espeakng-loader"), MNEMONICS, store.texts]
    path = cache / "phones" / f"{language}-{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]}.json"
    cached_file(path, lambda file: file.write_text(json.dumps(phonemize(language, store.texts))))
    return replace(store, texts=json.loads(path.read_text()))
