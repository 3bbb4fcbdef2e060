from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from prune_bench.config import Config
from prune_bench.data import extraction, prepare, prepare_unlabelled
from prune_bench.data import phones as phone_targets
from prune_bench.data.corpora.source import SPLITS

WORDS = ["a red lamp", "two boats", "the old clock", "a quiet river"]


def speak(path: Path, seconds: float, seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, int(16000 * seconds))
    soundfile.write(path, samples, 16000)


@pytest.fixture
def config(tmp_path) -> Config:
    """A manifest of four good utterances a split."""
    config = Config()
    config.corpus.name, config.corpus.root = "manifest", str(tmp_path)
    config.tokenizer.kind = "characters"
    for split in SPLITS:
        for place, text in enumerate(WORDS):
            speak(tmp_path / f"{split}{place}.wav", 1.5, place)
            add(tmp_path, split, f"{split}{place}.wav", text)
    return config


def add(root: Path, split: str, audio: str, text: str, **more) -> None:
    with open(root / f"{split}.jsonl", "a") as file:
        file.write(json.dumps({"audio_filepath": audio, "text": text} | more) + "\n")


def test_corpus_holds_five_splits_and_the_tokenizer_of_the_training_text(config, tmp_path):
    corpus = prepare(config, tmp_path / "cache", progress=False)
    assert tuple(corpus.splits) == SPLITS
    assert [store.texts for store in corpus.splits.values()] == [WORDS] * 5
    store = corpus.splits["test-other"]
    assert store[0].shape == (151, 80)
    assert store.seconds == [1.5] * 4
    assert corpus.tokenizer.decode(corpus.tokenizer.encode(store.texts[2])) == WORDS[2]


def test_second_call_reads_the_cache_alone(config, tmp_path, monkeypatch):
    first = prepare(config, tmp_path / "cache", progress=False)
    monkeypatch.setattr(extraction.Workers, "map", None)
    again = prepare(config, tmp_path / "cache", progress=False)
    assert all(torch.equal(first.splits[split][1], again.splits[split][1]) for split in SPLITS)
    assert again.tokenizer.size == first.tokenizer.size


def test_features_and_text_that_changed_are_made_again(config, tmp_path):
    prepare(config, tmp_path / "cache", progress=False)
    config.features.mels = 40
    assert prepare(config, tmp_path / "cache", progress=False).splits["train"][0].shape == (151, 40)
    speak(tmp_path / "more.wav", 1.0, 9)
    add(tmp_path, "train", "more.wav", "a new lamp")
    assert len(prepare(config, tmp_path / "cache", progress=False).splits["train"]) == 5


def spoil(root: Path, split: str) -> None:
    """Add one utterance of each fault to `split`."""
    speak(root / "good.wav", 1.0, 1)
    stereo = np.zeros((16000, 2))
    soundfile.write(root / "stereo.wav", stereo, 16000)
    soundfile.write(root / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    (root / "cut.wav").write_bytes((root / "good.wav").read_bytes()[:9000])
    speak(root / "short.wav", 0.2, 2)
    for audio in ("gone.wav", "cut.wav", "stereo.wav", "nan.wav"):
        add(root, split, audio, "a lamp")
    add(root, split, "good.wav", "")
    add(root, split, "good.wav", "[laughter]")
    add(root, split, "good.wav", "a lamp", duration=2.0)
    add(root, split, "short.wav", "the old clock")
    add(root, split, "good.wav", "a gr\u00fcn lamp")


FAULTS = [
    "missing file",
    "truncated file",
    "not mono",
    "not finite",
    "empty transcript",
    "non-speech transcript",
    "segment beyond its file",
    "transcript longer than its audio",
    "token outside the vocabulary",
]


def test_skipping_counts_every_fault_by_reason_and_says_so_each_time(config, tmp_path, capsys):
    spoil(tmp_path, "dev-other")
    config.corpus.on_bad = "skip"
    for _ in range(2):
        store = prepare(config, tmp_path / "cache", progress=False).splits["dev-other"]
        assert store.texts == WORDS
        assert store.skipped == dict.fromkeys(sorted(FAULTS), 1)
        printed = capsys.readouterr().out
        assert "manifest dev-other: 9 utterances left out: " in printed
        assert all(f"1 {reason}" in printed for reason in FAULTS)


@pytest.mark.parametrize("fault", range(9), ids=FAULTS)
def test_failing_names_file_line_and_remedy_in_one_line(config, tmp_path, fault):
    spoil(tmp_path, "dev-other")
    listing = tmp_path / "dev-other.jsonl"
    lines = listing.read_text().splitlines()
    listing.write_text("\n".join([*lines[:4], lines[4 + fault]]))
    with pytest.raises(ValueError, match=FAULTS[fault] if fault > 3 and fault != 6 else r"\.wav: ") as caught:
        prepare(config, tmp_path / "cache", progress=False)
    assert "dev-other.jsonl:5" in str(caught.value)
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "libri", "unknown value for corpus.name: 'libri': did you mean 'librispeech'"),
        ("on_bad", "ask", "corpus.on_bad='ask' is unknown; choose fail or skip"),
    ],
)
def test_unknown_choice_is_refused(config, tmp_path, key, value, message):
    setattr(config.corpus, key, value)
    with pytest.raises(ValueError, match=message):
        prepare(config, tmp_path / "cache", progress=False)


def test_split_without_any_usable_utterance_is_refused(config, tmp_path):
    config.corpus.on_bad = "skip"
    (tmp_path / "test-clean.jsonl").write_text("")
    add(tmp_path, "test-clean", "gone.wav", "a lamp")
    with pytest.raises(ValueError, match=r"no usable utterance for manifest-test-clean.*: 1 missing file"):
        prepare(config, tmp_path / "cache", progress=False)


def test_worker_processes_give_the_features_of_this_process(config, tmp_path, monkeypatch):
    alone = prepare(config, tmp_path / "alone", progress=False)
    monkeypatch.setattr(extraction, "ALONE", 0)
    together = prepare(config, tmp_path / "together", progress=False)
    for split in SPLITS:
        assert together.splits[split].ids == alone.splits[split].ids
        assert all(torch.equal(together.splits[split][place], alone.splits[split][place]) for place in range(4))


def test_synthetic_speech_is_prepared_by_default(tmp_path):
    config = Config()
    config.corpus.train_utterances, config.corpus.dev_utterances, config.corpus.test_utterances = 40, 5, 5
    config.tokenizer.kind, config.model.subsampling = "characters", 2
    corpus = prepare(config, tmp_path, progress=False)
    assert {split: len(store) for split, store in corpus.splits.items()} == {
        "train": 40, "dev-clean": 5, "dev-other": 5, "test-clean": 5, "test-other": 5,
    }  # fmt: skip
    assert len(set(corpus.splits["train"].speakers)) > 20
    assert 1.5 < np.mean(corpus.splits["train"].seconds) < 2.6


def test_phones_stand_for_the_words_of_any_corpus(config, tmp_path, monkeypatch):
    config.corpus.targets, config.tokenizer.kind = "phones", "words"
    corpus = prepare(config, tmp_path / "cache", progress=False)
    phones = corpus.splits["test-clean"].texts
    assert phones[1] == "t uː b əʊ t s"
    assert corpus.tokenizer.decode(corpus.tokenizer.encode(phones[0])) == phones[0]
    monkeypatch.setattr(phone_targets, "phonemize", None)
    assert prepare(config, tmp_path / "cache", progress=False).splits["test-clean"].texts == phones


def test_waveforms_come_back_sample_by_sample(config, tmp_path):
    config.features.kind = "waveform"
    store = prepare(config, tmp_path / "cache", progress=False).splits["train"]
    expected, _ = soundfile.read(tmp_path / "train0.wav", dtype="float32")
    assert store[0].shape == (24000, 1)
    assert torch.equal(store[0][:, 0], torch.from_numpy(expected))


def test_few_labels_know_the_letters_of_all_splits_but_all_labels_only_their_own(config, tmp_path):
    speak(tmp_path / "odd.wav", 1.5, 9)
    add(tmp_path, "test-clean", "odd.wav", "a zebra")
    with pytest.raises(ValueError, match="token outside the vocabulary"):
        prepare(config, tmp_path / "cache", progress=False)
    config.corpus.labels = "1h"
    corpus = prepare(config, tmp_path / "cache", progress=False)
    assert corpus.splits["train"].texts == WORDS[:1]
    assert corpus.splits["test-clean"].texts[-1] == "a zebra"


def test_languages_trained_together_are_tested_apart(config, tmp_path, monkeypatch):
    seen = []

    def phonemize(language, texts):
        seen.append((language, len(texts)))
        return [f"{language} {len(text)}" for text in texts]

    monkeypatch.setattr(phone_targets, "phonemize", phonemize)
    config.corpus.targets, config.corpus.language, config.corpus.joint = "phones", "nl", "fr+nl"
    config.tokenizer.kind = "words"
    corpus = prepare(config, tmp_path / "cache", progress=False)
    assert corpus.splits["train"].texts == [f"{name} {len(text)}" for name in ("fr", "nl") for text in WORDS]
    assert corpus.splits["test-clean"].texts == [f"nl {len(text)}" for text in WORDS]
    assert torch.equal(corpus.splits["train"][5], corpus.splits["train"][1])
    assert len(corpus.splits["train"]) == 8


def test_pretraining_hears_all_its_languages_and_no_text(config, tmp_path):
    config.pretraining.corpus, config.pretraining.root = "manifest", str(tmp_path)
    config.pretraining.languages = "en+nl"
    corpus = prepare_unlabelled(config, tmp_path / "cache", progress=False)
    assert len(corpus.splits["train"]) == 8
    assert corpus.splits.keys() == {"train"}
    assert corpus.tokenizer.encode("a red lamp") == []
    assert corpus.tokenizer.size == 1
