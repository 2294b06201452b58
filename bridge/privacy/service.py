"""People's privacy: what they have set, whom they know, whom they block, who asks to write to them."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import HomeserverError
from appservice.sealing import SealBroken, Sealer
from appservice.synapse_module import SynapseModule
from bridge.audit import Audit, Scribe
from bridge.background import Background
from bridge.domain.privacy import Answer, Audience, Settings, What, allowed, screen
from bridge.domain.ulids import ulid
from bridge.errors import NotFound, Refused, TooMany
from bridge.notices import Notices
from bridge.store import privacy as store
from bridge.store.privacy import Request

log = logging.getLogger(__name__)

DAY_MS: Final = 86_400_000
MOST_OPEN: Final = 200
"""Open requests to one person; more are refused, as by somebody who does not want them."""
MOST_BLOCKED: Final = 10_000
ASK_AGAIN_MS: Final = 30 * DAY_MS
"""Who was declined is not asked for that long."""
KEEP_MS: Final = 60 * DAY_MS
"""Requests are forgotten after that."""
LONGEST_NAME: Final = 100
RETRY_MS: Final = 60_000
FORGET_TIMEOUT_S: Final = 2.0
BATCH: Final = 50
_PERSON: Final = re.compile(r"@[^:\s\x00]{1,200}:[^\s\x00]{1,230}\Z")

RaiseEvents = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Any]


class PrivacyService:
    """What people decide about themselves. It is asked by chats, by the homeserver's module, by calls and receipts."""

    def __init__(
        self,
        database: Database,
        module: SynapseModule,
        notices: Notices,
        raise_events: RaiseEvents,
        audit: Audit,
        clock: Clock,
        sealer: Sealer,
        *,
        server_name: str,
        service_users: Collection[str],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        Args:
            sealer: for the names of rooms that people were to be invited into.
            service_users: the bots and the steward. Everybody may write to them, and they to everybody who has not
                blocked them.
        """
        self._database = database
        self._module = module
        self._notices = notices
        self._raise_events = raise_events
        self._note = Scribe(audit, clock)
        self._clock = clock
        self._sealer = sealer
        self._server_name = server_name
        self._service_users = frozenset(service_users)
        self._random = random
        self.reading_hidden: Callable[[Connection, str], object] = lambda _connection, _user_id: None
        """Called in the commit in which somebody decides that nobody is to know what they read."""
        self.background = Background("privacy", clock, self.run_due, self._upcoming)

    # Settings

    async def settings(self, user_id: str) -> Settings:
        """What a person has set."""
        return await self._database.read(lambda connection: store.settings_of(connection, user_id))

    async def change(self, user_id: str, **values: str) -> Settings:
        """Change settings: ``write="contacts"``, ``receipts="nobody"``.

        Raises:
            Refused: there is no such setting, or it does not go so.
        """

        def work(connection: Connection) -> Settings:
            now = store.settings_of(connection, user_id)
            try:
                changed = now.changed(values)
            except ValueError:
                raise Refused(
                    "no_such_setting",
                    "Settings are write, add, call, presence, last_seen and receipts, each for everybody, contacts or "
                    "nobody; receipts for everybody or nobody.",
                ) from None
            if changed != now:
                store.set_settings(connection, user_id, changed)
                if changed.receipts is Audience.NOBODY:
                    self.reading_hidden(connection, user_id)
                details = {str(k): str(v) for k, v in values.items()}
                self._note(connection, user_id, "privacy.change", user_id, details=details)
            return changed

        changed = await self._database.write(work)
        await self._forget(user_id)
        return changed

    async def set_exception(self, user_id: str, other: str, what: str, allow: bool | None) -> None:
        """What holds for one other person whatever the settings say; None: the settings hold again.

        Raises:
            Refused: there is no such setting, nobody of that name, or receipts, which go to all or none.
        """
        thing = self._what(what)
        other = _person(other)
        if thing is What.RECEIPTS:
            raise Refused("receipts_for_all", "Read receipts are for everybody or for nobody.")

        def work(connection: Connection) -> None:
            store.set_exception(connection, user_id, other, thing, allow)
            details = {"other": other, "what": what, "allow": allow}
            self._note(connection, user_id, "privacy.except", user_id, details=details)

        await self._database.write(work)
        await self._forget(user_id)

    async def exceptions(self, user_id: str) -> list[tuple[str, What, bool]]:
        """For whom something is otherwise: person, what, whether they may."""
        return await self._database.read(lambda connection: store.exceptions_of(connection, user_id))

    async def may(self, user_id: str, other: str, what: str) -> bool:
        """Whether ``user_id`` may do something with ``other``, as ``other`` has set it.

        Args:
            what: ``write`` to them first, ``add`` them to a chat, ``call`` them, see their ``presence``, when they were
                ``last_seen``, what they have read (``receipts``).
        """
        thing = self._what(what)
        if user_id == other or other in self._service_users:
            return True

        def work(connection: Connection) -> bool:
            relation = store.relation_of(connection, other, user_id)
            if user_id in self._service_users:
                return not relation.blocked
            return allowed(store.settings_of(connection, other), relation, thing)

        return await self._database.read(work)

    async def hiding_receipts(self, users: Collection[str]) -> set[str]:
        """Those of these people who do not want to be counted, or named, as readers."""
        names = list(users)
        found: set[str] = set()
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            found |= await self._database.read(
                lambda connection, part=part: store.hiding_receipts(connection, part)  # type: ignore[misc]
            )
        return found

    # Contacts

    async def contacts(self, user_id: str, *, after: str = "", limit: int = 50) -> list[str]:
        """A page of a person's contacts, by user id; ``after``: the last one of the page before."""
        limit = _limit(limit)
        return await self._database.read(
            lambda connection: store.contacts_of(connection, user_id, after=after, limit=limit)
        )

    async def add_contact(self, user_id: str, other: str) -> None:
        """Somebody is a contact from now on.

        Raises:
            Refused: nobody can be of that name.
        """
        other = _person(other)
        now = self._clock.now_ms()
        await self._database.write(lambda connection: store.add_contact(connection, user_id, other, now))
        await self._forget(user_id)

    async def remove_contact(self, user_id: str, other: str) -> None:
        """No contact any more; nothing happens to who was none."""
        await self._database.write(lambda connection: store.remove_contact(connection, user_id, other))
        await self._forget(user_id)

    # Blocking

    async def block(self, user_id: str, other: str) -> None:
        """Block somebody: they cannot invite or call, see nothing, and the homeserver keeps their messages away.

        They are not told, and hear the same as from somebody who takes no invitations.

        Raises:
            Refused: nobody can be of that name, or it is the person themselves, or the steward.
            TooMany: as many are blocked as there may be.
        """
        other = _person(other)
        if other == user_id:
            raise Refused("block_oneself", "You cannot block yourself.")
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            if store.count_blocked(connection, user_id) >= MOST_BLOCKED:
                raise TooMany("too_many_blocked", f"At most {MOST_BLOCKED} people can be blocked.")
            if not store.set_block(connection, user_id, other, True, now):
                return
            store.remove_contact(connection, user_id, other)
            for what in (What.WRITE, What.ADD):
                found = store.request(connection, user_id, other, what)
                if found is not None:
                    store.answer(connection, found, store.DECLINED, now)
            self._note(connection, user_id, "privacy.block", other)

        await self._database.write(work)
        self.background.wake()
        await self._forget(user_id)

    async def unblock(self, user_id: str, other: str) -> None:
        """Lift a block; nothing happens without one."""
        now = self._clock.now_ms()

        def work(connection: Connection) -> None:
            if store.set_block(connection, user_id, other, False, now):
                self._note(connection, user_id, "privacy.unblock", other)

        await self._database.write(work)
        self.background.wake()
        await self._forget(user_id)

    async def blocked(self, user_id: str, *, after: str = "", limit: int = 50) -> list[str]:
        """A page of whom a person blocks, by user id; ``after``: the last one of the page before."""
        limit = _limit(limit)
        return await self._database.read(
            lambda connection: store.blocked_by(connection, user_id, after=after, limit=limit)
        )

    # Requests

    async def requests(self, user_id: str) -> list[Request]:
        """Who would like to write to, or add, a person: the open requests, the newest first, 200 at most."""
        found = await self._database.read(lambda connection: store.requests_of(connection, user_id, limit=MOST_OPEN))
        return [self._opened(one) for one in found]

    async def answer_request(self, user_id: str, request: str, accept: bool) -> Request:
        """Answer a request. Who is accepted becomes a contact, and their invitation is made after all.

        Args:
            request: its id, or the user id of who asks.

        Raises:
            NotFound: there is none, or it is answered already.
        """
        now = self._clock.now_ms()

        def work(connection: Connection) -> Request:
            found = self._find(connection, user_id, request)
            state = store.ACCEPTED if accept else store.DECLINED
            if not store.answer(connection, found, state, now):
                raise NotFound("no_such_request", "There is no such request.")
            if accept:
                store.add_contact(connection, user_id, found.other, now)
            outcome = "accepted" if accept else "declined"
            self._note(connection, user_id, "privacy.answer", found.other, outcome, {"what": found.what.value})
            return replace(found, state=state, answered_at=now)

        answered = await self._database.write(work)
        await self._forget(user_id)
        if accept:
            self.background.wake()
        return self._opened(answered)

    def _find(self, connection: Connection, user_id: str, request: str) -> Request:
        if request.startswith("@"):
            candidates = [store.request(connection, user_id, request, what) for what in (What.WRITE, What.ADD)]
        else:
            candidates = [store.request_by_id(connection, request)]
        for found in candidates:
            if found is not None and found.user_id == user_id and found.state == store.OPEN:
                return found
        raise NotFound("no_such_request", "There is no such request.")

    # What the homeserver's module asks

    async def screen_invite(self, sender: str, target: str, room_id: str, *, direct: bool, name: str = "") -> Answer:
        """What becomes of an invitation. Who is asked by it is told, and a direct one makes a contact.

        Args:
            room_id: '' when there is no room yet.
            direct: it is into a room of two people.
            name: of the room, for the person to decide by.
        """
        if sender == target or target in self._service_users:
            return Answer.ALLOW
        what = What.WRITE if direct else What.ADD
        now = self._clock.now_ms()

        def look(connection: Connection) -> tuple[Answer, bool]:
            relation = store.relation_of(connection, target, sender)
            if sender in self._service_users:
                return (Answer.REFUSE if relation.blocked else Answer.ALLOW), True
            last = store.request(connection, target, sender, what)
            declined = last is not None and last.state == store.DECLINED and now - last.asked_at < ASK_AGAIN_MS
            answer = screen(store.settings_of(connection, target), relation, what, declined=declined)
            return answer, store.relation_of(connection, sender, target).contact

        answer, known = await self._database.read(look)
        if answer is Answer.ALLOW and direct and not known and self.is_local(sender):
            await self._database.write(lambda connection: store.add_contact(connection, sender, target, now))
        if answer is Answer.ASK:
            return await self._ask(sender, target, room_id, what, name, now)
        return answer

    async def ask(self, user_id: str, other: str, what: str) -> Answer:
        """Somebody would like to write to, or add, somebody: whether they may, or the other is asked now, or neither.

        Who is accepted hears of it, and invites or writes then.
        """
        thing = self._what(what)
        return await self.screen_invite(user_id, _person(other), "", direct=thing is What.WRITE)

    async def _ask(self, sender: str, target: str, room_id: str, what: What, name: str, now: int) -> Answer:
        outcome = Answer.ASK
        fresh = ulid(now, self._random(10))
        name = " ".join(name.split())[:LONGEST_NAME]

        def work(connection: Connection) -> list[InternalEvent]:
            nonlocal outcome
            last = store.request(connection, target, sender, what)
            if last is not None and last.state in {store.OPEN, store.ACCEPTED}:
                # They are asked once, whatever the sender tries meanwhile; the last room is the one that counts.
                if last.state == store.OPEN:
                    store.put_request(connection, replace(last, room_id=room_id, name=self._seal(name, last.id)))
                return []
            if store.count_open(connection, target) >= MOST_OPEN:
                outcome = Answer.REFUSE
                return []
            asked = Request(fresh, target, sender, what, room_id, self._seal(name, fresh), store.OPEN, now)
            store.put_request(connection, asked)
            code = "privacy.message_request" if what is What.WRITE else "privacy.add_request"
            values = {"request": fresh, "person": sender, "chat": name or room_id}
            return self._notices.event(f"privacy:{fresh}", target, code, values)

        await self._raise_events(work)
        return outcome

    async def became_contacts(self, user_id: str, other: str) -> None:
        """Somebody has accepted an invitation into a direct chat."""
        await self.add_contact(user_id, other)

    async def rules(self, users: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What the homeserver's module needs of people to enforce presence and receipts; nothing of who is open."""
        from bridge.privacy.rules import rules_of

        found = await self._database.read(lambda connection: store.said_by(connection, list(users)))
        return {user_id: made for user_id, said in found.items() if (made := rules_of(said))}

    def is_local(self, user_id: str) -> bool:
        """Whether a user is of our homeserver."""
        return user_id.partition(":")[2] == self._server_name

    # What is done by itself

    async def run_due(self) -> int:
        """Tell the homeserver what it does not know yet: blocks, invitations that were accepted. How much was done."""
        done = 0
        for block in await self._database.read(lambda connection: store.unsynced_blocks(connection, BATCH)):
            if not self.is_local(block.user_id) or await self._ignore(block):
                await self._database.write(lambda connection, block=block: store.block_synced(connection, block))  # type: ignore[misc]
                done += 1
        for request in await self._database.read(lambda connection: store.accepted(connection, BATCH)):
            done += await self._invite(request)
        before = self._clock.now_ms() - KEEP_MS
        await self._database.write(lambda connection: store.forget_requests(connection, before))
        return done

    async def _upcoming(self) -> int | None:
        def waiting(connection: Connection) -> bool:
            return bool(store.unsynced_blocks(connection, 1) or store.accepted(connection, 1))

        return self._clock.now_ms() + RETRY_MS if await self._database.read(waiting) else None

    async def _ignore(self, block: store.Block) -> bool:
        try:
            return await self._module.ignore(block.user_id, block.other, block.blocked)
        except HomeserverError as error:
            if error.temporary:
                raise
            log.warning("an ignore list could not be changed: %s", error.errcode)
            return True  # there is no such account any more

    async def _invite(self, request: Request) -> bool:
        """Make an invitation; whether the request is finished."""
        invited = False
        try:
            if request.room_id and self.is_local(request.other):
                invited = await self._module.invite(
                    request.other, request.user_id, request.room_id, direct=request.what is What.WRITE
                )
        except HomeserverError as error:
            if error.temporary:
                raise
            # The room is gone, or they may not invite any more: they are told that they may write now.
            log.info("an accepted invitation was not made: %s", error.errcode)

        def work(connection: Connection) -> list[InternalEvent]:
            if not store.finish(connection, request.id):
                return []
            code = "privacy.invited" if invited else "privacy.accepted"
            return self._notices.event(f"privacy:{request.id}:done", request.other, code, {"person": request.user_id})

        await self._raise_events(work)
        return True

    # Small things

    async def _forget(self, user_id: str) -> None:
        """The module remembers rules for a minute: a change counts at once where it can be told."""
        try:
            async with asyncio.timeout(FORGET_TIMEOUT_S):
                await self._module.forget([user_id])
        except (HomeserverError, TimeoutError) as error:
            log.debug("the homeserver's module was not told of a change: %s", type(error).__name__)

    def _what(self, what: str) -> What:
        try:
            return What(what)
        except ValueError:
            raise Refused("no_such_setting", "There is no such setting.") from None

    def _seal(self, name: str, request_id: str) -> str:
        return self._sealer.seal(name.encode("utf-8", "replace"), request_id).hex() if name else ""

    def _opened(self, request: Request) -> Request:
        try:
            name = self._sealer.open(bytes.fromhex(request.name), request.id).decode() if request.name else ""
        except (SealBroken, ValueError):
            name = ""
        return replace(request, name=name)


def _person(user_id: str) -> str:
    if not _PERSON.match(user_id) or not user_id.isprintable():
        raise Refused("no_such_person", "That is nobody's Matrix id; one looks like @alice:example.org.")
    return user_id


def _limit(limit: int) -> int:
    return min(max(limit, 1), 200)
