"""Targets of pretraining: clusters of cepstra at the encoder's frame rate, found without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torchaudio
from torch import Tensor, nn

from prune_bench.models.wav2vec2 import Wav2Vec2Arch

CEPSTRA, MELS = 13, 40
BLOCK = 1 << 14


def frame_shape(arch: Wav2Vec2Arch) -> tuple[int, int]:
    """Samples that one encoder frame sees, and samples from one frame to the next."""
    window, hop = 1, 1
    for _, kernel, stride in arch.convs:
        window += (kernel - 1) * hop
        hop *= stride
    return window, hop


class ClusterTargets(nn.Module):
    """The cluster of each encoder frame: (batch, samples) to (batch, frames) in [0, clusters).

    Cepstra, at zero mean and unit variance in each utterance, with their first and second differences, and k-means over
    them, as in HuBERT's first iteration (Hsu et al., 2021). The centres are part of the state.
    """

    centres: Tensor

    def __init__(self, arch: Wav2Vec2Arch, clusters: int, sample_rate: int = 16000):
        super().__init__()
        window, hop = frame_shape(arch)
        shape = {"n_fft": window, "hop_length": hop, "n_mels": MELS, "center": False}
        self.cepstra = torchaudio.transforms.MFCC(sample_rate, CEPSTRA, melkwargs=shape)
        self.register_buffer("centres", torch.zeros(clusters, 3 * CEPSTRA))

    def features(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, frames, 39). Beyond an utterance's end its last frame is repeated."""
        with torch.autocast(waveforms.device.type, enabled=False):
            cepstra = self.cepstra(waveforms.float()).transpose(1, 2)
        place = torch.arange(cepstra.shape[1], device=cepstra.device).expand(cepstra.shape[:2])
        ends = torch.full_like(place[:, :1], cepstra.shape[1]) if lengths is None else lengths[:, None].clamp(min=1)
        cepstra = cepstra.gather(1, place.minimum(ends - 1)[..., None].expand_as(cepstra))
        weight = ((place < ends) / ends)[..., None]
        centred = cepstra - (cepstra * weight).sum(1, keepdim=True)
        scaled = centred * ((centred.square() * weight).sum(1, keepdim=True) + 1e-6).rsqrt()
        first = torchaudio.functional.compute_deltas(scaled.transpose(1, 2))
        return torch.cat(
            (scaled, first.transpose(1, 2), torchaudio.functional.compute_deltas(first).transpose(1, 2)), 2
        )

    def forward(self, waveforms: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`lengths` are in frames."""
        features = self.features(waveforms, lengths)
        return nearest(features.flatten(0, 1), self.centres).view(features.shape[:2])

    def fit(
        self,
        waveforms: Sequence[Tensor],
        rounds: int = 20,
        seed: int = 0,
        report: Callable[[int, int], None] | None = None,
    ) -> float:
        """Find the centres on a list of (samples,) utterances; returns the mean squared distance to them."""
        points = torch.cat([self.features(waveform[None])[0] for waveform in waveforms])
        self.centres.copy_(k_means(points, len(self.centres), rounds, seed, report))
        return float((points - self.centres[nearest(points, self.centres)]).square().mean())


def nearest(points: Tensor, centres: Tensor) -> Tensor:
    """The index of the nearest centre for each of (points, width)."""
    half = centres.square().sum(1) / 2
    return torch.cat([(half - block @ centres.T).argmin(1) for block in points.split(BLOCK)])


def k_means(
    points: Tensor, clusters: int, rounds: int, seed: int = 0, report: Callable[[int, int], None] | None = None
) -> Tensor:
    """Centres (clusters, width) by Lloyd's algorithm from random points; an empty cluster starts at a new point.

    Raises:
        ValueError: there are fewer points than clusters.
    """
    if len(points) < clusters:
        raise ValueError(f"{len(points)} frames for {clusters} clusters: give more speech or fewer clusters")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(points), generator=generator).to(points.device)
    centres = points[order[:clusters]].clone()
    for number in range(rounds):
        owner = nearest(points, centres)
        counts = torch.bincount(owner, minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, owner, points)
        centres = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero()[:, 0]
        centres[empty] = points[order[(clusters * (number + 1) + empty) % len(points)]]
        if report:
            report(number + 1, rounds)
    return centres
