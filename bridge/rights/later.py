"""A part that is loaded when somebody asks for it: what is held about people is seldom asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Protocol

from sqlalchemy import Connection

from bridge.domain.rights import Obstacle
from bridge.rights.parts import File, Part


class Blocking(Part, Protocol):
    """A part that knows what has to end before somebody can be erased."""

    def blocked(self, connection: Connection, person: str) -> Sequence[Obstacle]:
        """What that is."""


class Later:
    """The part in its place."""

    def __init__(self, name: str, load: Callable[[], Blocking]) -> None:
        self.name = name
        self._load = load

    @cached_property
    def _part(self) -> Blocking:
        return self._load()

    def export(self, connection: Connection, person: str) -> Iterable[File]:
        """See :class:`~bridge.rights.parts.Part`."""
        return self._part.export(connection, person)

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """See :class:`~bridge.rights.parts.Part`."""
        self._part.erase(connection, person, pseudonym)

    def blocked(self, connection: Connection, person: str) -> Sequence[Obstacle]:
        """See :class:`Blocking`."""
        return self._part.blocked(connection, person)
