from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from prune_bench.data import grammar
from prune_bench.data.grammar import MAX_WORDS, SPLIT_SHARES, Grammar, owner, plural, sentences


@pytest.fixture(scope="module")
def training() -> list[str]:
    return list(sentences("train", 3000, seed=0))


def test_sentences_are_short_different_and_of_plain_letters(training):
    assert len(set(training)) == len(training)
    assert max(len(text.split()) for text in training) <= MAX_WORDS
    assert set("".join(training)) == set("abcdefghijklmnopqrstuvwxyz ")


def test_no_sentence_is_in_two_splits(training):
    splits = {split: set(sentences(split, 300, seed=0)) for split in SPLIT_SHARES} | {"train": set(training)}
    assert all(owner(text) == split for split, texts in splits.items() for text in texts)
    assert len(set().union(*splits.values())) == sum(map(len, splits.values()))


def test_text_follows_the_seed_and_a_larger_corpus_continues_a_smaller(training):
    assert list(sentences("train", 50, seed=0)) == training[:50]
    assert list(sentences("train", 50, seed=1)) != training[:50]


def test_vocabulary_is_of_the_intended_size_and_covered(training):
    vocabulary = Grammar().vocabulary
    trained = {word for text in training for word in text.split()}
    assert 900 <= len(vocabulary) <= 1200
    assert trained - vocabulary <= {"an"}
    unseen = [word not in trained for text in sentences("test-clean", 300, seed=0) for word in text.split()]
    assert np.mean(unseen) < 0.01


def test_word_frequencies_fall_like_a_power_of_the_rank():
    nouns = Counter(grammar.zipf(100).searchsorted(np.random.default_rng(0).random(200_000), side="right").tolist())
    assert nouns[0] / nouns[17] == pytest.approx((17 / grammar.SHIFT + 1) ** grammar.EXPONENT, rel=0.1)
    assert set(nouns) == set(range(100))


def test_spelling_of_inflected_words():
    assert [plural(noun) for noun in ("key", "trophy", "bench", "potato", "compass", "cup")] == [
        "keys", "trophies", "benches", "potatoes", "compasses", "cups",
    ]  # fmt: skip
    assert [grammar.past(verb) for verb in ("carry", "move", "walk", "play")] == [
        "carried",
        "moved",
        "walked",
        "played",
    ]
    assert [grammar.progressive(verb) for verb in ("carry", "move", "walk")] == ["carrying", "moving", "walking"]
    assert grammar.articles("a owl saw a cat".split()) == "an owl saw a cat".split()
