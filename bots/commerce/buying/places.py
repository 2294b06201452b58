"""Where something goes: read from what a person writes or shares, and picked from their address book."""

from __future__ import annotations

from typing import Final

from bots.commerce.buying.words import explain
from bots.commerce.whereabouts import told
from bots.domain.places import Place, PlaceError
from bots.framework import InvalidValue, ParseEnv
from bots.framework.i18n import _

SHORTEST: Final = 4
"""Letters and digits of an address."""
ADDRESS: Final = _("That is no address. Write street, number and town, or share a location.")


def read_address(text: str, env: ParseEnv) -> Place:
    """The place that a person shares, tells by coordinates, or writes as an address. Raises InvalidValue."""
    try:
        shared = told(text, env)
        if shared is not None:
            return shared
        words = " ".join(text.split())
        if len(words) < SHORTEST or not any(letter.isalpha() for letter in words):
            raise InvalidValue("buying.address", ADDRESS, clear=True)
        return Place(words)
    except PlaceError as error:
        raise explain(error) from None
