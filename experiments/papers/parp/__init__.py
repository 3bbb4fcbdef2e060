"""Lai et al. 2021, "PARP: Prune, Adjust and Re-Prune for Self-Supervised Speech Recognition", arXiv 2106.05933.

Ten languages of Common Voice, transcribed into phones, an hour each. H2L: an encoder pretrained on English alone; CSR:
one pretrained on many languages.
"""

from __future__ import annotations

from .claims import CLAIMS
from .figures import FIGURES
from .tables import TABLES

__all__ = ["CLAIMS", "FIGURES", "TABLES"]
