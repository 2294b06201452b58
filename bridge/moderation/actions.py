"""What is done about a report, at the homeserver: each may be done again without harm, for a crash may come between."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, Protocol

from appservice.administration import NoAdministration
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM
from bridge.chats.members import MemberService
from bridge.domain.moderation import Action
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.registry import Registry
from bridge.steward import Steward, within_power
from bridge.store.chats import Chat
from bridge.store.moderation import Report

log = logging.getLogger(__name__)

FOR_REPORT: Final = "removed by a moderator"


class Accounts(Protocol):
    """What is needed of :class:`appservice.administration.Administration`."""

    @property
    def available(self) -> bool: ...

    async def suspend(self, user_id: str, suspended: bool) -> None: ...


class Actions:
    """Does and undoes."""

    def __init__(
        self,
        steward: Steward,
        members: MemberService,
        registry: Registry,
        accounts: Accounts,
        held: Callable[[str], Awaitable[bool]],
        suspended: Callable[[str], Awaitable[bool]],
    ) -> None:
        """
        Args:
            held: whether a room is under a legal hold: nothing is removed from it.
            suspended: whether somebody else has suspended an account too: it stays so.
        """
        self._held = held
        self._suspended = suspended
        self._steward = steward
        self._members = members
        self._registry = registry
        self._accounts = accounts

    @property
    def suspends(self) -> bool:
        """Whether accounts can be suspended here."""
        return self._accounts.available

    async def do(self, report: Report, reason: str) -> None:
        """Do what was decided.

        Raises:
            Refused: it cannot be done (any more), and why.
            HomeserverError: the homeserver is away, or refuses.
        """
        match report.action:
            case Action.MUTE:
                try:
                    await self._members.mute(SYSTEM, self._chat(report), report.subject, report.seconds)
                except NotFound as error:
                    raise Conflict("has_left", "They are not in this chat any more.") from error
            case Action.REMOVE:
                await self._remove(report)
            case Action.BAN:
                await self._members.ban(SYSTEM, self._chat(report), report.subject, reason[:500])
            case Action.SUSPEND:
                await self._suspend(report.subject, True)
            case _:
                pass  # words only

    async def undo(self, report: Report) -> None:
        """Undo what was done, where it is still so.

        Raises:
            Refused: it cannot be undone.
            HomeserverError: the homeserver is away, or refuses.
        """
        try:
            match report.action:
                case Action.MUTE:
                    await self._members.unmute(SYSTEM, self._chat(report), report.subject)
                case Action.BAN:
                    await self._members.unban(SYSTEM, self._chat(report), report.subject)
                case Action.SUSPEND if not await self._suspended(report.subject):
                    await self._suspend(report.subject, False)
                case _:
                    pass
        except (NotFound, Conflict):
            log.info("there is nothing left to undo", extra={"report": report.id})

    def _chat(self, report: Report) -> Chat:
        chat = self._registry.get(report.room_id)
        if chat is None:
            raise Conflict("chat_gone", "This chat is no more.")
        return chat

    async def _remove(self, report: Report) -> None:
        chat = self._chat(report)
        if await self._held(chat.room_id):
            raise Conflict("legal_hold", "This chat is under a legal hold: nothing is removed from it.")
        hand = self._steward.of(chat)
        event = await hand.event(chat.room_id, report.event_id)
        if event is None or "redacted_because" in event.get("unsigned", {}):
            return  # gone already
        txn_id = "m" + sha256(report.event_id.encode()).hexdigest()[:40]
        with within_power():
            await hand.redact(chat.room_id, report.event_id, txn_id, FOR_REPORT)

    async def _suspend(self, user_id: str, suspended: bool) -> None:
        try:
            await self._accounts.suspend(user_id, suspended)
        except NoAdministration as error:
            raise NotAllowed("no_administration", "The operator has not let Rialto administer accounts.") from error
        except HomeserverError as error:
            if error.status != 404:
                raise
            raise Refused("no_such_account", "There is no such account.") from error
