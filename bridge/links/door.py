"""The door: places that links give are counted in the database, and the homeserver is told who may come in."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NoReturn

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.background import Background, together
from bridge.domain.links import Ended, Link, UseState
from bridge.errors import NotAllowed, Refused
from bridge.steward import Steward, within_power
from bridge.store import chats as chat_store
from bridge.store import links as store
from bridge.store.chats import Chat
from bridge.store.links import Use

log = logging.getLogger(__name__)

HOUR_MS: Final = 3_600_000
KEEP_ENDED_MS: Final = 30 * 24 * HOUR_MS
"""Links are forgotten so long after they ended, and with them who came by them."""
KEEP_DECLINED_MS: Final = 30 * 24 * HOUR_MS
PATIENCE_MS: Final = 10_000
"""Who used a link has had the homeserver told at once; after that it is done in the background."""
LONGEST_PAUSE_MS: Final = HOUR_MS
MOST_ATTEMPTS: Final = 24
"""Over half a day: who has a server that nobody reaches takes nobody's place for ever."""
BATCH: Final = 50
CONCURRENCY: Final = 8
REFUSALS: Final = {
    Ended.REVOKED: ("link_revoked", "This invite link was ended."),
    Ended.EXPIRED: ("link_expired", "This invite link has expired."),
    Ended.USED_UP: ("link_used_up", "As many people as this invite link is for have come by it."),
}


class Door:
    """Lets people in who have a place, and sees to it that they are let in after a crash too."""

    def __init__(self, steward: Steward, database: Database, clock: Clock, most_members: int) -> None:
        self._steward = steward
        self._database = database
        self._clock = clock
        self._most_members = most_members
        self._pruned_at = 0
        self._limit = asyncio.Semaphore(CONCURRENCY)
        self.background = Background("links", clock, self.run_due, self._upcoming)

    async def room_for_one(self, chat: Chat) -> None:
        """Go on if the chat is not full.

        Raises:
            Refused: it is.
        """
        counts = await self._database.read(lambda it: chat_store.count_members(it, [chat.room_id]))
        if counts.get(chat.room_id, 0) >= self._most_members:
            raise Refused("chat_full", "The chat is full.", most=self._most_members)

    def take(self, connection: Connection, link: Link, user_id: str, state: UseState) -> None:
        """Give somebody a place by a link.

        Raises:
            Refused: it has none to give (any more).
        """
        now = self._clock.now_ms()
        due_at = now + PATIENCE_MS if state is UseState.DUE else None
        if not store.take(connection, link, user_id, state, now, due_at):
            fresh = store.by_id(connection, link.chat_id, link.id)
            end(Ended.REVOKED if fresh is None else fresh.ended(now) or Ended.USED_UP)

    async def invite(self, chat: Chat, user_id: str) -> None:
        """Tell the homeserver what was decided. What it refuses for good is taken back.

        Raises:
            Refused: it does.
            HomeserverError: it does not answer; it is asked again.
        """
        try:
            with within_power():
                await self._steward.of(chat).invite(chat.room_id, user_id)
        except NotAllowed:
            await self._database.write(lambda connection: give_back(connection, chat.id, user_id))
            raise
        except HomeserverError as error:
            if error.temporary:
                self.background.wake()
                raise
            await self._database.write(lambda connection: give_back(connection, chat.id, user_id))
            raise Refused("not_invitable", "The homeserver cannot invite them.") from error
        now = self._clock.now_ms()
        await self._database.write(lambda connection: move(connection, chat.id, user_id, UseState.INVITED, now))

    # What runs by itself

    async def run_due(self) -> int:
        """Invite who was let in while the homeserver did not answer, and forget what is old; how much was done."""
        now = self._clock.now_ms()
        pruned = 0
        if now - self._pruned_at >= HOUR_MS:
            pruned = await self._database.write(
                lambda connection: store.prune(
                    connection, ended=now - KEEP_ENDED_MS, declined=now - KEEP_DECLINED_MS, limit=BATCH * 10
                )
            )
            self._pruned_at = 0 if pruned >= BATCH * 10 else now
        waiting = await self._database.read(lambda connection: store.due(connection, now, BATCH))
        await together(self._catch_up(use) for use in waiting)
        return len(waiting) + pruned

    async def _catch_up(self, use: Use) -> None:
        chat = await self._database.read(lambda connection: chat_store.by_id(connection, use.chat_id))
        gone = chat is None or not chat.alive
        if chat is None or gone or use.attempts >= MOST_ATTEMPTS:
            await self._database.write(lambda connection: give_back(connection, use.chat_id, use.user_id))
            log.info("somebody who used a link is invited no more", extra={"link": use.link_id})
            return
        try:
            async with self._limit:
                await self.invite(chat, use.user_id)
        except HomeserverError:
            pause = min(PATIENCE_MS * 2 ** min(use.attempts, 20), LONGEST_PAUSE_MS)
            again = self._clock.now_ms() + pause
            await self._database.write(lambda connection: store.put_off(connection, use, again))
        except Refused as refused:
            log.info("somebody who used a link cannot be invited: %s", refused, extra={"room_id": chat.room_id})

    async def _upcoming(self) -> int | None:
        first = await self._database.read(store.first_due)
        following = self._pruned_at + HOUR_MS
        return following if first is None else min(first, following)


def move(connection: Connection, chat_id: str, user_id: str, state: UseState, now: int) -> None:
    """Somebody who used links of a chat has come further, whichever of them it was."""
    for use in store.uses_of(connection, chat_id, user_id):
        if use.state is not state and use.state is not UseState.JOINED:
            store.set_use(connection, use.link_id, user_id, state, now)


def give_back(connection: Connection, chat_id: str, user_id: str) -> None:
    """Somebody did not come in after all: their places are others'."""
    for use in store.uses_of(connection, chat_id, user_id):
        if use.state is not UseState.JOINED:
            store.give_back(connection, use.link_id, user_id)


def end(ended: Ended) -> NoReturn:
    """Say why a link lets nobody in."""
    code, human = REFUSALS[ended]
    raise Refused(code, human)
