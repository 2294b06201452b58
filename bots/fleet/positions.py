"""Where drivers are: in memory, written down in bulk each second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from bots.domain.drivers import Position

__all__ = ["Heard", "Positions", "Seen"]


class Heard(StrEnum):
    """What became of a position."""

    TAKEN = "taken"
    OLD = "old"
    """It is older than what is known already."""
    JUMPED = "jumped"
    """Nobody gets there so fast: it is believed when the next ones say the same."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where somebody is.

    Attributes:
        position: the last one that is believed.
        heard_at: ms, by our clock.
        doubtful: a later one was not believed.
    """

    position: Position
    heard_at: int
    doubtful: bool = False


class Positions:
    """The positions of a fleet. No handler is needed: it may be called from anywhere in the loop."""

    def update(self, person: str, position: Position) -> Heard:
        """A position was heard, measured at ``position.at``: one from the future is taken as of now."""
        raise NotImplementedError

    def last(self, person: str) -> Seen | None:
        """Where somebody is, or was last seen; None: that is not known."""
        raise NotImplementedError

    def forget(self, person: str) -> None:
        """They want to be known no more."""
        raise NotImplementedError

    def trail(self, person: str) -> list[Position]:
        """Where they were in the last minutes, the oldest first, thinned."""
        raise NotImplementedError

    def everybody(self) -> Iterable[tuple[str, Seen]]:
        """All that are known, for the board."""
        raise NotImplementedError
