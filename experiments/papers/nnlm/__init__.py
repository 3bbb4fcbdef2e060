"""Neural Language Model Pruning for Automatic Speech Recognition, arXiv 2310.03424."""

from __future__ import annotations

from .tables import TABLES

__all__ = ["TABLES"]
