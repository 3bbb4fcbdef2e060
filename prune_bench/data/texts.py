"""One spelling for every transcript, so that word errors count words."""

from __future__ import annotations

import re
import unicodedata

from prune_bench.data.audio import BadUtterance
from prune_bench.data.corpora.source import Utterance

TAG = re.compile(r"\[[^\]]*\]|<[^>]*>")
PUNCTUATION = re.compile(r"""[.,;:!?"“”„«»…(){}\[\]<>_*/\\–—-]+""")


def normalize(utterance: Utterance) -> str:
    """Lower case, punctuation and tags such as `[noise]` to spaces, apostrophes kept.

    Raises BadUtterance when no letter or digit is left.
    """
    text = unicodedata.normalize("NFC", utterance.text).replace("\u2019", "'").lower()
    words = " ".join(PUNCTUATION.sub(" ", TAG.sub(" ", text)).split())
    if not any(letter.isalnum() for letter in words):
        reason = "non-speech transcript" if text.strip() else "empty transcript"
        remedy = f"{reason} {utterance.text!r}; write its words or remove it"
        raise BadUtterance(reason, f"{place(utterance)}: {remedy}")
    return words


def place(utterance: Utterance) -> str:
    return f"{utterance.id} (line {utterance.line})" if utterance.line else utterance.id
