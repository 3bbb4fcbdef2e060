from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from prune_bench.data.store import FeatureStore, describe, join, merge, write_store
from prune_bench.files import cached_folder

LIKE = np.zeros((0, 3), np.float16)


def block(first: int, lengths: list[int], skipped: dict[str, int] | None = None):
    features = np.concatenate([np.full((length, 3), first + place, np.float16) for place, length in enumerate(lengths)])
    rows = [
        {"id": f"u{first + place}", "text": f"text {first + place}", "speaker": "s", "frames": length, "seconds": 0.1}
        for place, length in enumerate(lengths)
    ]
    return features, rows, skipped or {}


def build(path: Path) -> None:
    with cached_folder(path) as folder:
        assert folder is not None
        write_store(folder, [block(0, [2, 5], {"not mono": 1}), block(2, [4], {"not mono": 1, "empty audio": 2})], LIKE)


def test_features_and_index_come_back(tmp_path):
    build(tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store")
    assert len(store) == 3
    assert store.lengths.tolist() == [2, 5, 4]
    assert store.texts == ["text 0", "text 1", "text 2"]
    assert all(
        torch.equal(store[place], torch.full((length, 3), float(place))) for place, length in enumerate([2, 5, 4])
    )
    assert store.skipped == {"empty audio": 2, "not mono": 2}


def test_selection_keeps_text_and_features_together(tmp_path):
    build(tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store").select([2, 0], {"not mono": 5})
    assert store.ids == ["u2", "u0"]
    assert store[0].shape == (4, 3)
    assert store[0][0, 0].item() == 2
    assert store.skipped == {"not mono": 5}


def test_failure_leaves_nothing_that_opens_and_the_next_try_succeeds(tmp_path):
    def fail():
        yield block(0, [2])
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), cached_folder(tmp_path / "store") as folder:
        write_store(folder, fail(), LIKE)
    assert not (tmp_path / "store").exists()
    build(tmp_path / "store")
    assert len(FeatureStore.open(tmp_path / "store")) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"store", "store.lock"}


def test_existing_folder_is_not_made_again(tmp_path):
    build(tmp_path / "store")
    with cached_folder(tmp_path / "store") as folder:
        assert folder is None


def test_store_without_utterances_is_refused_with_counts(tmp_path):
    empty = (np.zeros((0, 3), np.float16), [], {"not mono": 2})
    with (
        pytest.raises(ValueError, match=r"no usable utterance for .*: 2 not mono"),
        cached_folder(tmp_path / "store") as folder,
    ):
        write_store(folder, [empty], LIKE)


def build_and_tell(path: Path, built: multiprocessing.Queue) -> None:
    with cached_folder(path) as folder:
        if folder is not None:
            time.sleep(0.2)
            write_store(folder, [block(0, [2])], LIKE)
        built.put(folder is not None)


def test_of_several_processes_one_builds_and_the_others_wait(tmp_path):
    context = multiprocessing.get_context("fork")
    built: multiprocessing.Queue = context.Queue()
    processes = [context.Process(target=build_and_tell, args=(tmp_path / "store", built)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sorted(built.get(timeout=30) for _ in processes) == [False, False, True]
    for process in processes:
        process.join()
    assert len(FeatureStore.open(tmp_path / "store")) == 1


def test_counts_add_up_and_read_as_words():
    counts = merge({"not mono": 1}, {"empty audio": 2, "not mono": 1})
    assert describe(counts) == "2 empty audio, 2 not mono"


def test_samples_are_read_as_fractions_of_full_scale(tmp_path):
    samples = np.array([[-(2**15)], [0], [2**14]], np.int16)
    rows = [{"id": "u", "text": "a", "speaker": "s", "frames": 3, "seconds": 0.1}]
    with cached_folder(tmp_path / "store") as folder:
        write_store(folder, [(samples, rows, {})], samples)
    assert FeatureStore.open(tmp_path / "store")[0].flatten().tolist() == [-1.0, 0.0, 0.5]


def test_joined_stores_keep_each_utterance_s_features(tmp_path):
    build(tmp_path / "one")
    with cached_folder(tmp_path / "two") as folder:
        write_store(folder, [block(7, [3, 2], {"not mono": 1})], LIKE)
    first, second = (FeatureStore.open(tmp_path / name) for name in ("one", "two"))
    joined = join([first, second, first])
    assert joined.ids == [*first.ids, *second.ids, *first.ids]
    assert joined.lengths.tolist() == [2, 5, 4, 3, 2, 2, 5, 4]
    for place, value in enumerate([0, 1, 2, 7, 8, 0, 1, 2]):
        assert torch.equal(joined[place], torch.full((int(joined.lengths[place]), 3), float(value)))
    assert joined.skipped == {"empty audio": 4, "not mono": 5}
    picked = joined.select([4, 1], {})
    assert [picked[place][0, 0].item() for place in (0, 1)] == [8, 1]
