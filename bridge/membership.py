"""Bots come when they are invited and go when they are alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from appservice.events import Event
from appservice.homeserver import Homeserver, HomeserverError, path
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork

log = logging.getLogger(__name__)


class Membership:
    """The messenger's own consumer: answers invitations, and leaves rooms that nobody else is in.

    Joining and leaving may be repeated without harm, so they happen at once and not through the outbox.
    """

    name = "bridge:membership"

    def __init__(
        self, homeserver: Homeserver, rooms: Rooms, bots: Iterable[str], server_name: str, allowed: Iterable[str]
    ) -> None:
        """
        Args:
            bots: user ids of the bots.
            allowed: servers beside ``server_name`` whose users may invite; ``*`` for every server.
        """
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
            return event.state_key in self._rooms.service_users
        return event.membership in {"leave", "ban"} and event.state_key not in self._rooms.service_users

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Join, decline or leave."""
        if event.membership == "invite":
            await self._invited(event)
        else:
            await self._somebody_left(event.room_id)

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

    async def _somebody_left(self, room_id: str) -> None:
        bots = list(self._rooms.bots_in(room_id))
        if not bots:
            return
        try:
            if await self._rooms.humans(room_id):
                return
        except HomeserverError as error:
            if error.temporary:
                raise
            return
        for user_id in bots:
            await self._depart(room_id, user_id)

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
