from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from prune_bench.data.synthesizer import Request, synthesize, unpack

REQUESTS = [
    Request("the old clock is quiet", 45, 170),
    Request("two boats", 60, 200),
    Request("the old clock", 45, 170),
]


@pytest.fixture(scope="module")
def spoken() -> tuple[int, list[bytes]]:
    return synthesize("en-us+f2", 7, REQUESTS)


def test_speech_is_equal_to_the_bit_in_another_process(spoken):
    again = synthesize("en-us+f2", 7, REQUESTS)
    digests = [hashlib.sha256(b"".join(blocks)).hexdigest() for _, blocks in (spoken, again)]
    assert digests[0] == digests[1]


def test_each_request_gives_its_own_sound(spoken):
    rate, blocks = spoken
    assert rate == 22050
    seconds = [len(block) / 2 / rate for block in blocks]
    assert 0.9 < seconds[0] < 3.0
    assert seconds[1] < seconds[2] < seconds[0]
    assert all(np.abs(np.frombuffer(block, "<i2").astype(float)).max() > 1000 for block in blocks)


def test_voice_pitch_and_rate_change_the_sound(spoken):
    _, (other,) = synthesize("en+m3", 7, REQUESTS[:1])
    _, (slow,) = synthesize("en-us+f2", 7, [Request(REQUESTS[0].text, 45, 120)])
    assert other != spoken[1][0]
    assert len(slow) > 1.2 * len(spoken[1][0])


def test_unknown_variant_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r"en-us\+nosuch.*no variant 'nosuch'"):
        synthesize("en-us+nosuch", 1, REQUESTS)


def test_failure_of_the_engine_is_one_line_with_its_status():
    with pytest.raises(RuntimeError, match=r"en-us.*: no sound for 'ship'$"):
        synthesize("en-us", 1, [Request("ship", 50, 100_000)])


def test_unknown_language_is_refused_with_the_key():
    with pytest.raises(ValueError, match=r"^voice 'xx\+f2': eSpeak NG has no such language; correct corpus\.language$"):
        synthesize("xx+f2", 1, REQUESTS)


def test_stream_of_samples_is_split_by_counts():
    stream = struct.pack("<i", 8000) + struct.pack("<ihh", 2, 5, -5) + struct.pack("<ih", 1, 9)
    assert unpack(stream) == (8000, [struct.pack("<hh", 5, -5), struct.pack("<h", 9)])
