"""Members of chats and their roles: looked at by pages of the read model, changed on the homeserver."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.database import Database
from appservice.homeserver import HomeserverError
from bridge.actor import SYSTEM, Actor
from bridge.background import Background
from bridge.chats import consent as consents
from bridge.chats.decisions import Tell
from bridge.chats.jobs import Jobs
from bridge.chats.plans import checked
from bridge.chats.service import ChatService, read_cursor
from bridge.domain import texts
from bridge.domain.kinds import Kind
from bridge.domain.pages import USUAL, Page, bounded, cursor
from bridge.domain.roles import Role, bounds, level_of, muted_level, owners, role_of, with_level, with_role
from bridge.errors import Conflict, NotAllowed, NotFound, Refused
from bridge.permissions import Permissions
from bridge.steward import Steward, within_power
from bridge.store import chats as store
from bridge.store.chats import Chat, Member

log = logging.getLogger(__name__)

FOR_EVER: Final = 0
LONGEST_MUTE_S: Final = 366 * 86_400
SLOWEST_S: Final = 86_400
MOST_QUERY: Final = 100
SLOW_MODE: Final = "chat.rialto.slow_mode"
"""State event: ``{"seconds": …}`` between two messages of a member; 0: off. State key: empty."""
BATCH: Final = 100
RETRY_MS: Final = 10_000


class MemberService:
    """Who is in a chat, and what they may do there. ``actor`` asks; each call needs a role, and a higher one than the
    other's.
    """

    def __init__(
        self,
        chats: ChatService,
        steward: Steward,
        database: Database,
        permissions: Permissions,
        clock: Clock,
        jobs: Jobs,
        *,
        most_members: int = 100_000,
    ) -> None:
        self._chats = chats
        self._steward = steward
        self._database = database
        self._permissions = permissions
        self._clock = clock
        self._jobs = jobs
        self._most_members = most_members
        self._enforced = False
        self.background = Background("mutes", clock, self.run_due, self._upcoming)

    # Looking

    async def page(
        self,
        actor: Actor,
        chat: Chat,
        *,
        role: Role | None = None,
        query: str = "",
        membership: str = "join",
        after: str | None = None,
        limit: int = USUAL,
    ) -> Page[Member]:
        """A page of members, who has most power first.

        Args:
            role: only those who have it.
            query: what their name or user id holds, whatever its case.
            membership: ``join``, or ``invite``, ``knock``, ``ban``: these are for moderators.
            after: ``next`` of the page before.

        Raises:
            Refused: the cursor, the membership or the query cannot be.
        """
        if membership not in {"join", "invite", "knock", "ban"}:
            raise Refused("membership_invalid", "A membership is join, invite, knock or ban.")
        needed = Role.READER if membership == "join" else Role.MODERATOR
        if membership == "join" and chat.kind is Kind.CHANNEL:
            needed = Role.MODERATOR  # readers of a channel do not see each other
        await self._permissions.require(actor, chat, needed)
        with checked():
            query = texts.line(query, "query", most=MOST_QUERY, empty=True)
        place, limit = read_cursor(after, int, str), bounded(limit)

        def read(connection: Connection) -> list[Member]:
            least, below = (None, None) if role is None else bounds(role, store.levels(connection, chat.room_id))
            return store.members(
                connection,
                chat.room_id,
                memberships=(membership,),
                least=least,
                below=below,
                text=query,
                after=place,
                limit=limit + 1,
            )

        found = await self._database.read(read)
        items = found[:limit]
        following = cursor(items[-1].power, items[-1].user_id) if len(found) > limit else None
        return Page(items, following)

    async def get(self, actor: Actor, chat: Chat, user_id: str) -> tuple[Member, Role]:
        """A member and their role.

        Raises:
            NotFound: they are no member.
        """
        await self._permissions.require(actor, chat, Role.READER)

        def read(connection: Connection) -> tuple[Member | None, Mapping[str, Any]]:
            return store.member(connection, chat.room_id, user_id), store.levels(connection, chat.room_id)

        found, levels = await self._database.read(read)
        if found is None or found.membership == "leave":
            raise _no_member()
        return found, role_of(user_id, levels)

    async def roles(self, chat: Chat, members: list[Member]) -> dict[str, Role]:
        """The roles of members, by user id."""
        levels = await self._database.read(lambda connection: store.levels(connection, chat.room_id))
        return {each.user_id: role_of(each.user_id, levels) for each in members}

    async def count(self, chat: Chat) -> int:
        """How many are in it."""
        counts = await self._database.read(lambda connection: store.count_members(connection, [chat.room_id]))
        return counts.get(chat.room_id, 0)

    # Coming and going

    async def add(self, actor: Actor, chat: Chat, user_id: str) -> None:
        """Invite somebody; nothing happens to who is in it or invited.

        Raises:
            NotAllowed: the role is too low; or they do not want to be added.
            Refused: they are banned, the chat is full, or it is of two people.
        """
        with checked():
            user_id = texts.user_id(user_id)
        if chat.kind is Kind.DIRECT:
            raise Refused("two_people", "A direct chat is of two people.")
        role = await self._permissions.require(
            actor, chat, Role.MODERATOR if chat.kind is Kind.CHANNEL else Role.WRITER
        )
        hand = self._steward.of(chat)
        membership = await hand.membership(chat.room_id, user_id)
        if membership in {"join", "invite"}:
            return
        if membership == "ban":
            raise Refused("is_banned", "They are banned from this chat.")
        if membership == "knock" and role < Role.MODERATOR:
            raise NotAllowed("role_too_low", "Only moderators and above answer requests to join.")
        if membership != "knock":
            await consents.ask(self._chats.consent, actor.user_id, user_id, "add")
        if await self.count(chat) >= self._most_members:
            raise Refused("chat_full", "The chat is full.", most=self._most_members)
        with within_power():
            await hand.invite(chat.room_id, user_id)
        await self._chats.audited(actor, "chat.add", chat, {"user": user_id})

    async def kick(self, actor: Actor, chat: Chat, user_id: str, reason: str = "") -> None:
        """Remove a member, an invitation or a request to join.

        Raises:
            NotFound: they are none of these.
        """
        reason = self._reason(reason)
        standing = await self._permissions.over(actor, chat, user_id, Role.MODERATOR)
        self._not_oneself(actor, user_id)
        if standing.membership not in {"join", "invite", "knock"}:
            raise _no_member()
        with within_power():
            await self._steward.of(chat).kick(chat.room_id, user_id, reason)
        await self._chats.audited(
            actor, "chat.kick", chat, {"user": user_id, "reason": reason}, (user_id, "chat.kicked", {})
        )

    async def ban(self, actor: Actor, chat: Chat, user_id: str, reason: str = "") -> None:
        """Remove somebody for good, whether they are there or not."""
        with checked():
            user_id = texts.user_id(user_id)
        reason = self._reason(reason)
        standing = await self._permissions.over(actor, chat, user_id, Role.MODERATOR)
        self._not_oneself(actor, user_id)
        if standing.membership != "ban":
            with within_power():
                await self._steward.of(chat).ban(chat.room_id, user_id, reason)
        await self._chats.audited(
            actor, "chat.ban", chat, {"user": user_id, "reason": reason}, (user_id, "chat.banned", {})
        )

    async def unban(self, actor: Actor, chat: Chat, user_id: str) -> None:
        """Let somebody come back, if they are let in.

        Raises:
            NotFound: they are not banned.
        """
        await self._permissions.require(actor, chat, Role.MODERATOR)
        hand = self._steward.of(chat)
        if await hand.membership(chat.room_id, user_id) != "ban":
            raise NotFound("not_banned", "They are not banned.")
        with within_power():
            await hand.unban(chat.room_id, user_id)
        await self._chats.audited(actor, "chat.unban", chat, {"user": user_id}, (user_id, "chat.unbanned", {}))

    # Roles

    async def set_role(self, actor: Actor, chat: Chat, user_id: str, role: Role) -> None:
        """Promote or demote; whoever was muted is not any more.

        Raises:
            NotAllowed: only up to below one's own role; an owner is made by :meth:`transfer`.
            NotFound: they are no member.
            Conflict: the last owner stays one.
            Refused: nobody is just a writer here, for writing needs a moderator's power.
        """
        async with self._chats.lock(chat.room_id):
            standing = await self._permissions.over(actor, chat, user_id, Role.ADMIN)
            if standing.membership not in store.IN:
                raise _no_member()
            if actor.user_id and role >= standing.role and user_id != actor.user_id:
                raise NotAllowed("role_not_above", "A role like your own, or above, is not yours to give.")
            if actor.user_id == user_id and role > standing.role:
                raise NotAllowed("role_not_above", "Nobody promotes themselves.")
            if standing.other is Role.OWNER and role is not Role.OWNER:
                self._keep_an_owner(chat, user_id, standing.levels)
            levels = with_role(standing.levels, user_id, role)
            if role is Role.WRITER and chat.archived_at is None and role_of(user_id, levels) is Role.READER:
                raise Refused("writers_moderate", "In this chat only moderators and above write.")
            await self._set_levels(chat, levels)
            power = level_of(user_id, levels)
            details = {"user": user_id, "role": role.word, "before": standing.other.word}

            def work(connection: Connection) -> list[Tell]:
                store.lift_mute(connection, chat.room_id, user_id)
                store.change_member(connection, chat.room_id, user_id, power=power)
                return [(user_id, "chat.role", {"role": role.word})] if role is not standing.other else []

            await self._chats.decided(actor, "chat.role", chat, details, work)

    async def transfer(self, actor: Actor, chat: Chat, user_id: str) -> None:
        """Hand the chat over: they become its owner, and who hands it over an admin.

        Raises:
            NotFound: they are no member.
        """
        async with self._chats.lock(chat.room_id):
            await self._permissions.require(actor, chat, Role.OWNER)
            hand = self._steward.of(chat)
            if await hand.membership(chat.room_id, user_id) != "join" or user_id == hand.user_id:
                raise _no_member()
            if user_id == actor.user_id:
                return
            before = await hand.power_levels(chat.room_id)
            levels = with_role(before, user_id, Role.OWNER)
            if actor.user_id:
                levels = with_role(levels, actor.user_id, Role.ADMIN)
            else:
                for each in set(owners(before)) - {hand.user_id, user_id}:
                    levels = with_role(levels, each, Role.ADMIN)
            await self._set_levels(chat, levels)

            def work(connection: Connection) -> list[Tell]:
                store.lift_mute(connection, chat.room_id, user_id)
                for each in {user_id, actor.user_id} - {""}:
                    store.change_member(connection, chat.room_id, each, power=level_of(each, levels))
                return [(user_id, "chat.owner", {"person": actor.name})]

            await self._chats.decided(actor, "chat.transfer", chat, {"user": user_id}, work)

    # Mutes

    async def mute(self, actor: Actor, chat: Chat, user_id: str, seconds: int | None) -> None:
        """Let a member not write for a time.

        Args:
            seconds: how long; None: until they are unmuted.

        Raises:
            Refused: the time cannot be.
            NotFound: they are no member.
        """
        if seconds is not None and not 1 <= seconds <= LONGEST_MUTE_S:
            raise Refused("time_invalid", "A mute lasts from a second to a year.", most=LONGEST_MUTE_S)
        async with self._chats.lock(chat.room_id):
            standing = await self._permissions.over(actor, chat, user_id, Role.MODERATOR)
            self._not_oneself(actor, user_id)
            if standing.membership not in store.IN:
                raise _no_member()
            now = self._clock.now_ms()
            until = FOR_EVER if seconds is None else now + seconds * 1000
            level = level_of(user_id, standing.levels)
            muted = muted_level(standing.levels)

            # First what is to be, so that a crash after it leaves nobody muted of whom we do not know.
            def work(connection: Connection) -> list[Tell]:
                known = store.member(connection, chat.room_id, user_id)
                if known is None:
                    known = Member(chat.room_id, user_id, standing.membership, level, "", now)
                    store.set_member(connection, known)
                again = known.muted_until is not None and level <= muted
                before = known.muted_power if again else level
                store.change_member(connection, chat.room_id, user_id, muted_until=until, muted_power=before)
                code = "chat.muted" if until else "chat.muted_forever"
                return [(user_id, code, {"until": until} if until else {})]

            await self._chats.decided(actor, "chat.mute", chat, {"user": user_id, "seconds": seconds}, work)
            try:
                await self._silence(chat, user_id, standing.levels)
            except NotAllowed:
                await self._database.write(lambda connection: store.lift_mute(connection, chat.room_id, user_id))
                raise
        self.background.wake()

    async def unmute(self, actor: Actor, chat: Chat, user_id: str) -> None:
        """Let a member write again, now.

        Raises:
            NotFound: they are not muted.
        """
        async with self._chats.lock(chat.room_id):
            await self._permissions.require(actor, chat, Role.MODERATOR)
            found = await self._database.read(lambda connection: store.member(connection, chat.room_id, user_id))
            if found is None or found.muted_until is None:
                raise NotFound("not_muted", "They are not muted.")
            await self._give_back(chat, found)

            await self._lifted(actor, chat, user_id)

    async def run_due(self) -> int:
        """Lift the mutes that are over; how many. The first time, see to it that the others hold."""
        if not self._enforced:
            await self.enforce()
            self._enforced = True
        now = self._clock.now_ms()
        due = await self._database.read(lambda connection: store.unmute_due(connection, now, BATCH))
        done = 0
        for each in due:
            done += await self._over(each)
        return done if done == len(due) else 0

    async def enforce(self) -> None:
        """Mute anew who is to be muted, at a start: a crash may have come between the decision and the homeserver."""

        def read(connection: Connection) -> list[tuple[Chat, Member]]:
            found = [(store.by_room(connection, each.room_id), each) for each in store.muted(connection)]
            return [(chat, each) for chat, each in found if chat is not None and chat.alive]

        for chat, each in await self._database.read(read):
            try:
                async with self._chats.lock(chat.room_id):
                    levels = await self._steward.of(chat).power_levels(chat.room_id)
                    if level_of(each.user_id, levels) == each.muted_power:
                        await self._silence(chat, each.user_id, levels)
            except (HomeserverError, NotAllowed) as error:
                if isinstance(error, HomeserverError) and error.temporary:
                    raise
                log.warning("a mute cannot be enforced: %s", error, extra={"room_id": chat.room_id})

    async def _over(self, member: Member) -> int:
        chat = await self._database.read(lambda connection: store.by_room(connection, member.room_id))
        try:
            if chat is not None and chat.alive:
                async with self._chats.lock(chat.room_id):
                    await self._give_back(chat, member)
                    await self._lifted(SYSTEM, chat, member.user_id)
                    return 1
        except (HomeserverError, NotAllowed) as error:
            if isinstance(error, HomeserverError) and error.temporary:
                return 0
            log.warning("a mute cannot be lifted: %s", error, extra={"room_id": member.room_id})
        await self._database.write(lambda connection: store.lift_mute(connection, member.room_id, member.user_id))
        return 1

    async def _lifted(self, actor: Actor, chat: Chat, user_id: str) -> None:
        def work(connection: Connection) -> list[Tell]:
            store.lift_mute(connection, chat.room_id, user_id)
            there = store.member(connection, chat.room_id, user_id) is not None
            return [(user_id, "chat.unmuted", {})] if there else []

        await self._chats.decided(actor, "chat.unmute", chat, {"user": user_id}, work)

    async def _upcoming(self) -> int | None:
        following = await self._database.read(store.next_unmute)
        now = self._clock.now_ms()
        # What is due and could not be done waits a while: the homeserver is away.
        return now + RETRY_MS if following is not None and following <= now else following

    async def _silence(self, chat: Chat, user_id: str, levels: Mapping[str, Any]) -> None:
        await self._set_levels(chat, with_level(levels, user_id, muted_level(levels)))

    async def _give_back(self, chat: Chat, member: Member) -> None:
        """Give them the power they had, unless somebody has given them another one meanwhile."""
        levels = await self._steward.of(chat).power_levels(chat.room_id)
        if level_of(member.user_id, levels) > muted_level(levels):
            return
        before = member.muted_power if member.muted_power is not None else level_of("", levels)
        await self._set_levels(chat, with_level(levels, member.user_id, before))

    # How the chat works

    async def set_slow_mode(self, actor: Actor, chat: Chat, seconds: int) -> Chat:
        """Have members wait between two messages; 0: not any more. Moderators and above need not wait.

        Raises:
            Refused: the time cannot be.
        """
        if not 0 <= seconds <= SLOWEST_S:
            raise Refused("time_invalid", "Slow mode is from 1 second to a day, or 0.", most=SLOWEST_S)
        await self._permissions.require(actor, chat, Role.ADMIN)
        with within_power():
            await self._steward.of(chat).set_state(chat.room_id, SLOW_MODE, {"seconds": seconds})
        return await self._chats.changed(actor, "chat.slow_mode", chat, {"seconds": seconds}, slow_mode=seconds)

    async def _set_levels(self, chat: Chat, levels: Mapping[str, Any]) -> None:
        with within_power():
            await self._steward.of(chat).set_state(chat.room_id, "m.room.power_levels", levels)

    def _keep_an_owner(self, chat: Chat, user_id: str, levels: Mapping[str, Any]) -> None:
        others = set(owners(levels)) - {user_id, self._steward.of(chat).user_id}
        if not others and not chat.workspace:
            raise Conflict("last_owner", "The last owner stays one; hand the chat over.")

    @staticmethod
    def _not_oneself(actor: Actor, user_id: str) -> None:
        if actor.user_id == user_id:
            raise Refused("oneself", "That is you.")

    @staticmethod
    def _reason(reason: str) -> str:
        with checked():
            return texts.line(reason, "reason", most=texts.MOST_REASON, empty=True)


def _no_member() -> NotFound:
    return NotFound("no_such_member", "They are not in this chat.")
