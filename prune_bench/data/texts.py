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
    words = spell(utterance.text)
    if not words:
        reason = "non-speech transcript" if utterance.text.strip() else "empty transcript"
        remedy = f"{reason} {utterance.text!r}; write its words or remove it"
        raise BadUtterance(reason, f"{place(utterance)}: {remedy}")
    return words


def spell(text: str) -> str:
    """The words of a line in that spelling; empty when no letter or digit is left."""
    text = unicodedata.normalize("NFC", text).replace("\u2019", "'").lower()
    words = " ".join(PUNCTUATION.sub(" ", TAG.sub(" ", text)).split())
    return words if any(letter.isalnum() for letter in words) else ""


def place(utterance: Utterance) -> str:
    return f"{utterance.id} (line {utterance.line})" if utterance.line else utterance.id
