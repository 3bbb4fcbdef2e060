"""The only place that reaches for what torchaudio keeps private: file lists of data sets, halves of an encoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchaudio.datasets import COMMONVOICE


class CommonVoiceList(COMMONVOICE):
    """One list of a language of Common Voice."""

    def entry(self, n: int) -> dict[str, str]:
        """The n-th line of the list by column; columns that a short line lacks are absent."""
        return dict(zip(self._header, self._walker[n], strict=False))


def project(encoder: Any, features: Tensor) -> Tensor:
    """Features (batch, frames, channels) of unpadded speech, projected to the width of a wav2vec 2.0 encoder."""
    projected, _ = encoder._preprocess(features, None)
    return projected


def add_positions(transformer: Any, projected: Tensor) -> Tensor:
    """The stream (batch, frames, width) that a wav2vec 2.0 Transformer's first layer reads."""
    return transformer._preprocess(projected)
