from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.corpora import fsdd
from prune_bench.data.corpora.fsdd import DEV, DIGITS, TEST, TRAINING, Fsdd, assign
from prune_bench.data.corpora.source import SPLITS

SPEAKERS = ["ada", "ben", "cleo"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Recordings of 0.1 s at 8 kHz whose constant level tells (digit, speaker, index)."""
    root = tmp_path_factory.mktemp("fsdd")
    for digit in range(10):
        for place, speaker in enumerate(SPEAKERS):
            for index in range(TRAINING[-1] + 1):
                samples = np.full(800, (digit + 1) * 1000 + place * 100 + index, np.int16)
                soundfile.write(root / f"{digit}_{speaker}_{index}.wav", samples, 8000)
    return root


@pytest.fixture
def source(root) -> Fsdd:
    counts = {"train_utterances": 60, "dev_utterances": 30, "test_utterances": 30}
    return Fsdd(CorpusConfig(name="fsdd", root=str(root), **counts), FeatureConfig())


def listed(source: Fsdd, split: str):
    return [utterance for part in source.parts(split) for utterance in part]


def test_strings_have_three_to_seven_digits_and_belong_to_one_kind_of_split(source):
    texts = {split: {utterance.text for utterance in listed(source, split)} for split in SPLITS}
    for words in (text.split() for split in SPLITS for text in texts[split]):
        assert 3 <= len(words) <= 7
        assert set(words) <= set(DIGITS)
    assert not texts["train"] & (texts["dev-clean"] | texts["dev-other"] | texts["test-clean"] | texts["test-other"])
    assert not texts["dev-clean"] & texts["test-clean"]


def test_the_last_speaker_is_heard_in_test_other_alone(source):
    speakers = {split: {utterance.speaker for utterance in listed(source, split)} for split in SPLITS}
    assert speakers.pop("test-other") == {"cleo"}
    assert all(names == {"ada", "ben"} for names in speakers.values())


def test_with_five_speakers_dev_other_has_an_unseen_one_too():
    voices = assign(["a", "b", "c", "d", "e"])
    assert voices["train"].speakers == ("a", "b", "c")
    assert (voices["dev-other"].speakers, voices["test-other"].speakers) == (("d",), ("e",))


def test_recordings_of_training_dev_and_test_are_different(source, monkeypatch):
    recordings: dict[str, set[tuple[str, int]]] = {}
    read = fsdd.read_audio

    def spy(path, rate):
        _, speaker, index = path.stem.split("_")
        recordings.setdefault(split, set()).add((speaker, int(index)))
        return read(path, rate)

    monkeypatch.setattr(fsdd, "read_audio", spy)
    for split in SPLITS:
        for load in source.read(listed(source, split)[:30]):
            load()
    indices = {split: {index for _, index in pairs} for split, pairs in recordings.items()}
    assert indices["train"] <= set(TRAINING)
    assert indices["dev-clean"] | indices["dev-other"] <= set(DEV)
    assert indices["test-clean"] <= set(TEST)
    assert len(indices["test-other"]) > 20


def test_audio_holds_the_recordings_with_silences_between_and_repeats(source):
    for utterance in listed(source, "train")[:10]:
        ((_, first),) = [load() for load in source.read([utterance])]
        ((_, again),) = [load() for load in source.read([utterance])]
        digits = len(utterance.text.split())
        assert first.equal(again)
        assert 0.1 * digits + 0.02 * (digits + 1) < len(first) / 16000 < 0.1 * digits + 0.15 * (digits + 1) + 0.01


def test_fingerprint_follows_seed_and_recordings_wherever_they_lie(source, root, tmp_path):
    other = Fsdd(dataclasses.replace(source.config, seed=1), FeatureConfig())
    assert other.fingerprint("train") != source.fingerprint("train")
    assert source.files("train") == sorted(root.glob("*.wav"))
    (tmp_path / "moved").symlink_to(root)
    moved = Fsdd(dataclasses.replace(source.config, root=str(tmp_path / "moved")), FeatureConfig())
    assert moved.fingerprint("train") == source.fingerprint("train")


def test_recordings_may_lie_in_a_folder_of_that_name(root, tmp_path):
    (tmp_path / "recordings").symlink_to(root)
    assert Fsdd(CorpusConfig(root=str(tmp_path)), FeatureConfig()).voices["train"].speakers == ("ada", "ben")


def test_incomplete_recordings_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"corpus.root={str(tmp_path)!r}: 0 speakers; set it to")):
        Fsdd(CorpusConfig(root=str(tmp_path)), FeatureConfig())
    for speaker in SPEAKERS:
        soundfile.write(tmp_path / f"0_{speaker}_0.wav", np.zeros(80), 8000)
    with pytest.raises(ValueError, match="recordings 0-31 of 0_ada are incomplete"):
        Fsdd(CorpusConfig(root=str(tmp_path)), FeatureConfig())


def test_the_published_recordings_are_read():
    folder = Path(os.environ.get("PRUNE_BENCH_DATA", "nowhere")) / "fsdd"
    if not folder.is_dir():
        pytest.skip("set PRUNE_BENCH_DATA to a folder that holds fsdd/")
    config = CorpusConfig(root=str(folder), train_utterances=4, dev_utterances=4, test_utterances=4)
    source = Fsdd(config, FeatureConfig())
    seconds = [len(load()[1]) / 16000 for split in SPLITS for load in source.read(source.parts(split)[0])]
    assert len(seconds) == 20
    assert 1 < min(seconds) < max(seconds) < 9
