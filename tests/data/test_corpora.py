"""Every corpus' record, and a corpus of another's with splits of its own."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from prune_bench.choices import FOR_ALL
from prune_bench.config import CorpusConfig
from prune_bench.data import prepare
from prune_bench.data.corpora import CORPORA, CorpusSpec, Utterance
from prune_bench.families import preset
from prune_bench.overrides import override

KEYS = {*vars(CorpusConfig())} - {*FOR_ALL, "options", "content"}


class Beeps:
    """A tone an utterance, longer the longer its text is."""

    def __init__(self, config, features):
        self.rate = features.sample_rate

    def fingerprint(self, split):
        return split

    def files(self, split):
        return ()

    def parts(self, split):
        return [[Utterance(f"{split}-{n}", "ab" * (n + 1), "beep", split) for n in range(3)]]

    def read(self, part):
        return (partial(self.load, utterance) for utterance in part)

    def load(self, utterance):
        return utterance, torch.sin(torch.arange(len(utterance.text) * self.rate // 4) / 3)


@pytest.fixture
def beeps(monkeypatch):
    """A corpus that a plugin adds."""
    monkeypatch.setattr(CORPORA, "_records", dict(CORPORA._records))
    CORPORA.add(CorpusSpec(name="beeps", source=Beeps, options=(), splits=("train", "dev", "test"), languages=("x",)))


@pytest.mark.parametrize("spec", list(CORPORA), ids=lambda spec: spec.name)
def test_a_record_reads_keys_that_there_are(spec):
    assert CORPORA.find(spec.name) is spec
    assert set(spec.options) <= KEYS
    assert spec.splits[0] == "train"
    assert all(split.startswith(("dev", "test")) for split in spec.splits[1:])


def test_every_key_is_read_by_a_corpus():
    assert {key for spec in CORPORA for key in spec.options} == KEYS


def test_a_key_that_a_corpus_does_not_read_is_refused():
    with pytest.raises(ValueError, match=r"corpus\.train_utterances: corpus\.name=librispeech does not read it"):
        override(preset("smoke"), {"corpus.name": "librispeech", "corpus.train_utterances": 7})
    config = override(preset("smoke"), {"corpus.name": "fsdd", "corpus.root": "/data", "corpus.language": "en"})
    assert config.corpus.train_utterances == preset("smoke").corpus.train_utterances


@pytest.mark.parametrize(("name", "key"), [("fsdd", "language"), ("librispeech", "joint")])
def test_a_language_that_a_corpus_does_not_have_is_refused(name, key):
    with pytest.raises(ValueError, match=f"corpus.language=nl: {name} has en alone"):
        override(preset("smoke"), {"corpus.name": name, f"corpus.{key}": "nl"})


def test_a_corpus_of_another_has_its_own_splits(beeps, tmp_path):
    config = override(preset("smoke"), {"corpus.name": "beeps", "corpus.language": "x", "tokenizer.kind": "characters"})
    corpus = prepare(config, tmp_path, progress=False)
    assert list(corpus.splits) == ["train", "dev", "test"]
    assert list(corpus.judged) == ["dev", "test"]
    assert corpus.splits["test"].texts == ["ab", "abab", "ababab"]
    assert corpus.kind("dev") == {"dev": corpus.splits["dev"]}
