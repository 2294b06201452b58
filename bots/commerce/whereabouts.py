"""Where people say that something is: a shared location, coordinates, or neither."""

from __future__ import annotations

from bots.domain.places import Place, Point
from bots.framework import InvalidValue, ParseEnv
from bots.framework import Place as Shared
from bots.framework.arguments.places import place

__all__ = ["read_spot", "told"]


def told(text: str, env: ParseEnv) -> Place | None:
    """The place that a message shares or tells by coordinates; None when it is words.

    Raises:
        InvalidValue: coordinates that cannot be.
        PlaceError: a name that is too long.
    """
    try:
        return _known(place(text, env))
    except InvalidValue as error:
        if error.clear:
            raise
        return None


def read_spot(text: str, env: ParseEnv) -> Place:
    """A shared location or coordinates: the point is known. Raises InvalidValue, PlaceError."""
    return _known(place(text, env))


def _known(shared: Shared) -> Place:
    return Place(str(shared), Point(shared.latitude, shared.longitude))
