from __future__ import annotations

import dataclasses

import pytest
import torch

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.corpora import espeak
from prune_bench.data.corpora.espeak import RECIPES, Espeak
from prune_bench.data.corpora.source import SPLITS
from prune_bench.data.synthesizer import Request, synthesize

CONFIG = CorpusConfig(train_utterances=45, dev_utterances=12, test_utterances=12)


@pytest.fixture
def source() -> Espeak:
    return Espeak(CONFIG, FeatureConfig())


def variants(split: str) -> set[str]:
    return {voice.partition("+")[2] for voice in RECIPES[split].voices}


def test_other_splits_have_voices_heard_nowhere_else():
    for split in ("dev-other", "test-other"):
        assert not any(variants(split) & variants(another) for another in SPLITS if another != split)


def test_dev_and_test_share_no_voice_and_training_has_each_in_both_languages():
    assert not variants("dev-clean") & variants("test-clean")
    assert len(set(RECIPES["train"].voices)) == len(RECIPES["train"].voices) == 2 * len(variants("train"))


def test_a_training_voice_is_another_speaker_in_a_clean_split(source):
    voice = RECIPES["dev-clean"].voices[0]
    assert voice in RECIPES["train"].voices
    pitches = [source.generator(split, voice).uniform(*RECIPES[split].pitch) for split in ("train", "dev-clean")]
    assert abs(pitches[0] - pitches[1]) > 1


def test_every_voice_is_one_that_the_engine_knows():
    for voice in {voice for split in SPLITS for voice in RECIPES[split].voices}:
        _, blocks = synthesize(voice, 1, [Request("a lamp", 50, 180)])
        assert len(blocks[0]) > 10_000


def test_sentences_go_round_the_speakers_in_parts_of_one(source, monkeypatch):
    monkeypatch.setattr(espeak, "PART", 2)
    parts = source.parts("train")
    assert all(len({utterance.speaker for utterance in part}) == 1 and len(part) <= 2 for part in parts)
    assert len({utterance.id for part in parts for utterance in part}) == 45
    assert len({part[0].speaker for part in parts}) == len(RECIPES["train"].voices)


def test_audio_is_equal_to_the_bit_and_sounds(source):
    part = source.parts("test-other")[0]
    first, second = ([load() for load in source.read(part)] for _ in range(2))
    assert [utterance for utterance, _ in first] == list(part)
    for (_, samples), (_, again) in zip(first, second, strict=True):
        assert torch.equal(samples, again)
        assert samples.abs().max().item() == pytest.approx(0.5)
        assert 0.5 < len(samples) / 16000 < 6


def test_seed_and_counts_and_recipe_change_the_fingerprint(source, monkeypatch):
    before = source.fingerprint("train")
    assert source.fingerprint("train") == before
    changed = [dataclasses.replace(CONFIG, seed=1), dataclasses.replace(CONFIG, train_utterances=46)]
    assert all(Espeak(config, FeatureConfig()).fingerprint("train") != before for config in changed)
    same = dataclasses.replace(CONFIG, test_utterances=99)
    assert Espeak(same, FeatureConfig()).fingerprint("train") == before
    monkeypatch.setitem(RECIPES, "train", dataclasses.replace(RECIPES["train"], rate_jitter=0.0))
    assert source.fingerprint("train") != before


def test_another_language_is_spoken_by_the_same_variants(source):
    spanish = Espeak(dataclasses.replace(CONFIG, language="es", train_utterances=30), FeatureConfig())
    parts = spanish.parts("train")
    voices = {part[0].speaker for part in parts}
    assert all(voice.startswith("es+") for voice in voices)
    assert len(voices) == len(variants("train")) == len(parts)
    _, samples = next(iter(spanish.read(parts[0])))()
    assert len(samples) > 8000
    assert spanish.fingerprint("train") != source.fingerprint("train")
    assert espeak.voices_of("test-other", "zh")[0].startswith("cmn+")
