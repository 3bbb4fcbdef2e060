"""LibriSpeech's normalised text for language models; the transcripts of its speech are judged on."""

from __future__ import annotations

from prune_bench.data.text.corpora.source import TextSpec

TEXT = TextSpec(name="librispeech-lm", files={"train": "librispeech-lm-norm.txt.gz"})
