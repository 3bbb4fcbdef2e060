from __future__ import annotations

import dataclasses

import pytest
import torch

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.corpora import SPLITS, espeak
from prune_bench.data.corpora.espeak import RECIPES, Espeak
from prune_bench.data.synthesizer import Request, synthesize

CONFIG = CorpusConfig(train_utterances=45, dev_utterances=12, test_utterances=12)


@pytest.fixture
def source() -> Espeak:
    return Espeak(CONFIG, FeatureConfig())


def test_speakers_of_training_dev_and_test_are_different_people():
    variants = [{voice.partition("+")[2] for voice in RECIPES[split].voices} for split in SPLITS]
    assert len(set().union(*variants)) == sum(map(len, variants))
    assert len(RECIPES["train"].voices) == len(set(RECIPES["train"].voices)) == 20


@pytest.mark.parametrize("split", SPLITS)
def test_every_voice_is_one_that_the_engine_knows(split):
    for voice in RECIPES[split].voices:
        _, blocks = synthesize(voice, 1, [Request("a lamp", 50, 180)])
        assert len(blocks[0]) > 10_000


def test_sentences_go_round_the_speakers_in_parts_of_one(source, monkeypatch):
    monkeypatch.setattr(espeak, "PART", 2)
    parts = source.parts("train")
    assert all(len({utterance.speaker for utterance in part}) == 1 and len(part) <= 2 for part in parts)
    assert len({utterance.id for part in parts for utterance in part}) == 45
    assert len({part[0].speaker for part in parts}) == 20


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
