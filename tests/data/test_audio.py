from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from prune_bench.config import FeatureConfig
from prune_bench.data.audio import BadUtterance, LogMel, SpecAugment, read_audio, resample

RATE = 16000


def tone(rate: int, seconds: float = 1.0, frequency: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_every_format_decodes_to_the_same_tone(tmp_path, name):
    soundfile.write(tmp_path / name, tone(RATE), RATE)
    samples = read_audio(tmp_path / name, RATE)
    assert samples.dtype == torch.float32
    assert len(samples) == pytest.approx(RATE, abs=2500)
    spectrum = torch.fft.rfft(samples).abs()
    assert spectrum.argmax().item() * RATE / len(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_pitch_level_and_duration(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate), rate)
    samples = read_audio(tmp_path / "a.wav", RATE)
    assert len(samples) == RATE
    assert torch.fft.rfft(samples).abs().argmax().item() == 440
    assert samples[1000:-1000].abs().max().item() == pytest.approx(0.3, rel=0.02)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    samples = resample(tone(48000, frequency=12000.0), 48000, RATE)
    assert np.abs(samples[500:-500]).max() < 0.01


def test_segment_equals_the_cut_of_the_whole(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    cut = read_audio(tmp_path / "a.wav", RATE, start=0.25, duration=0.5)
    assert torch.equal(cut, torch.from_numpy(noise[4000:12000]))
    assert len(read_audio(tmp_path / "a.wav", RATE, start=0.25)) == 12000


def test_segment_may_round_past_the_end_but_not_reach_beyond(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE), RATE)
    assert len(read_audio(tmp_path / "a.wav", RATE, start=0.5, duration=0.52)) == 8000
    for start, duration in ((0.5, 0.6), (1.2, None), (-0.1, 0.5), (0.5, -0.2)):
        with pytest.raises(BadUtterance, match=r"a\.wav: asked for .* of a file of 1\.00 s; correct") as caught:
            read_audio(tmp_path / "a.wav", RATE, start=start, duration=duration)
        assert caught.value.reason == "segment beyond its file"


def write_bad(path, kind: str) -> None:
    if kind == "missing file":
        return
    samples = tone(RATE)
    if kind == "not mono":
        samples = np.stack([samples, samples], axis=1)
    if kind == "empty audio":
        samples = samples[:0]
    if kind == "not finite":
        samples[77] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    if kind == "unreadable file":
        path.write_bytes(b"no sound at all")
    if kind == "truncated file":
        path.write_bytes(path.read_bytes()[:20000])


@pytest.mark.parametrize(
    "kind", ["missing file", "not mono", "empty audio", "not finite", "unreadable file", "truncated file"]
)
def test_bad_file_gives_one_line_with_file_and_remedy(tmp_path, kind):
    path = tmp_path / "bad.wav"
    write_bad(path, kind)
    with pytest.raises(BadUtterance) as caught:
        read_audio(path, RATE)
    assert caught.value.reason == kind
    assert str(caught.value).startswith(f"{path}: ")
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_truncated_compressed_file_is_refused(tmp_path, name):
    soundfile.write(tmp_path / name, np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE), RATE)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadUtterance, match=r"copy it again"):
        read_audio(tmp_path / name, RATE)


def test_wav_of_unknown_length_from_a_pipe_is_read_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE), RATE)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "a.wav", RATE)) == RATE


def test_log_mel_has_a_frame_a_hop_and_bands_of_mean_zero():
    features = LogMel(FeatureConfig(mels=40))(torch.randn(RATE) * 0.1)
    assert features.shape == (101, 40)
    assert features.mean(dim=0).abs().max().item() < 1e-5


def test_log_mel_ignores_level_and_finds_the_band_of_a_tone():
    samples = torch.from_numpy(np.concatenate([tone(RATE, 0.5, 500.0), tone(RATE, 0.5, 3000.0)]))
    log_mel = LogMel(FeatureConfig())
    features = log_mel(samples)
    low, high = features[20:30].mean(dim=0), features[70:80].mean(dim=0)
    assert (low - high).argmax().item() < (high - low).argmax().item()
    noisy = samples + 0.05 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(log_mel(noisy), log_mel(4 * noisy), atol=1e-2)


def test_spec_augment_zeroes_whole_bands_and_stretches_within_its_limits():
    config = FeatureConfig(mels=20, time_masks=2, time_width=10, frequency_masks=1, frequency_width=5)
    torch.manual_seed(0)
    augmented = SpecAugment(config)(torch.ones(64, 100, 20), torch.full((64,), 100))
    rows, columns = (augmented == 0).all(dim=2), (augmented == 0).all(dim=1)
    assert torch.equal(augmented == 0, rows.unsqueeze(2) | columns.unsqueeze(1))
    assert rows.sum(dim=1).max().item() in range(11, 21)
    assert columns.sum(dim=1).max().item() == 5
    assert columns.any(dim=0).all()


def test_spec_augment_spares_short_utterances_and_follows_the_seed():
    augment = SpecAugment(FeatureConfig(mels=20, frequency_masks=0, time_masks=1, time_width=50))
    features, lengths = torch.ones(200, 100, 20), torch.tensor([10, 100]).repeat(100)
    torch.manual_seed(1)
    first = augment(features, lengths)
    hidden = (first == 0).all(dim=2).sum(dim=1).view(100, 2)
    assert hidden.amax(dim=0).tolist() == [2, 20]
    assert (first.view(100, 2, 100, 20)[:, 0, 10:] == 1).all()
    torch.manual_seed(1)
    assert torch.equal(augment(features, lengths), first)
