"""Where something goes: read from what a person writes or shares, and picked from their address book."""

from __future__ import annotations

from bots.commerce.buying.words import explain
from bots.domain.places import Place, PlaceError, Point
from bots.framework import InvalidValue, ParseEnv
from bots.framework.arguments.places import place_of, read_place


def read_address(text: str, env: ParseEnv) -> Place:
    """The place that a person shares, tells by coordinates, or writes as an address. Raises InvalidValue."""
    shared = place_of(env.content)
    if shared is None:
        try:
            shared = read_place(text)
        except InvalidValue as error:
            if error.clear:
                raise
    try:
        if shared is not None:
            return Place(str(shared), Point(shared.latitude, shared.longitude))
        return Place(" ".join(text.split()))
    except PlaceError as error:
        raise explain(error) from None
