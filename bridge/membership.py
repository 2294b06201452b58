"""Bots come when they are invited and go when they are alone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from appservice.events import Event
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork

log = logging.getLogger(__name__)

Inhabited = Callable[[str, str], Awaitable[bool | None]]
"""Whether anybody is in a chat beside a person who has just left it; None for a room that is no chat of ours."""


class Membership:
    """The messenger's own consumer: answers invitations, and leaves rooms that nobody else is in.

    Joining and leaving may be repeated without harm, so they happen at once and not through the outbox.
    """

    name = "bridge:membership"

    def __init__(
        self,
        homeserver: Homeserver,
        rooms: Rooms,
        bots: Iterable[str],
        server_name: str,
        allowed: Iterable[str],
        inhabited: Inhabited | None = None,
    ) -> None:
        """
        Args:
            bots: user ids of the bots.
            allowed: servers beside ``server_name`` whose users may invite; ``*`` for every server.
            inhabited: answers for chats, without a look at each of their members.
        """
        self._inhabited = inhabited
        self.user_id = ""
        self._homeserver = homeserver
        self._rooms = rooms
        self._bots = frozenset(bots)
        self._allowed = frozenset(allowed) | {server_name}

    def wants(self, event: Event) -> bool:
        """Invitations of bots, and departures of people."""
        if event.type != "m.room.member" or not event.state_key:
            return False
        if event.membership == "invite":
            # The steward's invitations wait until somebody has the room adopted.
            return event.state_key in self._bots
        return event.membership in {"leave", "ban"} and event.state_key not in self._rooms.service_users

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Join, decline or leave."""
        if event.membership == "invite":
            await self._invited(event)
        else:
            await self._somebody_left(event.room_id, event.state_key or "")

    def may_invite(self, user_id: str) -> bool:
        """Whether a user may invite bots: by server."""
        server = user_id.partition(":")[2]
        return "*" in self._allowed or server in self._allowed

    async def _invited(self, event: Event) -> None:
        bot = event.state_key or ""
        welcome = bot in self._bots and (self.may_invite(event.sender) or event.sender in self._rooms.service_users)
        verb = "join" if welcome else "leave"
        try:
            await self._homeserver.request(
                "POST", path("/_matrix/client/v3/rooms", event.room_id, verb), user_id=bot, body={}
            )
        except HomeserverError as error:
            if error.temporary:
                raise
            # Withdrawn, banned, or the room is gone: there is nothing to be done, and nobody to tell.
            log.info("an invitation could not be answered: %s", error, extra={"bot": bot})

    async def _somebody_left(self, room_id: str, user_id: str) -> None:
        bots = list(self._rooms.bots_in(room_id))
        if not bots:
            return
        try:
            inhabited = None if self._inhabited is None else await self._inhabited(room_id, user_id)
            if inhabited is None:
                inhabited = bool(await self._rooms.humans(room_id))
            else:
                # The steward keeps an empty chat: people can still be invited to it.
                bots = [bot for bot in bots if bot in self._bots]
            if inhabited:
                return
        except HomeserverError as error:
            if error.temporary:
                raise
            return
        for bot in bots:
            await self._depart(room_id, bot)

    async def _depart(self, room_id: str, user_id: str) -> None:
        for verb in ("leave", "forget"):
            try:
                await self._homeserver.request(
                    "POST", path("/_matrix/client/v3/rooms", room_id, verb), user_id=user_id, body={}
                )
            except HomeserverError as error:
                if error.temporary:
                    raise
                log.info("could not %s a room: %s", verb, error, extra={"bot": user_id})

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """The messenger reads nothing encrypted."""

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Nobody is waiting for a word."""

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Not of interest here."""
