from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance
from prune_bench.data.corpora.librispeech import LibriSpeech


def write_chapter(root: Path, subset: str, speaker: int, chapter: int, texts: list[str]) -> Path:
    folder = root / "LibriSpeech" / subset / str(speaker) / str(chapter)
    folder.mkdir(parents=True)
    names = [f"{speaker}-{chapter}-{number:04d}" for number in range(len(texts))]
    for number, name in enumerate(names):
        soundfile.write(folder / f"{name}.flac", np.full(1600 * (number + 1), 0.1), 16000)
    lines = [f"{name} {text}" for name, text in zip(names, texts, strict=True)]
    (folder / f"{speaker}-{chapter}.trans.txt").write_text("\n".join(lines))
    return folder


def read(config: CorpusConfig, split: str):
    source = LibriSpeech(config, FeatureConfig())
    return [load() for part in source.parts(split) for load in source.read(part)]


@pytest.fixture
def config(tmp_path) -> CorpusConfig:
    write_chapter(tmp_path, "train-clean-100", 19, 198, ["HE WAITED", "SHE DID NOT"])
    write_chapter(tmp_path, "train-clean-360", 20, 205, ["A LAMP"])
    train = "train-clean-100+train-clean-360"
    return CorpusConfig(name="librispeech", root=str(tmp_path), train=train)


def test_subsets_join_and_keep_text_speaker_and_audio(config):
    items = read(config, "train")
    assert [(item.id, item.text, item.speaker) for item, _ in items] == [
        ("19-198-0000", "HE WAITED", "19"), ("19-198-0001", "SHE DID NOT", "19"), ("20-205-0000", "A LAMP", "20"),
    ]  # fmt: skip
    assert [len(samples) for _, samples in items] == [1600, 3200, 1600]


def test_utterance_without_transcript_is_bad_and_named(config):
    folder = Path(config.root) / "LibriSpeech/train-clean-100/19/198"
    (folder / "19-198.trans.txt").write_text("19-198-0000 HE WAITED\n")
    with pytest.raises(BadUtterance, match="19-198-0001: no transcript") as caught:
        read(config, "train")
    assert caught.value.reason == "missing transcript"
    (folder / "19-198.trans.txt").write_text("19-198-0000\n")
    with pytest.raises(BadUtterance, match="19-198-0000: no transcript"):
        read(config, "train")


def test_a_transcript_without_audio_is_bad_and_named(config):
    folder = Path(config.root) / "LibriSpeech/train-clean-100/19/198"
    (folder / "19-198-0000.flac").unlink()
    with pytest.raises(BadUtterance, match=r"19-198-0000\.flac: no such file") as caught:
        read(config, "train")
    assert caught.value.reason == "missing file"


def test_what_is_there_now_is_listed(config):
    source = LibriSpeech(config, FeatureConfig())
    before = source.fingerprint("train")
    write_chapter(Path(config.root), "train-clean-100", 19, 199, ["MORE"])
    assert len(source.fingerprint("train")) == len(before) + 1
    assert source.files("train")[2].name == "19-199-0000.flac"
    (Path(config.root) / "LibriSpeech/train-clean-100/19/199/19-199.trans.txt").write_bytes(b"19-199-0000 \xe4\n")
    with pytest.raises(ValueError, match=r"19-199\.trans\.txt: not UTF-8 \(.*\): convert the file"):
        source.fingerprint("train")


def test_absent_or_unknown_subset_is_refused_with_the_remedy(config):
    with pytest.raises(ValueError, match=r"holds no LibriSpeech/dev-clean; set corpus\.root .*corpus\.download=true"):
        read(config, "dev-clean")
    config.train = "train-clean"
    with pytest.raises(ValueError, match="no subset 'train-clean'; choose from train-clean-100"):
        read(config, "train")


def test_download_asks_torchaudio_for_the_subset(tmp_path, monkeypatch):
    def download(root, url):
        write_chapter(Path(root), url, 1, 2, ["HELLO"])

    monkeypatch.setattr("torchaudio.datasets.librispeech._download_librispeech", download)
    config = CorpusConfig(name="librispeech", root=str(tmp_path / "new"), download=True)
    assert [item.text for item, _ in read(config, "test-other")] == ["HELLO"]


def test_small_labelled_sets_are_nested_and_have_their_own_folder(tmp_path):
    for folder, speaker in (("1h/0/clean", 1), ("1h/1/other", 2), ("9h/clean", 3)):
        chapter = write_chapter(tmp_path, "x", speaker, 5, [f"HELLO {speaker}"])
        target = tmp_path / "librispeech_finetuning" / folder / str(speaker)
        target.mkdir(parents=True)
        chapter.rename(target / "5")
    texts = {}
    for labels in ("10min", "1h", "10h"):
        config = CorpusConfig(name="librispeech", root=str(tmp_path), labels=labels)
        texts[labels] = [(item.text, len(samples)) for item, samples in read(config, "train")]
    expected = [("HELLO 1", 1600), ("HELLO 2", 1600), ("HELLO 3", 1600)]
    assert texts == {"10min": expected[:1], "1h": expected[:2], "10h": expected}
    with pytest.raises(ValueError, match="holds no librispeech_finetuning"):
        read(CorpusConfig(name="librispeech", root=str(tmp_path / "x"), labels="1h"), "train")


def test_published_files_are_read():
    folder = Path(os.environ.get("PRUNE_BENCH_DATA", "nowhere")) / "librispeech-sample"
    if not folder.is_dir():
        pytest.skip("set PRUNE_BENCH_DATA to a folder that holds librispeech-sample/")
    items = read(CorpusConfig(name="librispeech", root=str(folder)), "test-clean")
    assert len(items) == 4
    assert items[2][0].text == "HE COULD WAIT NO LONGER"
    assert all(1 < len(samples) / 16000 < 35 for _, samples in items)
