from __future__ import annotations

import hashlib
import json
import os

import pytest

from prune_bench.data import digests
from prune_bench.data.digests import file_digests

LONG_AGO = 1_000_000_000


@pytest.fixture
def file(tmp_path):
    """A file that was last changed long ago."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def reads(monkeypatch):
    """The files that were read."""
    found, read = [], digests.digest_of
    monkeypatch.setattr(digests, "digest_of", lambda name: found.append(name) or read(name))
    return found


def test_a_digest_is_of_the_bytes_and_follows_the_order_of_the_paths(file, tmp_path):
    other = tmp_path / "b.wav"
    other.write_bytes(b"two")
    expected = [hashlib.sha256(content).hexdigest()[:32] for content in (b"two", b"one", b"two")]
    assert file_digests([other, file, other], tmp_path / "cache.json") == expected


def test_a_file_is_read_again_only_if_its_size_or_time_changed(file, tmp_path, reads):
    cache = tmp_path / "deep" / "cache.json"
    first = file_digests([file], cache)
    assert file_digests([file], cache) == first
    assert reads == [str(file)]
    os.utime(file, ns=(LONG_AGO, LONG_AGO + 1))
    assert file_digests([file], cache) == first
    assert len(reads) == 2
    file.write_bytes(b"more")
    os.utime(file, ns=(LONG_AGO, LONG_AGO + 1))
    assert file_digests([file], cache) != first
    assert len(reads) == 3


def test_a_file_that_has_just_changed_is_not_trusted_to_show_the_next_change(tmp_path, reads):
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    state = path.stat().st_mtime_ns
    first = file_digests([path], tmp_path / "cache.json")
    path.write_bytes(b"two")
    os.utime(path, ns=(state, state))
    assert file_digests([path], tmp_path / "cache.json") != first


def test_what_cannot_be_read_has_no_digest_and_is_tried_again(file, tmp_path, reads):
    gone = tmp_path / "gone.wav"
    assert file_digests([gone, tmp_path, file], tmp_path / "cache.json")[:2] == ["", ""]
    os.link(file, gone)
    assert file_digests([gone], tmp_path / "cache.json") == file_digests([file], tmp_path / "cache.json") != [""]


def test_the_cache_keeps_what_is_read_so_far_and_what_others_add(file, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "UNSAVED", 1)
    cache, known = tmp_path / "cache.json", {"/elsewhere": [1, 2, "ab"]}
    cache.write_text(json.dumps(known))
    monkeypatch.setattr(digests, "read_files", broken)
    second = tmp_path / "b.wav"
    os.link(file, second)
    with pytest.raises(KeyboardInterrupt):
        file_digests([file, second], cache)
    assert json.loads(cache.read_text()) == {**known, str(file): [3, LONG_AGO, "ff"]}


def broken(names):
    yield "ff"
    raise KeyboardInterrupt


def test_a_damaged_cache_is_named(file, tmp_path):
    (tmp_path / "cache.json").write_text("{")
    with pytest.raises(ValueError, match=r"cache\.json: not readable \(.*\): delete it"):
        file_digests([file], tmp_path / "cache.json")
