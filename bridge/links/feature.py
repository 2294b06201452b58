"""What happens to people who use links or ask to join: they knock, come, go, are invited by somebody else."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection

from appservice import json
from appservice.database import Database
from appservice.events import Event
from appservice.unit import UnitOfWork
from bridge.domain.links import MOST_REASON, UseState
from bridge.errors import BridgeError
from bridge.feature import Feature
from bridge.links.door import move
from bridge.links.service import WITH_LINKS, LinkService
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import links as store
from bridge.store.chats import Chat
from bridge.store.links import Request

log = logging.getLogger(__name__)

MEMBERSHIPS: Final = frozenset({"knock", "invite", "join", "leave", "ban"})


class LinksFeature(Feature):
    """A knock with the code of a link as its reason is answered at once; any other is a request that waits."""

    name = "bridge:links"

    def __init__(self, steward: Steward, links: LinkService, database: Database, registry: Registry) -> None:
        super().__init__(steward.user_id)
        self._server_name = steward.server_name
        self._links = links
        self._database = database
        self._registry = registry

    def wants(self, event: Event) -> bool:
        """Memberships of people in groups and channels."""
        if event.type != "m.room.member" or event.membership not in MEMBERSHIPS or event.state_key == self.user_id:
            return False
        chat = self._registry.get(event.room_id)
        return chat is not None and chat.kind in WITH_LINKS

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Note it, or answer it."""
        chat = self._registry.get(event.room_id)
        user_id, moment = event.state_key or "", event.timestamp
        if chat is None:
            return
        if event.membership == "knock":
            await self._knock(chat, event, unit)
        elif event.membership in {"invite", "join"}:
            state = UseState.INVITED if event.membership == "invite" else UseState.JOINED

            def came(connection: Connection) -> None:
                store.forget_request(connection, chat.id, user_id)
                move(connection, chat.id, user_id, state, moment)

            unit.store(came)
        else:
            # Times of another server compare with none of ours; then the order of events has to do.
            ours = user_id.endswith(f":{self._server_name}")
            unit.store(lambda connection: _went(connection, chat.id, user_id, moment, ours))

    async def _knock(self, chat: Chat, event: Event, unit: UnitOfWork) -> None:
        user_id = event.state_key or ""
        written = event.content.get("reason")
        reason = str(json.without_surrogates(written)) if isinstance(written, str) else ""
        token = self._links.codes.find(reason)
        if token is not None:
            reason = ""  # it lets somebody in, perhaps into another chat
            try:
                await self._links.redeem(user_id, token, within=chat, knocked=True)
            except BridgeError as refused:
                log.info("a knock with a code waits for somebody: %s", refused.code, extra={"room_id": chat.room_id})
            else:
                return
        reason = "".join(each for each in reason.strip() if each.isprintable() or each == "\n")[:MOST_REASON]
        request = Request(chat.id, user_id, store.OPEN, event.timestamp, knocked=True, reason=reason)

        before = await self._database.read(lambda connection: store.request_of(connection, chat.id, user_id))
        unit.store(lambda connection: store.ask(connection, request))
        if before is None:  # not again for who was declined, or asks once more
            for notice in await self._database.read(lambda it: self._links.asked(it, chat, user_id)):
                unit.emit(notice)


def _went(connection: Connection, chat_id: str, user_id: str, moment: int, comparable: bool) -> None:
    """They have taken it back, were removed or banned: their place is another's. What they did since then stays."""
    request = store.request_of(connection, chat_id, user_id)
    if request is not None and (request.since <= moment or not comparable):
        store.forget_request(connection, chat_id, user_id)
    for use in store.uses_of(connection, chat_id, user_id):
        if use.state is not UseState.JOINED and (use.at <= moment or not comparable):
            store.give_back(connection, use.link_id, user_id)
