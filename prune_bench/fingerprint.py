"""Short names for values."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(values: Any, digits: int = 12) -> str:
    """Hex digits that name a JSON-able value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:digits]
