from __future__ import annotations

import pytest

from prune_bench.data.audio import BadUtterance
from prune_bench.data.corpora import Utterance
from prune_bench.data.texts import normalize


def utterance(text: str, line: int = 0) -> Utterance:
    return Utterance("list.jsonl:7", text, "ann", "train", line=line)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("HE COULD WAIT", "he could wait"),
        ("  Hello,\tworld! ", "hello world"),
        ("well-known; it's «fine»…", "well known it's fine"),
        ("it\u2019s", "it's"),
        ("stop [noise] now <unk>", "stop now"),
        ("Cafe\u0301 42", "caf\u00e9 42"),
    ],
)
def test_one_spelling(text, spelled):
    assert normalize(utterance(text)) == spelled


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty transcript"),
        (" \n", "empty transcript"),
        ("[noise]", "non-speech transcript"),
        ("...", "non-speech transcript"),
    ],
)
def test_nothing_spoken_is_bad_and_named(text, reason):
    with pytest.raises(BadUtterance, match=f"^list.jsonl:7: {reason}") as caught:
        normalize(utterance(text))
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
