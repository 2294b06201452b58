"""Which content type an answer is of: what the ``Accept`` header says (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

MOST_RANGES: Final = 50
_RANGE: Final = re.compile(r"([a-z0-9!#$&^_.+-]+|\*)/([a-z0-9!#$&^_.+-]+|\*)")
_WEIGHT: Final = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def accepted(header: str, offered: Sequence[str]) -> str | None:
    """The one of the offered types that is wanted most, the first one of several; None: none is wanted.

    Args:
        header: '' for anything. What is malformed in it counts for nothing.
        offered: without parameters: ``image/png``.
    """
    ranges: dict[str, float] = {}
    for part in header.lower().split(",")[:MOST_RANGES]:
        name, *parameters = (word.strip() for word in part.split(";"))
        if _RANGE.fullmatch(name):
            weights = [found[1] for word in parameters if (found := _WEIGHT.fullmatch(word))]
            ranges[name] = float(weights[0]) if weights else 1.0
    if not header.strip():
        return offered[0]
    best = max(offered, key=lambda kind: _weight(kind, ranges))  # of equals the first
    return best if _weight(best, ranges) > 0 else None


def _weight(kind: str, ranges: dict[str, float]) -> float:
    # The most exact range counts.
    for name in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return 0.0
