"""What single values of a configuration must fulfil."""

from __future__ import annotations


def check_heads(section: str, width: int, heads: int) -> None:
    """Raise ValueError for a width that the heads do not share evenly."""
    if width % heads:
        raise ValueError(f"{section}.width={width} is not a multiple of {section}.heads={heads}")


def check_numbers(key: str, text: str) -> None:
    """Raise ValueError for what is not numbers joined with +."""
    try:
        [float(number) for number in text.split("+")]
    except ValueError:
        raise ValueError(f"{key}={text}: give numbers joined with +, as 0.1+0.3") from None
