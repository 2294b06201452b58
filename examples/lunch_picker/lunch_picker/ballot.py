"""Counting. Pure: no room, no clock, no dice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def ranking(votes: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """The places that got votes, with how many: most first, then by name."""
    counts = Counter(place for chosen in votes.values() for place in chosen)
    return sorted(counts.items(), key=lambda each: (-each[1], each[0].casefold()))


def winners(ranked: Sequence[tuple[str, int]]) -> list[str]:
    """Every place with as many votes as the first."""
    return [place for place, count in ranked if count == ranked[0][1]]


def cleaned(words: str) -> list[str]:
    """The names in "Soup, Pizza and Noodles": each once, whatever its case."""
    found: dict[str, str] = {}
    for part in words.replace("\n", ",").replace(";", ",").split(","):
        visible = "".join(each if each.isprintable() else " " for each in part)
        name = " ".join(visible.split())[:60]
        if name:
            found.setdefault(name.casefold(), name)
    return list(found.values())
