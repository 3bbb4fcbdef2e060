"""Noise and reverberation for clean recordings, drawn from a seeded generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.signal import fftconvolve

Range = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """Ranges drawn uniformly: signal-to-noise ratio in dB, reverberation time (decay by 60 dB) in seconds."""

    snr: Range
    reverberation: Range | None = None


@dataclass(frozen=True)
class Conditions:
    """`harsh` for the fraction `share` of utterances, `mild` for the rest."""

    share: float
    harsh: Condition
    mild: Condition

    def draw(self, random: np.random.Generator) -> Condition:
        return self.harsh if random.random() < self.share else self.mild


def degrade(samples: np.ndarray, rate: int, condition: Condition, random: np.random.Generator) -> np.ndarray:
    """Reverberate, add coloured noise and scale to a peak of 0.5: (samples,) float32 to the same shape."""
    if condition.reverberation:
        samples = reverberate(samples, rate, random.uniform(*condition.reverberation), random)
    noise = coloured_noise(len(samples), random)
    power = np.mean(samples**2) / 10 ** (random.uniform(*condition.snr) / 10)
    mixed = samples + noise * np.sqrt(power / np.mean(noise**2))
    return (0.5 * mixed / np.abs(mixed).max()).astype(np.float32)


def reverberate(samples: np.ndarray, rate: int, seconds: float, random: np.random.Generator) -> np.ndarray:
    """Convolve with a direct path and an exponentially decaying noise tail of equal energy at most."""
    count = int(seconds * rate)
    tail = random.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail *= np.sqrt(random.uniform(0.1, 0.5) / np.sum(tail**2))
    tail[0] = 1.0
    return fftconvolve(samples, tail.astype(np.float32))[: len(samples)]


def coloured_noise(count: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with frequency as 1/f^colour, colour uniform between white (0) and brown-ish (1.5)."""
    size = fft.next_fast_len(count, real=True)
    spectrum = fft.rfft(random.standard_normal(size, dtype=np.float32))
    spectrum *= np.arange(1, len(spectrum) + 1, dtype=np.float32) ** np.float32(-random.uniform(0.0, 1.5) / 2)
    return fft.irfft(spectrum, size)[:count]
