"""What takes part in people's rights. Every area that keeps tables with people in them has a part.

A part reads and writes our database. A source is anywhere else: the homeserver, mautrix's stores.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection

from bridge.domain.rights import Obstacle

File = tuple[str, Any]
"""A path in the archive, and what stands there, as JSON."""
Blocked = Callable[[Connection, str], Sequence[Obstacle]]
"""What has to end before a person can be erased."""
Progress = Callable[[int, int, str], None]
"""Told how many of how many steps are done, and which one is next."""


class Part(Protocol):
    """An area's part."""

    @property
    def name(self) -> str:
        """A word, unique; a folder of the archive."""

    def export(self, connection: Connection, person: str) -> Iterable[File]:
        """What the area's tables hold about a person. No secrets: hashes of codes and the like stay out."""

    def erase(self, connection: Connection, person: str, pseudonym: str) -> None:
        """Forget the person, in the commit that all parts erase in; nothing happens to who is forgotten already.

        What others need stays, with the pseudonym in the person's place.
        """


class Source(Protocol):
    """Somewhere else that holds something about people."""

    @property
    def name(self) -> str:
        """A word, unique; a folder of the archive."""

    def export(self, person: str) -> AsyncIterator[File]:
        """What is held there."""

    async def erase(self, person: str) -> list[str]:
        """Forget the person; codes of what could not be done, for the record. Doing it again goes on where it stopped.

        Raises:
            HomeserverError: it is tried again later.
        """
