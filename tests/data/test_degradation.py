from __future__ import annotations

import numpy as np
import pytest

from prune_bench.data.degradation import Condition, Conditions, coloured_noise, degrade, reverberate

RATE = 16000


def burst() -> np.ndarray:
    samples = np.zeros(RATE, np.float32)
    samples[:8000] = np.random.default_rng(5).standard_normal(8000) * 0.1
    return samples


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_has_the_asked_ratio(snr):
    speech = burst()
    mixed = degrade(speech, RATE, Condition((snr, snr)), np.random.default_rng(0))
    gain = np.dot(mixed, speech) / np.dot(speech, speech)
    noise = mixed / gain - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.5)
    assert np.abs(mixed).max() == pytest.approx(0.5)


def test_same_generator_state_gives_the_same_samples():
    condition = Condition((5.0, 20.0), (0.05, 0.25))
    first, second, other = (degrade(burst(), RATE, condition, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_reverberation_decays_after_the_sound_by_its_time():
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    echo = reverberate(click, RATE, 0.2, np.random.default_rng(0))
    assert echo[0] == pytest.approx(1.0, rel=1e-4)
    early, late = np.mean(echo[1:800] ** 2), np.mean(echo[2400:3200] ** 2)
    assert 10 * np.log10(early / late) == pytest.approx(60 * (2800 - 400) / 3200, abs=3)
    assert np.abs(echo[3201:]).max() < 1e-5


@pytest.mark.parametrize("count", [1, 999, 30375])
def test_noise_has_any_length(count):
    assert coloured_noise(count, np.random.default_rng(0)).shape == (count,)


def test_share_of_harsh_utterances():
    conditions = Conditions(0.35, harsh=Condition((0.0, 1.0)), mild=Condition((20.0, 30.0)))
    random = np.random.default_rng(0)
    drawn = [conditions.draw(random) is conditions.harsh for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(0.35, abs=0.03)
