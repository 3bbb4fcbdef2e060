from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.data.audio import BadUtterance
from prune_bench.data.corpora.commonvoice import CommonVoice

HEADER = "client_id\tpath\tsentence\tup_votes"


@pytest.fixture
def config(tmp_path) -> CorpusConfig:
    folder = tmp_path / "sv-SE"
    (folder / "clips").mkdir(parents=True)
    for number in range(3):
        soundfile.write(folder / "clips" / f"cv_{number}.mp3", 0.1 * np.ones(16000), 16000)
    (folder / "train.tsv").write_text(f"{HEADER}\nanna\tcv_0.mp3\tHej d\u00e5!\t2\nbo\tcv_1\tJa.\t2\n")
    (folder / "test.tsv").write_text(f"{HEADER}\ncia\tcv_2.mp3\tNej.\t2\n")
    return CorpusConfig(name="commonvoice", root=str(tmp_path), language="sv")


def read(config, split):
    source = CommonVoice(config, FeatureConfig())
    return [load() for part in source.parts(split) for load in source.read(part)]


def test_lists_give_text_speaker_and_audio(config):
    found = [(item.id, item.text, item.speaker, item.line) for item, _ in read(config, "train")]
    assert found == [("cv_0", "Hej d\u00e5!", "anna", 2), ("cv_1", "Ja.", "bo", 3)]
    assert all(abs(len(samples) - 16000) < 3000 for _, samples in read(config, "train"))


def test_a_list_is_taken_whole_whatever_the_amount_of_labels(config):
    assert len(read(replace(config, labels="10min"), "train")) == 2


def test_both_test_sets_are_the_one_there_is(config):
    assert [item.text for split in ("test-clean", "test-other") for item, _ in read(config, split)] == ["Nej.", "Nej."]


def test_a_missing_list_is_named_with_the_remedy(config):
    with pytest.raises(ValueError, match=r"sv-SE/dev\.tsv: no such list; set corpus\.root"):
        read(config, "dev-clean")


def test_a_rewritten_list_changes_the_fingerprint(config, tmp_path):
    source = CommonVoice(config, FeatureConfig())
    assert [path.name for path in source.files("train")] == ["cv_0.mp3", "cv_1.mp3"]
    (tmp_path / "sv-SE" / "train.tsv").write_text(f"{HEADER}\nanna\tcv_0.mp3\tHej!\t2\n")
    rewritten = CommonVoice(config, FeatureConfig())
    assert rewritten.fingerprint("train") == [["cv_0.mp3", "Hej!", "anna"]] != source.fingerprint("train")


def test_an_incomplete_line_is_named(config, tmp_path):
    (tmp_path / "sv-SE" / "train.tsv").write_text(f"{HEADER}\nanna\tcv_0.mp3\t\t2\n")
    with pytest.raises(BadUtterance, match=r"train\.tsv:2: no sentence; correct or remove"):
        read(config, "train")
