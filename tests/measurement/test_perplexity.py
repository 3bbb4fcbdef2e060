"""Perplexities against sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from prune_bench.data.text import batches
from prune_bench.measurement.perplexity import frequent, measure_perplexity, perplexity, score_sentences
from tests.helpers.text import SENTENCES, WORDS, make_model, make_store


@torch.no_grad()
def nats_by_hand(model, text):
    tokens = [0, *WORDS.encode(text), 0]
    scores = model.eval()(torch.tensor([tokens[:-1]]))[0].log_softmax(-1)
    return -sum(float(scores[place, token]) for place, token in enumerate(tokens[1:]))


@pytest.mark.parametrize("size", [4, 8, 1000])
def test_each_sentence_gets_its_own_nats_whatever_the_batch(tmp_path, monkeypatch, size):
    monkeypatch.setattr(batches.text_evaluation, "__defaults__", (size, 0, 1))
    model, store = make_model(), make_store(tmp_path / "store")
    expected = [nats_by_hand(model, text) for text in SENTENCES]
    assert score_sentences(model, store).tolist() == pytest.approx(expected, rel=1e-4)


def test_an_even_model_is_as_perplexed_as_it_has_tokens(tmp_path):
    model, store = make_model(), make_store(tmp_path / "store")
    model.head.weight.data.zero_()
    found = measure_perplexity(model, store, {})
    assert found["units"] == pytest.approx(WORDS.size)
    assert found["low"] is found["high"] is None  # sentences that do not differ


def test_words_and_tokens_count_the_border_once_a_sentence(tmp_path):
    model, store = make_model(), make_store(tmp_path / "store")
    found = measure_perplexity(model, store, store.words)
    total = sum(nats_by_hand(model, text) for text in SENTENCES)
    count = sum(len(text.split()) + 1 for text in SENTENCES)
    assert found["units"] == found["words"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert found["low"] < found["units"] < found["high"]
    assert sum(found["sentences"]["units"]) == sum(found["sentences"]["words"]) == count


def test_progress_counts_sentences(tmp_path):
    seen = []
    score_sentences(make_model(), make_store(tmp_path / "store"), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(SENTENCES), len(SENTENCES))


def test_rare_words_make_a_sentence_rare():
    counts = {"the": 999, "lamp": 9}
    assert frequent(["the the", "the lamp", "zebra", ""], counts) == [3.0, 2.0, 0.0, 0.0]


def test_perplexity_is_of_sums_not_a_mean_of_ratios():
    assert perplexity([1.0, 9.0], [1, 4]) == pytest.approx(math.exp(2.0))
    assert perplexity(np.zeros(3), np.ones(3)) == 1.0
