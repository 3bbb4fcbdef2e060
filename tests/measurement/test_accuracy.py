from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Characters
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.measurement.accuracy import (
    bootstrap_interval,
    count_errors,
    equivalent,
    evaluate,
    paired_difference,
    pooled_difference,
    word_error_rate,
)
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer


@pytest.fixture
def corpus() -> tuple[np.ndarray, np.ndarray]:
    """Errors and words of 1,500 utterances at about 10 %."""
    rng = np.random.default_rng(7)
    words = rng.integers(3, 10, size=1500)
    return rng.binomial(words, 0.1), words


def test_counts_each_kind_of_edit():
    counts = count_errors(
        ["the cat sat", "one two three four", "a b", "", "x"],
        ["the cat sat", "one too three", "a c c b", "noise here", ""],
    )
    assert counts.words.tolist() == [3, 4, 2, 0, 1]
    assert counts.errors.tolist() == [0, 2, 2, 2, 1]
    assert counts.substitutions.tolist() == [0, 1, 0, 0, 0]
    assert counts.deletions.tolist() == [0, 1, 0, 0, 1]
    assert counts.insertions.tolist() == [0, 0, 2, 2, 0]


def test_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="2 references for 1 hypotheses"):
        count_errors(["a", "b"], ["a"])


def test_corpus_rate_is_not_the_mean_of_rates():
    assert word_error_rate([1, 0], [1, 9]) == 10.0
    with pytest.raises(ValueError, match="no reference words"):
        word_error_rate([2], [0])


def test_interval_matches_the_normal_approximation(corpus):
    errors, words = corpus
    rate = word_error_rate(errors, words)
    residuals = errors - rate / 100 * words
    half_width = 196 * np.sqrt((residuals**2).sum()) / words.sum()
    low, high = bootstrap_interval(errors, words, samples=4000)
    assert low < rate < high
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.08)


def test_interval_is_a_function_of_the_seed(corpus):
    assert bootstrap_interval(*corpus, seed=3) == bootstrap_interval(*corpus, seed=3)
    assert bootstrap_interval(*corpus, seed=3) != bootstrap_interval(*corpus, seed=4)


def test_interval_of_equal_utterances_has_no_width():
    assert bootstrap_interval([1, 1, 1], [4, 4, 4]) == (25.0, 25.0)


def test_pairing_sees_what_unpaired_intervals_hide(corpus):
    errors, words = corpus
    better = errors.copy()
    better[np.flatnonzero(errors)[:60]] -= 1
    low, _ = bootstrap_interval(errors, words)
    _, high = bootstrap_interval(better, words)
    assert low < high
    difference = paired_difference(errors, better, words)
    assert difference.mean == pytest.approx(100 * 60 / words.sum())
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p < 0.01


def test_difference_is_antisymmetric(corpus):
    errors, words = corpus
    other = np.roll(errors, 1)
    one, two = paired_difference(errors, other, words), paired_difference(other, errors, words)
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low))
    assert one.p == two.p


def test_equal_runs_differ_by_nothing(corpus):
    errors, words = corpus
    difference = paired_difference(errors, errors, words)
    assert (difference.mean, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)
    assert equivalent(difference, margin=0.5)


def test_equivalence_needs_the_whole_interval(corpus):
    errors, words = corpus
    difference = paired_difference(errors, np.roll(errors, 1), words)
    widest = max(-difference.low, difference.high)
    assert equivalent(difference, margin=widest * 1.01)
    assert not equivalent(difference, margin=widest * 0.99)


def test_pooling_one_seed_keeps_its_mean_and_interval(corpus):
    errors, words = corpus
    other = np.roll(errors, 5)
    assert pooled_difference([errors], [other], words) == paired_difference(errors, other, words)


def test_pooling_widens_where_seeds_disagree(corpus):
    errors, words = corpus
    gain = np.zeros_like(errors)
    gain[np.flatnonzero(errors)[:300]] = 1
    agree = pooled_difference([errors] * 3, [errors - gain] * 3, words)
    disagree = pooled_difference([errors] * 3, [errors - 3 * gain, errors + gain, errors - gain], words)
    assert agree.mean == pytest.approx(disagree.mean)
    assert agree.low > 0
    assert agree.p < 0.01
    assert disagree.low < 0
    assert disagree.p > 0.05


def test_pooling_refuses_other_splits(corpus):
    errors, words = corpus
    with pytest.raises(ValueError, match="compare on the same split"):
        pooled_difference([errors], [errors[:-1]], words)


ALPHABET = "ab "


@pytest.fixture(scope="module")
def model() -> Transducer:
    """A small random model that emits units on noise."""
    torch.manual_seed(1)
    encoder = ConformerArch.dense(mels=8, subsampling=4, width=16, heads=2, ffn=16, kernel=3, layers=1)
    model = Transducer(TransducerArch(encoder, len(ALPHABET) + 1, "stateless", 8, 1, 8))
    torch.nn.init.normal_(model.joiner.output.weight, std=2.0)
    return model.eval()


def make_store(texts: list[str]) -> FeatureStore:
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 90, size=len(texts))
    return FeatureStore(
        features=rng.normal(size=(lengths.sum(), 8)).astype(np.float16),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        ids=[str(number) for number in range(len(texts))],
        texts=texts,
        speakers=["one"] * len(texts),
        seconds=[length / 100 for length in lengths.tolist()],
        skipped={},
    )


@pytest.fixture(scope="module")
def spoken(model) -> list[str]:
    """What the model hears in each of the utterances that `make_store` gives, one by one."""
    store = make_store([""] * 12)
    tokenizer = Characters(ALPHABET)
    units = [decode_greedy(model, store[index][None], max_symbols=2)[0] for index in range(len(store))]
    return [tokenizer.decode(one) for one in units]


@pytest.mark.parametrize("batch_frames", [100, 1000])
def test_evaluation_meets_every_utterance_in_its_place(model, spoken, batch_frames):
    assert len(set(spoken)) > 6
    store = make_store([text + (" b" if number == 3 else "") for number, text in enumerate(spoken)])
    result = evaluate(model, store, Characters(ALPHABET), batch_frames, max_symbols=2)
    assert result["utterances"]["errors"] == [int(number == 3) for number in range(12)]
    assert result["utterances"]["words"] == [len(text.split()) for text in store.texts]
    assert (result["errors"], result["words"]) == (1, sum(result["utterances"]["words"]))
    assert result["wer"] == 100 / result["words"]
    assert result["low"] <= result["wer"] <= result["high"]


def test_evaluation_reports_progress_and_is_json(model, spoken):
    seen = []
    result = evaluate(
        model, make_store(spoken), Characters(ALPHABET), 200, 2, progress=lambda *counts: seen.append(counts)
    )
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert json.loads(json.dumps(result)) == result
