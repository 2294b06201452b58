"""What one plugin instance outside the process may touch: its bot's rooms, and what its scopes give it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Final

from bots.framework.remote.protocol import Refusal
from bots.framework.scopes import granted, unknown

MADE: Final = 1_000

here: ContextVar[str] = ContextVar("rialto_remote_room", default="")
"""The room of the event that is worked: what happens in answer to it goes there as it would for a plugin inside."""


class Rights:
    """The rights of one instance."""

    def __init__(
        self, instance: str, user_id: str, grants: Iterable[str], bots_in: Callable[[str], Iterable[str]]
    ) -> None:
        """
        Args:
            grants: the scopes that the operator gives it.
            bots_in: the bots that are joined to a room.
        """
        self.instance = instance
        self.user_id = user_id
        self.consumer = f"{instance}:{user_id}"
        self.scopes: frozenset[str] = frozenset()
        """What it has: of what it declares, the harmless and the granted."""
        self._grants = tuple(grants)
        self._bots_in = bots_in
        self._made: OrderedDict[str, None] = OrderedDict()

    def declare(self, scopes: Iterable[str]) -> None:
        """Take what a plugin declares when it connects.

        Raises:
            Refusal: it needs a scope that there is not, or that it was not granted.
        """
        scopes = list(scopes)
        for scope in scopes:
            if (why := unknown(scope)) is not None:
                raise Refusal("unknown_scope", f"the plugin declares a scope that there is not: {why}", again=False)
        has, lacks = granted(scopes, self._grants)
        if lacks:
            raise Refusal(
                "scope_missing",
                f"the plugin needs {', '.join(lacks)}; the operator has not granted this (scopes of {self.instance})",
                again=False,
            )
        self.scopes = has

    def require(self, scope: str, what: str) -> None:
        """Raise Refusal unless the plugin has a scope."""
        if scope not in self.scopes:
            raise Refusal("scope_missing", f"{self.instance} needs the scope {scope} to {what}")

    def joined(self, room_id: str) -> bool:
        """Whether its bot is in a room."""
        return room_id in self._made or self.user_id in self._bots_in(room_id)

    def room(self, room_id: str) -> str:
        """The room, if its bot is in it or works an event of it. Raises Refusal."""
        if room_id != here.get() and not self.joined(room_id):
            raise Refusal("foreign_room", f"{self.user_id} is not in this room")
        return room_id

    def made(self, room_id: str) -> None:
        """A room was made for it; the homeserver may not have said so yet."""
        self._made[room_id] = None
        if len(self._made) > MADE:
            self._made.popitem(last=False)
