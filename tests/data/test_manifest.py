from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance
from prune_bench.data.corpora.manifest import Manifest

RATES = {"a.wav": 8000, "b.flac": 44100, "c.ogg": 16000, "d.mp3": 24000}


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "audio").mkdir()
    for name, rate in RATES.items():
        soundfile.write(tmp_path / "audio" / name, 0.1 * np.ones(rate), rate)
    return tmp_path


def write(path: Path, entries: list) -> None:
    path.write_text("\n".join(json.dumps(entry) for entry in entries) + "\n\n")


def read(root: Path, split: str = "train", **config):
    source = Manifest(CorpusConfig(name="manifest", root=str(root), **config), FeatureConfig())
    return [load() for part in source.parts(split) for load in source.read(part)]


def test_every_format_and_rate_by_relative_path(root):
    write(root / "train.jsonl", [{"audio_filepath": f"audio/{name}", "text": name} for name in RATES])
    items = read(root)
    assert [item.text for item, _ in items] == list(RATES)
    assert [len(samples) for _, samples in items] == pytest.approx([16000] * 4, abs=2500)
    assert items[1][0].id == "train.jsonl:2"


def test_one_file_holds_all_splits_by_name(root):
    entries = [
        {"audio_filepath": str(root / "audio/a.wav"), "text": "one", "split": "fit", "speaker": "ann"},
        {"audio_filepath": "audio/a.wav", "text": "two", "split": "test-clean", "offset": 0.25, "duration": 0.5},
        {"audio_filepath": "audio/a.wav", "text": "three", "split": "more"},
    ]
    write(root / "all.json", entries)
    items = read(root / "all.json", train="fit+more")
    assert [(item.text, item.speaker, item.split) for item, _ in items] == [
        ("one", "ann", "train"),
        ("three", "", "train"),
    ]
    ((item, samples),) = read(root / "all.json", "test-clean")
    assert (item.line, item.start, item.duration, len(samples)) == (2, 0.25, 0.5, 8000)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"audio_filepath": "audio/gone.wav", "text": "x"}, "missing file"),
        ({"audio_filepath": "audio/a.wav", "text": "x", "duration": 3.0}, "segment beyond its file"),
        ({"audio_filepath": "audio/a.wav"}, "no text"),
        ({"text": "x"}, "no audio_filepath"),
        ({"audio_filepath": "audio/a.wav", "text": "x", "duration": "long"}, "bad number"),
    ],
)
def test_bad_line_is_named_by_file_and_number(root, entry, reason):
    write(root / "train.jsonl", [{"audio_filepath": "audio/a.wav", "text": "fine"}, entry])
    with pytest.raises(BadUtterance) as caught:
        read(root)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"{root}/train.jsonl:2: ")
    assert "; " in str(caught.value)


@pytest.mark.parametrize(("line", "message"), [("{broken", "1: not JSON"), ("[1, 2]", "1: not a JSON object")])
def test_line_that_is_no_object_is_refused(root, line, message):
    (root / "train.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        read(root)


def test_absent_manifest_is_refused_by_path_and_key(root):
    with pytest.raises(ValueError, match=r"dev-other\.jsonl: no such manifest; .*corpus\.dev_other"):
        read(root, "dev-other")


def test_fingerprint_follows_the_content(root):
    write(root / "train.jsonl", [{"audio_filepath": "audio/a.wav", "text": "fine"}])
    source = Manifest(CorpusConfig(root=str(root)), FeatureConfig())
    before = source.fingerprint("train")
    assert source.fingerprint("train") == before
    write(root / "train.jsonl", [{"audio_filepath": "audio/b.wav", "text": "fine"}])
    assert source.fingerprint("train") == before
    assert source.files("train") == [root / "audio/b.wav"]
    write(root / "train.jsonl", [{"audio_filepath": "audio/a.wav", "text": "better"}])
    assert source.fingerprint("train") != before


def test_folders_are_named_by_their_language(root):
    for language in ("de", "eo"):
        (root / language).mkdir()
        write(root / language / "train.jsonl", [{"audio_filepath": "../audio/a.wav", "text": f"in {language}"}])
    texts = [item.text for language in ("de", "eo") for item, _ in read(root / "{language}", language=language)]
    assert texts == ["in de", "in eo"]
