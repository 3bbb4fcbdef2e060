"""The only place that reaches for what torchaudio keeps private: file lists of data sets, halves of an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor
from torchaudio.datasets import COMMONVOICE, LIBRISPEECH, LibriLightLimited
from torchaudio.datasets.librispeech import _get_librispeech_metadata

Metadata = tuple[str, int, str, int, int, int]


class LibriSpeechSubset(LIBRISPEECH):
    """A subset of LibriSpeech; paths in its metadata are relative to `folder`."""

    @property
    def folder(self) -> Path:
        return Path(self._archive)

    def name(self, n: int) -> str:
        """The n-th utterance's file name without its suffix."""
        return self._walker[n]


class LibriLightSubset(LibriLightLimited):
    """A subset of Libri-light's limited supervision, read in the same way."""

    @property
    def folder(self) -> Path:
        return Path(self._path)

    def name(self, n: int) -> str:
        """The n-th utterance's file name without its suffix."""
        return self._fileids_paths[n][1]

    def get_metadata(self, n: int) -> Metadata:
        """Path of the audio, sample rate, transcript, speaker, chapter and number of the n-th utterance."""
        folder, name = self._fileids_paths[n]
        return _get_librispeech_metadata(name, str(self._path), folder, self._ext_audio, self._ext_txt)


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
