"""Where something goes: read from what a person writes or shares, and picked from their address book."""

from __future__ import annotations

from typing import Final

from bots.commerce.buying.words import explain
from bots.domain.places import Place, PlaceError, Point
from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments.places import place_of, read_place
from bots.framework.i18n import _

SHORTEST: Final = 4
"""Letters and digits of an address."""
ADDRESS: Final = _("That is no address. Write street, number and town, or share a location.")


def read_address(text: str, env: ParseEnv) -> Place:
    """The place that a person shares, tells by coordinates, or writes as an address. Raises InvalidValue."""
    shared = place_of(env.content)
    if shared is None:
        try:
            shared = read_place(text)
        except InvalidValue as error:
            if error.clear:
                raise
    words = " ".join(text.split())
    if shared is None and (len(words) < SHORTEST or not any(letter.isalpha() for letter in words)):
        raise InvalidValue("buying.address", ADDRESS, clear=True)
    try:
        if shared is not None:
            return Place(str(shared), Point(shared.latitude, shared.longitude))
        return Place(words)
    except PlaceError as error:
        raise explain(error) from None
