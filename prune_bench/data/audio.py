"""The only place that decodes, resamples, degrades and turns audio into features."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from scipy.signal import firwin, resample_poly
from torch import Tensor, nn

from prune_bench.config import FeatureConfig

FLOOR = 1e-6
SCALE = 2.0
TOLERANCE = 0.05
PROMISED = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
UNKNOWN_SIZE = 2**31 - 2**16  # programs that write WAV to a pipe promise at least this much


class BadUtterance(ValueError):
    """One utterance that cannot be used: `reason` is what the counts group by, the message names file and remedy."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


@lru_cache
def lowpass(factor: int) -> np.ndarray:
    """Anti-aliasing filter for a change of rate by ratios up to `factor`."""
    return np.asarray(firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0)), dtype=np.float32)


def resample(samples: np.ndarray, original: int, wanted: int) -> np.ndarray:
    """Band-limited polyphase resampling of (samples,) float32 from `original` to `wanted` Hz."""
    if original == wanted:
        return samples
    up, down = wanted // math.gcd(original, wanted), original // math.gcd(original, wanted)
    return np.asarray(resample_poly(samples, up, down, window=lowpass(max(up, down))), dtype=np.float32)


def read_audio(path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None) -> Tensor:
    """Decode a mono file to (samples,) float32 in [-1, 1] at `sample_rate`, from `start` for `duration` seconds.

    Raises BadUtterance for a missing, unreadable, truncated, empty, stereo or NaN file, and for a segment that reaches
    more than 50 ms beyond the file. An OGG file cut at a page is a shorter OGG file: only `duration` can tell.
    """
    if not Path(path).is_file():
        raise BadUtterance("missing file", f"{path}: no such file; correct the path or remove the utterance")
    try:
        with soundfile.SoundFile(str(path)) as file:
            check_header(file, path)
            first, last = segment(file, path, start, duration)
            file.seek(first)
            samples, rate = file.read(last - first, dtype="float32"), file.samplerate
    except soundfile.SoundFileError as error:
        raise BadUtterance("unreadable file", f"{path}: cannot be decoded ({one_line(error)}); copy it again") from None
    if len(samples) < last - first:
        held = f"{len(samples)} of {last - first} samples"
        raise BadUtterance("truncated file", f"{path}: truncated, holds {held}; copy it again")
    if not np.isfinite(samples).all():
        raise BadUtterance("not finite", f"{path}: holds NaN or infinite samples; write it again")
    return torch.from_numpy(resample(samples, rate, sample_rate))


def check_header(file: soundfile.SoundFile, path: str | Path) -> None:
    """Refuse stereo, nothing, and WAV files whose header promises more than the file holds."""
    if file.channels != 1:
        raise BadUtterance("not mono", f"{path}: {file.channels} channels; mix it down to one")
    if file.frames == 0:
        raise BadUtterance("empty audio", f"{path}: no samples; copy it again or remove the utterance")
    promise = PROMISED.search(file.extra_info)
    if promise and int(promise[1]) < UNKNOWN_SIZE:
        held = f"{promise[2]} of {promise[1]} bytes"
        raise BadUtterance("truncated file", f"{path}: truncated, holds {held}; copy it again")


def segment(file: soundfile.SoundFile, path: str | Path, start: float, duration: float | None) -> tuple[int, int]:
    """First and last sample of a segment given in seconds."""
    first = round(start * file.samplerate)
    last = file.frames if duration is None else round((start + duration) * file.samplerate)
    if not 0 <= first < min(last, file.frames) or last > file.frames + TOLERANCE * file.samplerate:
        wanted = f"{start:.2f} s to {last / file.samplerate:.2f} s of a file of {file.frames / file.samplerate:.2f} s"
        raise BadUtterance("segment beyond its file", f"{path}: asked for {wanted}; correct offset and duration")
    return first, min(last, file.frames)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class LogMel(nn.Module):
    """Log-mel energies of one utterance, the mean of each band removed, divided by 2: (samples,) to (frames, mels)."""

    dtype = torch.float16

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.width = config.mels
        window = round(config.sample_rate * config.window_ms / 1000)
        self.hop = round(config.sample_rate * config.hop_ms / 1000)
        self.mel = torchaudio.transforms.MelSpectrogram(
            config.sample_rate, 2 ** (window - 1).bit_length(), window, self.hop, n_mels=config.mels, center=True,
            pad_mode="constant",
        )  # fmt: skip

    def forward(self, samples: Tensor) -> Tensor:
        energies = (self.mel(samples) + FLOOR).log().T
        return (energies - energies.mean(dim=0)) / SCALE


class Waveform(nn.Module):
    """The samples themselves, at full 16-bit scale: (samples,) to (samples, 1)."""

    dtype, width = torch.int16, 1

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()

    def forward(self, samples: Tensor) -> Tensor:
        return (samples * 2**15).round().clamp(-(2**15), 2**15 - 1).unsqueeze(-1)


FEATURES: dict[str, type[LogMel] | type[Waveform]] = {"log_mel": LogMel, "waveform": Waveform}


class SpecAugment(nn.Module):
    """Zeroes random bands and stretches of time of (batch, frames, mels) features (Park et al., 2019).

    Widths are uniform in [0, width]; a time mask covers at most a fifth of its utterance. Zero is each band's mean.
    """

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.time_masks, self.time_width = config.time_masks, config.time_width
        self.frequency_masks, self.frequency_width = config.frequency_masks, config.frequency_width

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        batch, frames, mels = features.shape
        longest = (lengths // 5).clamp(max=self.time_width)
        time = random_spans(self.time_masks, longest, lengths, frames)
        widths, bands = (torch.full_like(lengths, size) for size in (min(self.frequency_width, mels), mels))
        frequency = random_spans(self.frequency_masks, widths, bands, mels)
        return features.masked_fill(time.view(batch, frames, 1) | frequency.view(batch, 1, mels), 0.0)


def random_spans(count: int, widths: Tensor, ends: Tensor, size: int) -> Tensor:
    """(batch, size) mask of `count` spans a row, each of uniform width in [0, widths] within [0, ends)."""
    draws = torch.rand(2, count, len(widths), device=widths.device)
    width = (draws[0] * (widths + 1)).long()
    first = (draws[1] * (ends - width + 1)).long()
    place = torch.arange(size, device=widths.device)
    covered = (place >= first.unsqueeze(-1)) & (place < (first + width).unsqueeze(-1))
    return covered.any(dim=0)
