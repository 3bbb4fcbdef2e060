from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch

from prune_bench.data.batches import Batch, BatchStream, Examples, evaluation_batches
from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Characters

FRAMES = 600


def make_store(lengths: np.ndarray) -> FeatureStore:
    """A store whose features tell the utterance and the frame."""
    features = np.concatenate([np.stack([np.full(n, i), np.arange(n)], axis=1) for i, n in enumerate(lengths)])
    texts = ["ab" * (1 + place % 3) for place in range(len(lengths))]
    names = [f"u{place}" for place in range(len(lengths))]
    starts = np.cumsum(lengths) - lengths
    return FeatureStore(
        (features.astype(np.float16),), np.zeros_like(starts), starts, lengths, names, texts, names, lengths / 100, {}
    )


@pytest.fixture
def store() -> FeatureStore:
    return make_store(np.random.default_rng(0).integers(20, 200, 150))


def batches_of(store: FeatureStore, count: int, **options) -> list[list[int]]:
    return list(islice(BatchStream(store.lengths, FRAMES, seed=3, **options), count))


def test_collation_pads_with_zeros_and_keeps_lengths(store):
    batch = Examples(store, Characters("ab")).__getitems__([4, 7])
    assert isinstance(batch, Batch)
    assert batch.lengths.tolist() == store.lengths[[4, 7]].tolist()
    assert batch.features.dtype == torch.float32
    assert batch.features.shape == (2, batch.lengths.max(), 2)
    for row, index in enumerate([4, 7]):
        assert (batch.features[row, : batch.lengths[row], 0] == index).all()
        assert (batch.features[row, batch.lengths[row] :] == 0).all()
    assert batch.target_lengths.tolist() == [4, 4]
    assert batch.targets.tolist() == [[1, 2, 1, 2]] * 2
    assert batch.indices.tolist() == [4, 7]


def test_one_pass_holds_every_utterance_once_in_full_batches_of_similar_length(store):
    batches = BatchStream(store.lengths, FRAMES, seed=3).epoch(0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(150))
    padded = [len(batch) * store.lengths[batch].max() for batch in batches]
    assert max(padded) <= FRAMES
    assert np.median(padded) > 0.75 * FRAMES
    assert store.lengths.sum() / sum(padded) > 0.85


def test_an_utterance_longer_than_a_batch_stands_alone():
    store = make_store(np.array([50, 5000, 60]))
    assert sorted(map(len, BatchStream(store.lengths, FRAMES, seed=0).epoch(0))) == [1, 2]


def test_order_changes_with_epoch_and_seed_alone(store):
    stream = BatchStream(store.lengths, FRAMES, seed=3)
    assert [batch.tolist() for batch in stream.epoch(1)] == [batch.tolist() for batch in stream.epoch(1)]
    first, second = ([batch.tolist() for batch in stream.epoch(number)] for number in (0, 1))
    assert first != second
    assert [batch.tolist() for batch in BatchStream(store.lengths, FRAMES, seed=4).epoch(0)] != first


@pytest.mark.parametrize("start", [0, 1, 7, 29, 60, 95])
def test_stream_may_start_at_any_batch_of_any_pass(store, start):
    whole = batches_of(store, 100)
    assert batches_of(store, 100 - start, start=lambda: start) == whole[start:]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_each_batch_without_overlap(store, processes):
    whole = batches_of(store, 60)
    shares = [batches_of(store, 60, rank=rank, processes=processes) for rank in range(processes)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert all(parts)
        if len(batch) >= processes:
            assert sorted(index for part in parts for index in part) == sorted(batch)


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_meets_every_utterance_once_longest_first(store, processes):
    shares = [list(evaluation_batches(store, FRAMES, None, rank, processes)) for rank in range(processes)]
    batches = [batch for share in shares for batch in share]
    assert sorted(index for batch in batches for index in batch.indices.tolist()) == list(range(150))
    lengths = [length for batch in shares[0] for length in batch.lengths.tolist()]
    assert lengths == sorted(lengths, reverse=True)
    assert max(batch.lengths.max() * len(batch.lengths) for batch in batches) <= FRAMES
    assert batches[0].targets.shape == (len(batches[0].indices), 0)


def test_batches_leave_the_global_random_numbers_alone(store):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    next(iter(evaluation_batches(store, FRAMES, Characters("ab"))))
    assert torch.equal(torch.rand(3), expected)
