"""Language tags: reading them, falling back from one to the next, choosing among those there are, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.localedata import exists

SOURCE = "en"
"""The language of the texts in the code."""

_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z]{4})?(?:[-_](?:[A-Za-z]{2}|[0-9]{3}))?(?:[-_][0-9A-Za-z]{1,8})*\Z")
_LONGEST = 64
_SIMPLER = {"no": "nb"}
"""Norwegian without a word about which: Bokmål, as CLDR has it."""


@lru_cache(maxsize=1024)
def normalise(tag: str) -> str | None:
    """The tag in the case that BCP 47 recommends (``pt-BR``, ``zh-Hant``), with retired languages under their present
    name (``iw`` is ``he``); an underscore counts as a hyphen. ``None`` for what is not a tag (RFC 5646, section 2.1).
    """
    tag = tag.strip()
    if len(tag) > _LONGEST or not _TAG.match(tag):
        return None
    first, *rest = tag.replace("_", "-").split("-")
    first = first.lower()
    # Of what has data of its own nothing is retired, and the list of those that are takes three megabytes to read.
    parts = [first if exists(first) else get_global("language_aliases").get(first, first).replace("_", "-")]
    private = False
    for part in rest:
        private = private or len(part) == 1
        if private or len(part) not in (2, 4) or part[0].isdigit():
            parts.append(part.lower())
        else:
            parts.append(part.upper() if len(part) == 2 else part.title())
    return "-".join(parts)


def truncations(tag: str) -> Iterable[str]:
    """The tag, and what is left of it as its last parts go one by one (RFC 4647, section 3.4)."""
    parts = tag.split("-")
    while parts:
        yield "-".join(parts)
        parts.pop()
        while parts and len(parts[-1]) == 1:
            parts.pop()


@lru_cache(maxsize=1024)
def chain(tag: str) -> tuple[str, ...]:
    """The languages to look in for a person who reads ``tag``, nearest first: ``pt-BR``, ``pt``.

    RFC 4647 lookup; where a region writes in another script than its language usually does, the script comes before
    the bare language, by CLDR's likely subtags: ``zh-TW``, ``zh-Hant``, ``zh``. Empty for what is not a tag.
    """
    clean = normalise(tag)
    if clean is None:
        return ()
    found = list(truncations(clean))
    parts = clean.split("-")
    if len(parts) == 2 and len(parts[1]) == 2:
        likely = get_global("likely_subtags")
        here = likely.get(f"{parts[0]}_{parts[1]}", "").split("_")
        usual = likely.get(parts[0], "").split("_")
        if len(here) > 1 and len(usual) > 1 and here[1] != usual[1]:
            found.insert(1, f"{parts[0]}-{here[1]}")
    if simpler := _SIMPLER.get(found[-1]):
        found.append(simpler)
    return tuple(found)


def best(wanted: Sequence[str], available: Iterable[str]) -> str | None:
    """The first language a person wants that there is, as it is spelt in ``available`` (RFC 4647, section 3.4).

    ``*`` and what is not a tag are passed over. ``None`` when none fits; the default is the caller's to choose.
    """
    there = {clean: tag for tag in available if (clean := normalise(tag)) is not None}
    for tag in wanted:
        for candidate in chain(tag):
            if candidate in there:
                return there[candidate]
    return None


@lru_cache(maxsize=256)
def locale_of(tag: str) -> Locale:
    """CLDR's locale for a tag, or for the nearest there is; English for one that is unknown."""
    for candidate in chain(tag):
        try:
            return Locale.parse(candidate, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale(SOURCE)


@lru_cache(maxsize=256)
def is_right_to_left(tag: str) -> bool:
    """Whether the language is written from right to left."""
    if tag == SOURCE:
        return False  # every service asks this: for whom all is in English, nothing is read of CLDR
    return bool(locale_of(tag).text_direction == "rtl")


def display_name(language: str, in_language: str) -> str:
    """The name of a language in a language: ``pt-BR`` in ``de`` is "Portugiesisch (Brasilien)".

    The tag itself when CLDR has no name for it there.
    """
    parts = (normalise(language) or "").split("-")
    if not parts[0]:
        return language
    reader = locale_of(in_language)
    whole = reader.languages.get("_".join(parts))
    if whole:
        return str(whole)
    name = reader.languages.get(parts[0])
    if not name:
        return language
    details = [
        str(names[part])
        for part in parts[1:]
        for names in ((reader.scripts if len(part) == 4 else reader.territories),)
        if part in names
    ]
    return f"{name} ({', '.join(details)})" if details else str(name)
